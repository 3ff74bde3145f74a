/** Keys and tokens as Supabase Auth makes them, and a server that publishes the keys. */
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import {
  type HttpServer,
  type ReceivedRequest,
  type Reply,
  withHttpServer,
} from "./http-server.ts";

export interface SigningKey {
  kid: string;
  alg: "ES256" | "RS256";
  privateKey: CryptoKey;
  published: JWK;
}

/** A pair of keys under that id. */
export async function makeSigningKey(
  kid: string,
  alg: SigningKey["alg"] = "ES256",
): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const published = { ...await exportJWK(publicKey), kid, alg, use: "sig", key_ops: ["verify"] };
  return { kid, alg, privateKey, published };
}

export const ann = "a0000000-0000-4000-8000-000000000001";

/** The claims of an ordinary token of ann's, made at `now`. */
export const claimsOf = (issuer: string, now: Date): Record<string, unknown> => ({
  iss: `${issuer}/auth/v1`,
  sub: ann,
  aud: "authenticated",
  iat: now.getTime() / 1000,
  exp: now.getTime() / 1000 + 3600,
  email: "ann@example.com",
  phone: "",
  app_metadata: { provider: "email", providers: ["email"] },
  user_metadata: {},
  role: "authenticated",
  aal: "aal1",
  amr: [{ method: "password", timestamp: now.getTime() / 1000 }],
  session_id: "b0000000-0000-4000-8000-000000000001",
  is_anonymous: false,
});

/** A token with these claims. */
export const signToken = (
  { alg, kid, privateKey }: SigningKey,
  claims: Record<string, unknown>,
  header: Record<string, unknown> = {},
) => new SignJWT(claims).setProtectedHeader({ alg, kid, typ: "JWT", ...header }).sign(privateKey);

/** A token of the legacy secret. */
export const signLegacy = (claims: Record<string, unknown>, secret = "s".repeat(40)) =>
  new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(secret));

export const jwksPath = "/auth/v1/.well-known/jwks.json";

/** Runs `fn` with a server that answers for Supabase Auth's keys, and `other` for all else. */
export const withKeyServer = (
  keys: () => SigningKey[] | Reply,
  fn: (server: HttpServer) => Promise<void>,
  other: Reply | ((request: ReceivedRequest) => Reply) = { status: 404 },
) =>
  withHttpServer((request) => {
    if (request.url !== jwksPath) return typeof other === "function" ? other(request) : other;
    const found = keys();
    return Array.isArray(found)
      ? {
        status: 200,
        headers: { "content-type": "application/json", "cache-control": "public, max-age=600" },
        body: JSON.stringify({ keys: found.map(({ published }) => published) }),
      }
      : found;
  }, fn);
