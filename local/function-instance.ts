/** One worker of one function, from its boot to its end, under the limits of the platform. */
import type { Redact } from "../shared/job/logger.ts";
import type { FromWorker, ToWorker, UnloadReason } from "./functions-messages.ts";
import { watchBody } from "./watched-body.ts";

export interface InstanceLimits {
  /** How long a worker may live, in milliseconds. */
  wallClockMs: number;
  /** How long it may take after `beforeunload` when the whole process stops, in milliseconds. */
  terminationMs: number;
}

export interface FunctionInstance {
  /** False once half of its time is over or it has failed: then a new one must be booted. */
  acceptsRequests(): boolean;
  handle(request: Request): Promise<Response>;
  /** `beforeunload`, time to finish, the end. */
  unload(reason: UnloadReason): Promise<void>;
  ended: Promise<void>;
}

/** The share of the wall clock after which no new request is taken, as on Supabase. */
const RETIRE_AT = 0.5;
/** The share of the wall clock after which the worker hears of its end, as on Supabase. */
const WARN_AT = 0.9;

/** How much of the reason why it did not boot is in the answer. */
const REASON_LENGTH = 2000;

/**
 * Boots a worker for `module`. Never throws: a worker that did not boot answers 503 to everything, with the
 * reason, from which `hide` takes the secrets.
 */
export function bootInstance(
  name: string,
  module: string,
  limits: InstanceLimits,
  hide: Redact,
): FunctionInstance {
  const worker = new Worker(import.meta.resolve("./functions-worker.ts"), { type: "module", name });
  const booted = Promise.withResolvers<string | undefined>();
  const ended = Promise.withResolvers<void>();
  const answers = new Map<number, (response: Response) => void>();
  const waiting = new Set<() => void>();
  let accepts = true;
  let over = false;
  let unloading: Promise<void> | undefined;
  let pending = 0;
  let nextId = 1;

  const send = (message: ToWorker, transfer: Transferable[] = []) =>
    worker.postMessage(message, transfer);

  function finish(status: number, code: string, message: string) {
    if (over) return;
    over = true;
    accepts = false;
    for (const timer of timers) clearTimeout(timer);
    worker.terminate();
    booted.resolve(message);
    for (const answer of answers.values()) answer(failure(status, code, message));
    answers.clear();
    for (const wake of waiting) wake();
    ended.resolve();
  }

  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if (data.type === "booted") return booted.resolve(undefined);
    if (data.type === "boot_failed") {
      console.error(`${name} did not boot: ${data.message}`);
      accepts = false;
      return booted.resolve(data.message);
    }
    if (data.type === "pending") {
      pending = data.count;
      if (pending === 0) {
        for (const wake of waiting) wake();
        if (!accepts) retire();
      }
      return;
    }
    const answer = answers.get(data.id);
    answers.delete(data.id);
    if (data.type === "response") {
      return answer?.(new Response(data.body, { status: data.status, headers: data.headers }));
    }
    console.error(`${name} failed: ${data.message}`);
    answer?.(failure(500, "WORKER_ERROR", "Function exited due to an error (please check logs)"));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    console.error(`${name} ended by an error nobody caught: ${event.message}`);
    finish(500, "WORKER_ERROR", "Function exited due to an error (please check logs)");
  };

  function retire() {
    if (!over && pending === 0 && answers.size === 0) void unload("early_drop");
  }

  function unload(reason: UnloadReason): Promise<void> {
    return unloading ??= sayGoodbye(reason);
  }

  async function sayGoodbye(reason: UnloadReason) {
    accepts = false;
    if (over) return;
    const limit = reason === "wall_clock"
      ? limits.wallClockMs * (1 - WARN_AT)
      : limits.terminationMs;
    send({ type: "unload", reason });
    await idle(limit);
    finish(
      546,
      "WORKER_LIMIT",
      "Function failed due to not having enough compute resources (please check logs)",
    );
  }

  /** Until the worker says, after this moment, that nothing is left to do; or until the limit. */
  function idle(limitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limitMs);
    waiting.add(resolve);
    return promise.finally(() => {
      clearTimeout(timer);
      waiting.delete(resolve);
    });
  }

  const timers = [
    setTimeout(() => {
      accepts = false;
      retire();
    }, limits.wallClockMs * RETIRE_AT),
    setTimeout(() => {
      console.error(`${name}: wall clock limit of ${limits.wallClockMs / 1000} s is near`);
      void unload("wall_clock");
    }, limits.wallClockMs * WARN_AT),
  ];

  send({ type: "boot", module });
  return {
    acceptsRequests: () => accepts,
    ended: ended.promise,
    unload,
    async handle(request) {
      const problem = await booted.promise;
      if (problem !== undefined) {
        finish(503, "BOOT_ERROR", problem);
        // Supabase keeps the reason in its logs. Here the caller is who wrote the function.
        const reason = hide(problem).slice(0, REASON_LENGTH);
        return failure(503, "BOOT_ERROR", "Function failed to start (please check logs)", reason);
      }
      const { promise, resolve } = Promise.withResolvers<Response>();
      const id = nextId++;
      answers.set(id, resolve);
      const { method, url } = request;
      const watched = request.body === null ? undefined : watchBody(request.body);
      const body = watched?.stream ?? null;
      send(
        { type: "request", id, method, url, headers: [...request.headers], body },
        body === null ? [] : [body],
      );
      const response = await promise;
      await watched?.discardRest();
      return response;
    },
  };
}

function failure(status: number, code: string, message: string, reason?: string): Response {
  return Response.json({ code, message, ...(reason === undefined ? {} : { reason }) }, { status });
}
