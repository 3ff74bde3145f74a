import { z } from "zod";

const suggestions = z.strictObject({ prompts: z.array(z.string()).max(100) });

/** How the model is made to answer: https://platform.openai.com/docs/guides/structured-outputs */
export const suggestionsFormat = {
  type: "json_schema",
  json_schema: {
    name: "prompt_suggestions",
    strict: true,
    schema: {
      type: "object",
      properties: { prompts: { type: "array", items: { type: "string" } } },
      required: ["prompts"],
      additionalProperties: false,
    },
  },
};

/** The suggested prompts of a model's answer, or why it has none; the reason holds nothing of the answer. */
export function readSuggestions(answer: string): { texts: string[] } | { invalid: string } {
  let json: unknown;
  try {
    json = JSON.parse(answer);
  } catch {
    return { invalid: "the model's answer is no JSON" };
  }
  const parsed = suggestions.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.length === 0 ? "it" : issue.path.join(".");
    return { invalid: `the model's answer is not as asked for: ${field}: ${issue.code}` };
  }
  return { texts: parsed.data.prompts };
}
