import type { HTTPError } from "ky";

/** The body of a question: `model`, `messages`, and parameters that not every server knows. */
export type Question = { model: string; messages: unknown } & Record<string, unknown>;

const limits = ["max_completion_tokens", "max_tokens"] as const;

/**
 * The question without what its server refused to know. The limit of tokens goes by its other name: OpenAI's newer models
 * take only max_completion_tokens, Mistral and many other servers only max_tokens. A schema of the answer becomes "JSON",
 * `temperature` is not sent. Undefined: there is no such question, for one without a limit has no bound to its cost.
 */
export function adaptQuestion(
  question: Question,
  refused: ReadonlySet<string>,
): Question | undefined {
  if (refused.size === 0) return question;
  const { max_completion_tokens, max_tokens, temperature, response_format, ...rest } = question;
  const limit = max_completion_tokens ?? max_tokens;
  const asked = max_completion_tokens === undefined ? [...limits].reverse() : limits;
  const name = asked.find((name) => !refused.has(name));
  if (limit !== undefined && name === undefined) return undefined;
  return {
    ...rest,
    ...(limit === undefined ? {} : { [name!]: limit }),
    ...(temperature === undefined || refused.has("temperature") ? {} : { temperature }),
    ...(response_format === undefined ? {} : {
      response_format: refused.has("response_format") ? { type: "json_object" } : response_format,
    }),
  };
}

/** What of the question a server says it does not take (400 or 422, and the parameter's name in its words). */
export function refusedParameter(question: Question, error: HTTPError): string | undefined {
  if (error.response.status !== 400 && error.response.status !== 422) return undefined;
  const complaint = JSON.stringify(error.data ?? "");
  return [...limits, "temperature", "response_format"].find((name) =>
    name in question && new RegExp(`\\b${name}\\b`).test(complaint)
  );
}
