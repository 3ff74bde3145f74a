import { z } from "zod";

/** No model reads or writes as many, and the database's columns hold no more; what says so does not say what it used. */
const count = z.int().min(0).max(1_000_000_000);
const usageOf = z.object({
  usage: z.object({ prompt_tokens: count, completion_tokens: count }),
});

/** Text parts; parts of other types, such as a reasoning model's thinking, are no part of the answer. */
const parts = z.array(z.union([
  z.object({ type: z.literal("text"), text: z.string() }).transform(({ text }) => text),
  z.object({ type: z.string().refine((type) => type !== "text") }).transform(() => ""),
])).transform((texts) => texts.join(""));

/** What of an answer of the chat completions API is read. */
const completion = z.object({
  model: z.string().trim().min(1).max(200).optional().catch(undefined),
  choices: z.tuple([z.object({
    finish_reason: z.string().nullish(),
    message: z.object({
      content: z.union([z.string(), parts]).nullish(),
      refusal: z.string().nullish().catch(undefined),
    }),
  })], z.unknown()),
});

export interface Usage {
  promptTokens: number;
  completionTokens: number;
}

/**
 * Why a body with status 200 is no whole answer. `no_completion`: its sender does not speak the API. `interrupted`:
 * something went wrong at the provider, another try may be answered. `cut`: it met a limit of tokens. `withheld`: this
 * model does not answer this prompt, another one may. `empty`: it says nothing.
 */
export type Problem = "no_completion" | "interrupted" | "cut" | "withheld" | "empty";

export type Completion =
  & {
    /** As the provider names it, which may be more exact than what was asked for. */
    model?: string | undefined;
    /** What it cost, of an answer that is of no use too; undefined: it does not say. */
    usage: Usage | undefined;
  }
  & (
    | { answer: string; problem?: never; reason?: never; refusal?: never }
    | {
      answer?: never;
      problem: Problem;
      /** In words that hold nothing of the body. */
      reason: string;
      /** With what words the model refused. */
      refusal?: string;
    }
  );

/**
 * What a `finish_reason` says, in lower case, by the providers' own documentation: OpenAI, Azure, Mistral (model_length),
 * Google (max_tokens, safety, recitation, blocklist, prohibited_content, spii), Zhipu (sensitive), Together (eos), TGI
 * (eos_token, stop_sequence), Anthropic (end_turn, tool_use, refusal). Any other (error, network_error,
 * insufficient_system_resource, aborted, and reasons yet unknown) is an answer that was interrupted.
 */
const finishes: { reasons: string[]; problem?: Problem; reason?: string }[] = [
  { reasons: ["stop", "eos", "eos_token", "stop_sequence", "end_turn"] },
  {
    reasons: ["length", "model_length", "max_tokens", "max_output_tokens"],
    problem: "cut",
    reason: "answer was cut at the token limit",
  },
  {
    reasons: [
      "content_filter",
      "safety",
      "recitation",
      "blocklist",
      "prohibited_content",
      "spii",
      "sensitive",
      "refusal",
    ],
    problem: "withheld",
    reason: "answer was held back by the content filter",
  },
  {
    reasons: ["tool_calls", "function_call", "tool_use"],
    problem: "withheld",
    reason: "answer asks for a tool",
  },
];

/** Reads a body of status 200. */
export function readCompletion(body: string): Completion {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { usage: undefined, problem: "no_completion", reason: "answer is no JSON" };
  }
  const used = usageOf.safeParse(json).data?.usage;
  const usage = used && {
    promptTokens: used.prompt_tokens,
    completionTokens: used.completion_tokens,
  };
  const parsed = completion.safeParse(json);
  if (!parsed.success) {
    return { usage, problem: "no_completion", reason: "answer is no chat completion" };
  }
  const { model, choices: [{ finish_reason: finish, message }] } = parsed.data;
  const known = { usage, model };
  if (message.refusal) {
    const { refusal } = message;
    return { ...known, problem: "withheld", reason: "the model refused", refusal };
  }
  const ended = readFinish(finish ?? "stop");
  if (ended !== undefined) return { ...known, ...ended };
  const answer = message.content?.trim();
  return answer ? { ...known, answer } : { ...known, problem: "empty", reason: "answer is empty" };
}

/** The fault of a completion that ended so; undefined: none. */
function readFinish(finish: string): { problem: Problem; reason: string } | undefined {
  const known = finishes.find(({ reasons }) => reasons.includes(finish.toLowerCase()));
  if (known !== undefined) {
    const { problem, reason = "" } = known;
    return problem && { problem, reason };
  }
  // A provider may say anything here, also what it was sent.
  const words = /^[a-z_]{1,40}$/i.test(finish) ? finish : "an unknown reason";
  return { problem: "interrupted", reason: `answer ended with ${words}` };
}
