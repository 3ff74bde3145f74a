import { readBaseUrl } from "../../../shared/base-url.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { PermanentError } from "../../../shared/job/errors.ts";

/** A variable or a setting has a value that cannot be meant: no fix is asked for until somebody puts it right. */
export class ConfigurationError extends PermanentError {}

/** US dollars for a million tokens. */
export interface Prices {
  prompt: number;
  completion: number;
}

export interface Configuration {
  /** Of an OpenAI-compatible API, without a slash at the end. */
  baseUrl: string;
  apiKey: string;
  model: string;
  /** Null: not told, so costs are not known. */
  prices: Prices | null;
}

/**
 * Reads the environment. `configuration` is null when nobody can be asked; `notConfigured` names every variable
 * that is missing, those without which only the cost is unknown too.
 *
 * @throws ConfigurationError for a value that cannot be meant.
 */
export function readConfiguration(
  env: JobContext["env"],
): { configuration: Configuration | null; notConfigured: string[] } {
  const names = [
    "CODE_FIXER_API_KEY",
    "CODE_FIXER_MODEL",
    "CODE_FIXER_PROMPT_PRICE",
    "CODE_FIXER_COMPLETION_PRICE",
  ];
  const notConfigured = names.filter((name) => env(name) === undefined);
  const apiKey = env("CODE_FIXER_API_KEY");
  const model = env("CODE_FIXER_MODEL");
  if (apiKey === undefined || model === undefined) return { configuration: null, notConfigured };
  const baseUrl = readBaseUrl(env("CODE_FIXER_BASE_URL") ?? "https://api.openai.com/v1");
  if (baseUrl === undefined) {
    throw new ConfigurationError(
      "Cannot ask the model: CODE_FIXER_BASE_URL must be an http(s) URL",
    );
  }
  const prompt = readPrice(env, "CODE_FIXER_PROMPT_PRICE");
  const completion = readPrice(env, "CODE_FIXER_COMPLETION_PRICE");
  return {
    configuration: {
      baseUrl,
      apiKey,
      model,
      prices: prompt === undefined || completion === undefined ? null : { prompt, completion },
    },
    notConfigured,
  };
}

function readPrice(env: JobContext["env"], name: string): number | undefined {
  const text = env(name);
  if (text === undefined) return undefined;
  if (!/^\d+(\.\d+)?$/.test(text)) {
    throw new ConfigurationError(
      `Cannot ask the model: ${name} must be US dollars for a million tokens, such as 0.15, got ${text}`,
    );
  }
  return Number(text);
}

/** US dollars, to a millionth; null when prices are not known. */
export function costOf(prices: Prices | null, promptTokens: number, completionTokens: number) {
  if (prices === null) return null;
  const millionths = promptTokens * prices.prompt + completionTokens * prices.completion;
  return Math.ceil(millionths) / 1_000_000;
}
