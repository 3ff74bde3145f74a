/** One address for all, as Supabase's gateway: `/rest/v1`, `/auth/v1` and `/functions/v1/<name>`. */
import { isLoopbackHost } from "../shared/loopback.ts";
import type { Auth } from "./auth.ts";
import type { StackKeys } from "./keys.ts";

export interface GatewayOptions {
  /** 0 for any free one. */
  port: number;
  keys: StackKeys;
  auth: Pick<Auth, "handle">;
  /** Where PostgREST listens; undefined while it does not. */
  rest(): string | undefined;
  /** Where the functions listen; undefined while they do not. */
  functions(): string | undefined;
  /** How long a function may take to answer before the caller gets 504, in seconds. */
  idleTimeoutSeconds?: number;
}

export interface Gateway {
  url: string;
  stop(): Promise<void>;
}

const IDLE_TIMEOUT_SECONDS = 150;
/** What Supabase passes on. `fetch` refuses some of the others, and a function behind it could not be sent them. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Starts the gateway on loopback. */
export function startGateway(options: GatewayOptions): Gateway {
  const cut = new AbortController();
  const server = Deno.serve({
    signal: cut.signal,
    hostname: "127.0.0.1",
    port: options.port,
    onListen: () => {},
    onError: () => json(500, { message: "An unexpected error occurred" }),
  }, (request) => {
    if (!URL.canParse(request.url)) {
      return json(400, { code: "BAD_REQUEST", message: "Bad Request" });
    }
    const url = new URL(request.url);
    // A page on the web can make a browser resolve its own name to 127.0.0.1.
    if (!isLoopbackHost(url.hostname)) {
      return json(403, { message: "This gateway answers to 127.0.0.1 and localhost only" });
    }
    if (!METHODS.includes(request.method)) {
      return json(405, { code: "METHOD_NOT_ALLOWED", message: "Method not allowed" }, {
        allow: METHODS.join(", "),
      });
    }
    if (url.pathname === "/rest/v1" || url.pathname.startsWith("/rest/v1/")) {
      return forwardToRest(request, url, options);
    }
    if (url.pathname.startsWith("/auth/v1/")) return askAuth(request, url, options);
    if (url.pathname.startsWith("/functions/v1/")) return forwardToFunction(request, url, options);
    return json(404, { message: "no Route matched with those values" });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    async stop() {
      // Callers keep connections open for as long as they like; the functions have finished before this.
      cut.abort();
      await server.finished;
    },
  };
}

/** Everybody may see the published keys and ask, as a browser does, whether it may call; all else needs a key. */
function askAuth(
  request: Request,
  url: URL,
  { keys, auth }: GatewayOptions,
): Response | Promise<Response> {
  const path = url.pathname.slice("/auth/v1".length);
  if (request.method !== "OPTIONS" && !path.startsWith("/.well-known/")) {
    const jwt = jwtOfKey(request, url, keys);
    if (jwt instanceof Response) return jwt;
  }
  return auth.handle(request, path);
}

/** The JWT that an API key stands for, or the refusal of a request without one. */
function jwtOfKey(request: Request, url: URL, keys: StackKeys): string | Response {
  const apikey = request.headers.get("apikey") ?? url.searchParams.get("apikey");
  if (apikey === null) {
    return json(401, {
      message: "No API key found in request",
      hint: "No `apikey` request header or url param was found.",
    });
  }
  if (apikey === keys.secretKey || apikey === keys.serviceRoleKey) return keys.serviceRoleKey;
  if (apikey === keys.publishableKey || apikey === keys.anonKey) return keys.anonKey;
  return json(401, { message: "Invalid API key", hint: "Double check your API key." });
}

function forwardToRest(
  request: Request,
  url: URL,
  options: GatewayOptions,
): Response | Promise<Response> {
  const jwt = jwtOfKey(request, url, options.keys);
  if (jwt instanceof Response) return jwt;
  const headers = new Headers(request.headers);
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  // The new keys are no JWTs: what says who asks is the apikey then, unless a user's own JWT came along.
  if (bearer === undefined || bearer.startsWith("sb_")) {
    headers.set("authorization", `Bearer ${jwt}`);
  }
  headers.delete("apikey");
  url.searchParams.delete("apikey");
  const path = url.pathname.slice("/rest/v1".length) || "/";
  return forward(request, options.rest(), path + url.search, headers);
}

async function forwardToFunction(
  request: Request,
  url: URL,
  options: GatewayOptions,
): Promise<Response> {
  const seconds = options.idleTimeoutSeconds ?? IDLE_TIMEOUT_SECONDS;
  const idle = AbortSignal.timeout(seconds * 1000);
  const path = url.pathname.slice("/functions/v1".length) + url.search;
  const response = await forward(request, options.functions(), path, request.headers, idle);
  // Keeps functions from serving web pages from the API's address.
  if (request.method === "GET" && response.headers.get("content-type")?.startsWith("text/html")) {
    response.headers.set("content-type", "text/plain");
  }
  return response;
}

async function forward(
  request: Request,
  upstream: string | undefined,
  path: string,
  headers: Headers,
  idle?: AbortSignal,
): Promise<Response> {
  if (upstream === undefined) return json(503, { message: "name resolution failed" });
  const forwarded = new Headers(headers);
  for (const name of ["host", "connection", "keep-alive", "transfer-encoding", "upgrade"]) {
    forwarded.delete(name);
  }
  const { host } = new URL(request.url);
  forwarded.set("x-forwarded-host", host);
  forwarded.set("x-forwarded-proto", "http");
  forwarded.set("x-forwarded-for", "127.0.0.1");
  try {
    const response = await fetch(upstream + path, {
      method: request.method,
      headers: forwarded,
      body: request.body,
      redirect: "manual",
      ...(idle ? { signal: idle } : {}),
    });
    const answered = new Headers(response.headers);
    // What came through fetch is no longer compressed.
    if (answered.has("content-encoding")) {
      answered.delete("content-encoding");
      answered.delete("content-length");
    }
    return new Response(response.body, { status: response.status, headers: answered });
  } catch (error) {
    if (idle?.aborted) {
      return json(504, { code: "IDLE_TIMEOUT", message: "Request idle timeout limit reached" });
    }
    if (error instanceof TypeError && /refused|reset/i.test(String(error.cause ?? error))) {
      return json(503, { message: "failure to get a peer from the ring-balancer" });
    }
    return json(502, {
      message: "An invalid response was received from the upstream server",
    });
  }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers });
}
