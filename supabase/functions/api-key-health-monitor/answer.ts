import type { ProviderError } from "./provider-error.ts";

/** A provider's complete answer. */
export interface Answer {
  /** The HTTP status. */
  status: number;
  headers: Headers;
  /** The body as JSON; `undefined` when it is not JSON. */
  body: unknown;
  /** The error that the body reports, without the key. */
  error: ProviderError;
  /** When the answer arrived. */
  now: Date;
}

/** The limit of a provider's current window, as far as the answer tells it. */
export interface Limits {
  limit?: number | undefined;
  remaining?: number | undefined;
  resetsAt?: Date | undefined;
}

/**
 * The status of the key, as an answer shows it.
 *
 * - `valid`: the provider accepts the key.
 * - `invalid`: the provider refuses the key.
 * - `rate_limited`: the provider accepts the key and answers no calls for now, because of a rate, quota or balance.
 * - `unreachable`: the answer tells nothing about the key.
 */
export interface Verdict {
  status: "valid" | "invalid" | "rate_limited" | "unreachable";
  /** A short message for people, without the key. */
  reason?: string | undefined;
}
