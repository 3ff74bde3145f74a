import type { ProviderError } from "./provider-error.ts";

/** What a provider answered, read to its end. */
export interface Answer {
  /** The HTTP status. */
  status: number;
  headers: Headers;
  /** The body as JSON; `undefined` when it is none. */
  body: unknown;
  /** What the body says went wrong, without the key. */
  error: ProviderError;
  /** When it came. */
  now: Date;
}

/** How much a provider allows in its window, as far as it says. */
export interface Limits {
  limit?: number | undefined;
  remaining?: number | undefined;
  resetsAt?: Date | undefined;
}

/**
 * What an answer says about the key.
 *
 * - `valid`: the provider knows it.
 * - `invalid`: the provider refuses it.
 * - `rate_limited`: the provider knows it and answers no calls for now: rate, quota or balance.
 * - `unreachable`: nothing was learnt about it.
 */
export interface Verdict {
  status: "valid" | "invalid" | "rate_limited" | "unreachable";
  /** For people, short, without the key. */
  reason?: string | undefined;
}
