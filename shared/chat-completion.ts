import { z } from "zod";

const count = z.int().min(0).max(2_147_483_647);

/** What of an answer of the chat completions API is read. */
const completion = z.object({
  model: z.string().min(1).max(200).optional(),
  choices: z.array(z.object({
    finish_reason: z.string().nullish(),
    message: z.object({ content: z.string().nullish() }),
  })).min(1),
  usage: z.object({ prompt_tokens: count, completion_tokens: count }).nullish()
    .catch(null),
});

export interface Completion {
  answer: string;
  /** As the provider names it, which may be more exact than what was asked for. */
  model: string | undefined;
  promptTokens: number | undefined;
  completionTokens: number | undefined;
}

/**
 * Reads a body of status 200. What is no answer is `{unusable}`: the provider does not speak the API, or `{refused}`:
 * it does, and this prompt got none; both with the reason, which holds nothing of the body.
 */
export function readCompletion(
  body: string,
): Completion | { unusable: string } | { refused: string } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { unusable: "answer is no JSON" };
  }
  const parsed = completion.safeParse(json);
  if (!parsed.success) return { unusable: "answer is no chat completion" };
  const { model, usage } = parsed.data;
  const choice = parsed.data.choices[0]!;
  if (choice.finish_reason === "content_filter") {
    return { refused: "answer was held back by the content filter" };
  }
  if (choice.finish_reason === "length") {
    return { refused: "answer was cut at the token limit" };
  }
  const answer = choice.message.content?.trim();
  if (!answer) return { refused: "answer is empty" };
  return {
    answer,
    model,
    promptTokens: usage?.prompt_tokens,
    completionTokens: usage?.completion_tokens,
  };
}
