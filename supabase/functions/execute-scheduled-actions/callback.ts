import { errorMessage } from "../../../shared/job/errors.ts";
import { abortable } from "./abortable.ts";
import type { ClaimedAction } from "./actions.ts";
import { isPublicAddress, type Resolve, resolveName } from "./addresses.ts";
import type { Call } from "./calls.ts";
import { type CallOutcome, callTimeoutMs, judge } from "./outcome.ts";
import { post } from "./post.ts";
import { signatureHeaders } from "./signature.ts";

/** The network access. A test replaces it, so that its own server can act as a public receiver. */
export interface CallbackOptions {
  now(): Date;
  resolve?: Resolve;
  isAllowed?(address: string): boolean;
  caCerts?: string[];
  timeoutMs?: number;
}

/**
 * Posts signed callbacks to https receivers on the public internet. It looks up a name once a run. All addresses of the
 * name must be public, and the connection goes to one of them.
 */
export function createCallback(key: Uint8Array, options: CallbackOptions): Call {
  const { now, resolve = resolveName, isAllowed = isPublicAddress, caCerts, timeoutMs } = options;
  const known = new Map<string, string[]>();

  async function addressesOf(hostname: string, signal: AbortSignal): Promise<string[]> {
    const literal = /^\[(.*)\]$/.exec(hostname)?.[1] ??
      (/^[\d.]+$/.test(hostname) ? hostname : undefined);
    const addresses = literal !== undefined
      ? [literal]
      : known.get(hostname) ?? await resolve(hostname, signal);
    if (!addresses.every(isAllowed)) {
      throw new RefusedTarget(`${hostname} is not allowed: it has an address that is not public`);
    }
    known.set(hostname, addresses);
    return addresses;
  }

  return async (action: ClaimedAction, stop: AbortSignal): Promise<CallOutcome> => {
    const timeout = AbortSignal.timeout(timeoutMs ?? callTimeoutMs);
    const signal = AbortSignal.any([stop, timeout]);
    try {
      const url = URL.parse(action.url ?? "");
      // The database checks only the form of a URL. It lets an open bracket or a port of six digits pass.
      if (url === null) return { outcome: "failed", error: "the URL cannot be read", final: true };
      if (url.protocol !== "https:" || url.username !== "" || url.password !== "") {
        throw new RefusedTarget("the URL must be https, without user and password");
      }
      const addresses = await abortable(addressesOf(url.hostname, signal), signal);
      const timestamp = JSON.stringify(action.due_at);
      const body =
        `{"type":"scheduled_action.due","timestamp":${timestamp},"data":${action.payload}}`;
      const answer = await post(
        {
          // Each try of an action uses the next address.
          address: addresses[action.attempts % addresses.length]!,
          hostname: url.hostname,
          port: Number(url.port || 443),
          path: url.pathname + url.search,
          ...(caCerts === undefined ? {} : { caCerts }),
        },
        {
          "content-type": "application/json",
          "user-agent": "daybook",
          "idempotency-key": action.idempotency_key,
          ...signatureHeaders(key, action.idempotency_key, now(), body),
        },
        body,
        signal,
      );
      return judge(answer.status, answer.retryAfter, now());
    } catch (error) {
      if (error instanceof RefusedTarget) return { outcome: "failed", error: error.message };
      const what = timeout.aborted
        ? `no answer within ${(timeoutMs ?? callTimeoutMs) / 1000} s`
        : `no answer: ${errorMessage(error)}`;
      return { outcome: "failed", error: what, silent: true };
    }
  };
}

/** A target that the job refuses to call. */
class RefusedTarget extends Error {}
