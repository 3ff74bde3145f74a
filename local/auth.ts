/**
 * A stand-in for Supabase Auth: signing in with a password, refreshing, signing out, the user, and the published key.
 * Answers and refusals are those of the real server. Users are given to it; sessions live as long as it does.
 */
import { randomBytes } from "node:crypto";
import { type CryptoKey, errors, importJWK, type JWK, jwtVerify, SignJWT } from "jose";

export interface AuthUser {
  id: string;
  email: string;
  password: string;
}

export interface AuthOptions {
  /** The private key of ES256, with its `kid`. */
  signingKey: JWK;
  /** The address of this server, which signs in its name. */
  issuer(): string;
  users: AuthUser[];
}

export interface Auth {
  /** Answers a request of this path below `/auth/v1`. */
  handle(request: Request, path: string): Promise<Response>;
  /** One more user, with a password made up for them. */
  addUser(email: string): AuthUser;
}

interface Session {
  id: string;
  user: AuthUser;
  signedInAt: number;
  /** In the order in which they were given out; the last is the one to use. */
  refreshTokens: string[];
}

const EXPIRES_IN_SECONDS = 3600;

/** A refusal as the real server words it. */
class AuthError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

export function createAuth({ signingKey, issuer, users: given }: AuthOptions): Auth {
  const users = [...given];
  const sessions = new Map<string, Session>();
  const { d: _, ...publicPart } = signingKey;
  const publicJwk = { ...publicPart, alg: "ES256", use: "sig", key_ops: ["verify"], ext: true };

  const routes: Record<string, (request: Request) => Promise<Response>> = {
    "GET /.well-known/jwks.json": () =>
      Promise.resolve(
        Response.json({ keys: [publicJwk] }, {
          headers: { "cache-control": "public, max-age=600" },
        }),
      ),
    "POST /token": async (request) => Response.json(await issue(request)),
    "GET /user": async (request) => Response.json(describe((await sessionOf(request)).user)),
    "POST /logout": async (request) => {
      sessions.delete((await sessionOf(request)).id);
      return new Response(null, { status: 204 });
    },
  };

  async function issue(request: Request) {
    const grant = new URL(request.url).searchParams.get("grant_type");
    if (grant === "password") return await answerOf(signIn(await readBody(request)));
    if (grant === "refresh_token") return await answerOf(refresh(await readBody(request)));
    throw new AuthError(400, "invalid_credentials", "unsupported_grant_type");
  }

  function signIn({ email, password }: Record<string, unknown>): Session {
    if (typeof email !== "string" || email === "") {
      throw new AuthError(400, "validation_failed", "missing email or phone");
    }
    const user = users.find((user) => user.email === email.toLowerCase());
    if (user === undefined || user.password !== password) {
      throw new AuthError(400, "invalid_credentials", "Invalid login credentials");
    }
    const session = {
      id: crypto.randomUUID(),
      user,
      signedInAt: seconds(),
      refreshTokens: [makeRefreshToken()],
    };
    sessions.set(session.id, session);
    return session;
  }

  /** The token before the last is taken once more: its answer may have been lost. */
  function refresh({ refresh_token: token }: Record<string, unknown>): Session {
    const session = [...sessions.values()].find(({ refreshTokens }) =>
      refreshTokens.includes(String(token))
    );
    if (session === undefined) {
      throw new AuthError(
        400,
        "refresh_token_not_found",
        "Invalid Refresh Token: Refresh Token Not Found",
      );
    }
    const { refreshTokens } = session;
    const age = refreshTokens.length - 1 - refreshTokens.indexOf(String(token));
    if (age > 1) {
      sessions.delete(session.id);
      throw new AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used");
    }
    if (age === 0) refreshTokens.push(makeRefreshToken());
    return session;
  }

  async function answerOf({ id, user, signedInAt, refreshTokens }: Session) {
    const now = seconds();
    const token = await new SignJWT({
      email: user.email,
      phone: "",
      app_metadata: { provider: "email", providers: ["email"] },
      user_metadata: { email_verified: true },
      role: "authenticated",
      aal: "aal1",
      amr: [{ method: "password", timestamp: signedInAt }],
      session_id: id,
      is_anonymous: false,
    }).setProtectedHeader({ alg: "ES256", kid: signingKey.kid!, typ: "JWT" })
      .setIssuer(issuer()).setSubject(user.id).setAudience("authenticated")
      .setIssuedAt(now).setExpirationTime(now + EXPIRES_IN_SECONDS)
      .sign(await importJWK(signingKey, "ES256"));
    return {
      access_token: token,
      token_type: "bearer",
      expires_in: EXPIRES_IN_SECONDS,
      expires_at: now + EXPIRES_IN_SECONDS,
      refresh_token: refreshTokens.at(-1)!,
      user: describe(user),
    };
  }

  async function sessionOf(request: Request): Promise<Session> {
    const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (token === undefined) {
      throw new AuthError(
        401,
        "no_authorization",
        "This endpoint requires a valid Bearer token",
      );
    }
    const key = await importJWK(publicJwk, "ES256") as CryptoKey;
    const { payload } = await jwtVerify(token, key, { algorithms: ["ES256"] }).catch((error) => {
      if (!(error instanceof errors.JOSEError)) throw error;
      throw new AuthError(
        403,
        "bad_jwt",
        `invalid JWT: unable to parse or verify signature, ${error.message}`,
      );
    });
    const session = sessions.get(String(payload.session_id));
    if (session === undefined) {
      throw new AuthError(
        403,
        "session_not_found",
        "Session from session_id claim in JWT does not exist",
      );
    }
    return session;
  }

  return {
    async handle(request, path) {
      if (request.method === "OPTIONS") return withCors(new Response(null, { status: 204 }));
      const route = routes[`${request.method} ${path}`];
      if (route === undefined) return withCors(refuse(request, notFound));
      try {
        return withCors(await route(request));
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        return withCors(refuse(request, error));
      }
    },
    addUser(email) {
      const user = makeUser(email);
      users.push(user);
      return user;
    },
  };
}

/** A user with a random password. */
export const makeUser = (email: string, id: string = crypto.randomUUID()): AuthUser => ({
  id,
  email,
  password: randomBytes(16).toString("base64url"),
});

const notFound = new AuthError(404, "not_found", "404 page not found");

const seconds = () => Math.floor(Date.now() / 1000);
const makeRefreshToken = () => randomBytes(9).toString("base64url");

async function readBody(request: Request): Promise<Record<string, unknown>> {
  try {
    return Object(await request.json());
  } catch (error) {
    throw new AuthError(
      400,
      "bad_json",
      `Could not parse request body as JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
}

const VERSION = "2024-01-01";

/** Clients that name a version get the newer form, and are told so. */
function refuse(request: Request, { status, code, message }: AuthError): Response {
  const isNew = (request.headers.get("x-supabase-api-version") ?? "") >= VERSION;
  return Response.json(
    isNew ? { code, message } : { code: status, error_code: code, msg: message },
    {
      status,
      headers: { "x-sb-error-code": code, ...(isNew ? { "x-supabase-api-version": VERSION } : {}) },
    },
  );
}

/** Any page may sign users in, as on the platform: nothing goes by cookies. */
function withCors(response: Response): Response {
  response.headers.set("access-control-allow-origin", "*");
  response.headers.set("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE");
  response.headers.set(
    "access-control-allow-headers",
    "accept, authorization, content-type, apikey, x-client-info, x-supabase-api-version",
  );
  response.headers.set("access-control-expose-headers", "x-supabase-api-version");
  return response;
}

const madeAt = "2026-01-01T00:00:00Z";
const describe = ({ id, email }: AuthUser) => ({
  id,
  aud: "authenticated",
  role: "authenticated",
  email,
  email_confirmed_at: madeAt,
  phone: "",
  confirmed_at: madeAt,
  app_metadata: { provider: "email", providers: ["email"] },
  user_metadata: { email_verified: true },
  identities: [],
  created_at: madeAt,
  updated_at: madeAt,
  is_anonymous: false,
});
