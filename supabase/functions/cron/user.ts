/** Who signed in with Supabase Auth: their token, held against the keys that the project publishes. */
import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTVerifyGetKey,
  type RemoteJWKSet,
} from "jose";
import { errorMessage, HttpError, misconfigured } from "../../../shared/job/errors.ts";
import type { Platform } from "../../../shared/job/platform.ts";

/** Takes a token and gives the user's id. */
export type VerifyUser = (token: string) => Promise<string>;

export interface VerifyOptions {
  /** For so long after the keys were fetched an unknown one does not make it fetch again. Default 30 s. */
  cooldownMs?: number;
}

const signInAgain = "sign in again with supabase-js, which also refreshes tokens";
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether that is a JWT by its form. Cron secrets and the new keys have no dots. */
export const looksLikeJwt = (value: string) => /^[\w-]+\.[\w-]+\.[\w-]*$/.test(value);

/**
 * What verifies the tokens of the project's users. The keys are fetched at the first of them and kept for ten minutes.
 *
 * A token is taken when it is signed with ES256 or RS256 by a key of `/auth/v1/.well-known/jwks.json`, by the issuer
 * `AUTH_ISSUER` (default `<SUPABASE_URL>/auth/v1`), for the audience and the role `authenticated`, and has not been over
 * for more than 5 seconds.
 *
 * @throws HttpError 401 `unauthorized` for any other token, and says why; 403 `forbidden` for one that was given to
 * an OAuth client; 503 `auth_unavailable` where Supabase Auth does not give its keys.
 */
export function createVerifyUser(
  { env, now }: Pick<Platform, "env" | "now">,
  { cooldownMs = 30_000 }: VerifyOptions = {},
): VerifyUser {
  const { keys, issuer } = readProject(env);
  const jwks = createRemoteJWKSet(keys, { cooldownDuration: cooldownMs });

  return async (token) => {
    const { alg } = header(token);
    if (alg === "HS256") throw await legacyRefusal(token, jwks);
    try {
      const { payload } = await jwtVerify(token, keyOf(jwks), {
        algorithms: ["ES256", "RS256"],
        issuer,
        audience: "authenticated",
        requiredClaims: ["exp", "sub"],
        clockTolerance: 5,
        currentDate: new Date(now()),
      });
      if (payload.role !== "authenticated") throw refusal("its role is not authenticated");
      if (payload.client_id !== undefined) throw givenToClient();
      if (!uuid.test(payload.sub!)) throw refusal("it names no user");
      return payload.sub!;
    } catch (error) {
      throw error instanceof HttpError ? error : refusal(faultOf(error, issuer), hintOf(error));
    }
  };
}

function readProject(env: Platform["env"]): { keys: URL; issuer: string } {
  const url = env("SUPABASE_URL");
  if (url === undefined) throw misconfigured("SUPABASE_URL is not set");
  const auth = `${url.replace(/\/+$/, "")}/auth/v1`;
  if (!URL.canParse(auth)) throw misconfigured("SUPABASE_URL must be a URL");
  return { keys: new URL(`${auth}/.well-known/jwks.json`), issuer: env("AUTH_ISSUER") ?? auth };
}

function header(token: string) {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw refusal("it is no JWT");
  }
}

/** The key of a token. That the keys cannot be fetched is no fault of the token's. */
function keyOf(jwks: RemoteJWKSet): JWTVerifyGetKey {
  return async (header, token) => {
    try {
      return await jwks(header, token);
    } catch (error) {
      const isFault = error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys;
      throw isFault ? error : unavailable(error);
    }
  };
}

/** HS256 is signed with the legacy secret, which can also make service keys: a function should not have to hold it. */
async function legacyRefusal(token: string, jwks: RemoteJWKSet): Promise<HttpError> {
  if (roleIn(token) !== "authenticated") return refusal("it is no user's", signInAgain);
  try {
    if (jwks.jwks() === undefined || !jwks.coolingDown) await jwks.reload();
  } catch (error) {
    return unavailable(error);
  }
  return jwks.jwks()!.keys.length > 0
    ? refusal(
      "it is signed with the project's legacy JWT secret",
      `${signInAgain}; if that does not help, rotate to the new JWT signing key (dashboard, Settings, JWT Keys)`,
    )
    : refusal(
      "the project signs tokens with its legacy JWT secret, and publishes no key",
      "migrate to JWT signing keys (dashboard, Settings, JWT Keys), then sign in again; see docs/api.md",
    );
}

function roleIn(token: string): unknown {
  try {
    return decodeJwt(token).role;
  } catch {
    return undefined;
  }
}

function faultOf(error: unknown, issuer: string): string {
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === "iss"
      ? `its issuer is not ${issuer}`
      : `its claim ${error.claim} is missing or wrong`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "its algorithm is neither ES256 nor RS256";
  if (
    error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys
  ) return "it is signed with no key of this project";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "its signature is wrong";
  return "it is no valid JWT";
}

function hintOf(error: unknown): string {
  const isOther = error instanceof errors.JWTClaimValidationFailed && error.claim === "iss";
  return isOther ? "behind a domain of your own set AUTH_ISSUER, see docs/api.md" : signInAgain;
}

const refusal = (fault: string, hint = signInAgain) =>
  new HttpError(
    401,
    "unauthorized",
    `Cannot serve the request: the token is refused, ${fault}`,
    hint,
    { "www-authenticate": 'Bearer error="invalid_token"' },
  );

const givenToClient = () =>
  new HttpError(
    403,
    "forbidden",
    "Cannot serve the request: the token was given to an OAuth client, which may not act for its user here",
    "sign in to this project itself",
  );

const unavailable = (error: unknown) =>
  new HttpError(
    503,
    "auth_unavailable",
    `Cannot check the token: Supabase Auth gave no keys (${errorMessage(error).slice(0, 200)})`,
    "is /auth/v1/.well-known/jwks.json of the project up? Then try again",
  );
