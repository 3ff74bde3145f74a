import { verifyCredentials } from "@supabase/server/core";
import { isLoopbackHost } from "../loopback.ts";
import type { KnownSecrets } from "./credentials.ts";
import { HttpError } from "./errors.ts";
import type { Platform } from "./platform.ts";

/** Who called: the credential that let them in, by name. */
export interface Caller {
  credential: string;
}

/**
 * Lets a request in, or not. Looks at headers only, never at the body or the database.
 *
 * Accepted are the cron secret (`x-cron-secret` or `Authorization: Bearer`) and a service key (`apikey` or
 * `Authorization: Bearer`). A bare `x-manual-call: true` is enough only where
 * `ALLOW_UNAUTHENTICATED_MANUAL_CALLS=true` is set and the whole stack is on loopback.
 *
 * @param tokens Further secrets, by name, that let in as `Authorization: Bearer`: those of this function alone.
 * @throws HttpError 401 without a valid credential.
 */
export async function authenticate(
  request: Request,
  secrets: KnownSecrets,
  env: Platform["env"],
  tokens: Record<string, string> = {},
): Promise<Caller> {
  const bearer = readBearer(request);
  const candidates: [string | null | undefined, Record<string, string>][] = [
    [request.headers.get("x-cron-secret"), secrets.cron],
    [request.headers.get("apikey"), secrets.service],
    [bearer, { ...secrets.cron, ...secrets.service, ...tokens }],
  ];
  for (const [value, keys] of candidates) {
    const credential = value && await matchingKey(value, keys);
    if (credential) return { credential };
  }
  const manual = request.headers.get("x-manual-call")?.toLowerCase() === "true";
  if (
    manual && env("ALLOW_UNAUTHENTICATED_MANUAL_CALLS") === "true" &&
    isLoopback(request.url) && isLoopback(env("SUPABASE_URL"))
  ) {
    return { credential: "loopback" };
  }
  throw new HttpError(
    401,
    "unauthorized",
    "Cannot serve the request: it carries no valid credential",
    [
      "send x-cron-secret with CRON_SECRET, or apikey with the project's secret key",
      ...Object.keys(tokens).map((name) => `or Authorization: Bearer with ${name}`),
    ].join(", "),
    { "www-authenticate": "Bearer" },
  );
}

/** What `Authorization: Bearer` has. */
export function readBearer(request: Request): string | undefined {
  return /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}

/** The name of the key that equals the value; compared in constant time by Supabase's own library. */
async function matchingKey(value: string, keys: Record<string, string>): Promise<string | null> {
  const { data } = await verifyCredentials(
    { token: null, apikey: value },
    // The URL plays no part in comparing keys, but the library wants one.
    {
      auth: "secret:*",
      env: { url: "http://localhost", secretKeys: keys, publishableKeys: {}, jwks: null },
    },
  );
  return data?.keyName ?? null;
}

function isLoopback(url: string | undefined): boolean {
  return url !== undefined && URL.canParse(url) && isLoopbackHost(new URL(url).hostname);
}
