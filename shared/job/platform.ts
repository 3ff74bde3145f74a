// Types of EdgeRuntime, as Supabase publishes them.
import type {} from "@supabase/functions-js/src/edge-runtime.d.ts";

/** What a handler needs of the place it runs in; tests hand in their own. */
export interface Platform {
  /** An environment variable, `undefined` when it is not set or empty. */
  env(name: string): string | undefined;
  /** The names of all environment variables. */
  envNames(): string[];
  /** Milliseconds since the epoch. */
  now(): number;
  /** When this worker booted, in milliseconds since the epoch: its wall clock runs from here. */
  readonly bootedAt: number;
  /** Calls back every `intervalMs` until the returned function is called. */
  every(intervalMs: number, callback: () => void): () => void;
  /** Calls back once after `delayMs` unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
  /** Keeps the worker alive until the promise settles. */
  waitUntil(promise: Promise<unknown>): void;
  /** Calls back when the platform is about to end this worker; returns how to stop listening. */
  onShutdown(callback: (reason: string) => void): () => void;
  /** Why the platform is about to end this worker; `undefined` as long as it is not. */
  shutdownReason(): string | undefined;
  /** Writes one line of the log. */
  writeLine(line: string): void;
}

const bootedAt = Date.now();

/** The platform announces it once; later callers learn it from here. */
let shutdownReason: string | undefined;
addEventListener("beforeunload", (event) => shutdownReason = reasonOf(event));

/** Supabase's edge runtime, and plain Deno where it has no counterpart. */
export const edgePlatform: Platform = {
  env: (name) => Deno.env.get(name) || undefined,
  envNames: () => Object.keys(Deno.env.toObject()),
  now: () => Date.now(),
  bootedAt,
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs);
    return () => clearInterval(timer);
  },
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  waitUntil(promise) {
    if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(promise);
  },
  onShutdown(callback) {
    const listener = (event: Event) => callback(reasonOf(event));
    addEventListener("beforeunload", listener);
    return () => removeEventListener("beforeunload", listener);
  },
  shutdownReason: () => shutdownReason,
  writeLine: (line) => console.log(line),
};

/** Typed as a string, sent as {reason}: both are understood. */
function reasonOf(event: Event): string {
  const detail: unknown = (event as CustomEvent).detail;
  const reason = typeof detail === "object" && detail !== null && "reason" in detail
    ? detail.reason
    : detail;
  return String(reason ?? "unknown");
}
