/** Which pages in a browser may call the API: those of the origins in `CONSOLE_ORIGINS`. */
import { misconfigured } from "../../../shared/job/errors.ts";
import type { Platform } from "../../../shared/job/platform.ts";
import { isLoopbackHost } from "../../../shared/loopback.ts";

/**
 * What a page may send: its user's token, a body's type, and what supabase-js and MCP clients add. Not `x-cron-secret` and not
 * `x-manual-call`: no page holds the secret, and the other header alone opens a stack on loopback.
 */
const allowedHeaders = [
  "authorization",
  "content-type",
  "apikey",
  "x-client-info",
  "mcp-protocol-version",
  "mcp-method",
  "mcp-name",
];
const allowedMethods = ["GET", "HEAD", "POST"];
/** For so long a browser keeps the answer to its question. */
const keptSeconds = 600;

/**
 * Reads `CONSOLE_ORIGINS`, origins with commas between them; `[]` when it is not set.
 *
 * @throws HttpError 500 `misconfigured` for anything else than an https origin, or an http one on loopback, as a browser
 * sends it: no `*`, no path, no slash at the end. It quotes nothing: it is answered to callers without a credential, too.
 */
export function readConsoleOrigins(env: Platform["env"]): string[] {
  const origins = env("CONSOLE_ORIGINS")?.split(",").map((origin) => origin.trim()) ?? [];
  const wrong = origins.findIndex((origin) => !isOrigin(origin));
  if (wrong !== -1) {
    throw misconfigured(
      "CONSOLE_ORIGINS must be origins like https://console.example.com with commas between them: " +
        `number ${wrong + 1} is none`,
    );
  }
  return origins;
}

function isOrigin(text: string): boolean {
  if (text.includes("*") || !URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  return origin === text &&
    (protocol === "https:" || protocol === "http:" && isLoopbackHost(hostname));
}

/** The answer to a browser's question whether it may call; undefined for any other request, and for other origins. */
export function answerPreflight(request: Request, origins: string[]): Response | undefined {
  const isQuestion = request.method === "OPTIONS" &&
    request.headers.has("access-control-request-method");
  if (!isQuestion || !isListed(request, origins)) return undefined;
  return withCors(
    request,
    origins,
    new Response(null, {
      status: 204,
      headers: {
        "access-control-allow-methods": allowedMethods.join(", "),
        "access-control-allow-headers": allowedHeaders.join(", "),
        "access-control-max-age": String(keptSeconds),
      },
    }),
  );
}

/** The answer, readable for a page of a listed origin. No credentials: nothing here goes by cookies. */
export function withCors(request: Request, origins: string[], response: Response): Response {
  if (origins.length === 0) return response;
  const headers = new Headers(response.headers);
  headers.append("vary", "origin");
  if (isListed(request, origins)) {
    headers.set("access-control-allow-origin", request.headers.get("origin")!);
  }
  return new Response(response.body, { status: response.status, headers });
}

const isListed = (request: Request, origins: string[]) =>
  origins.includes(request.headers.get("origin") ?? "");
