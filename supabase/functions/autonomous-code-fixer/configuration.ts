import { readBaseUrl } from "../../../shared/base-url.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { PermanentError } from "../../../shared/job/errors.ts";

/** A variable or a setting has an invalid value. No fix is asked for until a person corrects it. */
export class ConfigurationError extends PermanentError {}

/** US dollars for a million tokens. */
export interface Prices {
  prompt: number;
  completion: number;
}

export interface Configuration {
  /** The base URL of an OpenAI-compatible API, without a slash at the end. */
  baseUrl: string;
  apiKey: string;
  model: string;
  /** Null when no prices are set; costs are then unknown. */
  prices: Prices | null;
}

/**
 * Reads the environment. `configuration` is null when a variable for asking the model is missing. `notConfigured`
 * names every missing variable, including the prices, without which only the cost is unknown.
 *
 * @throws ConfigurationError for an invalid value.
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

/** The cost in US dollars, to a millionth; null when the prices are unknown. */
export function costOf(prices: Prices | null, promptTokens: number, completionTokens: number) {
  if (prices === null) return null;
  const millionths = promptTokens * prices.prompt + completionTokens * prices.completion;
  return Math.ceil(millionths) / 1_000_000;
}
