import { errorMessage } from "../../shared/job/errors.ts";
import { readBaseUrl } from "../../shared/base-url.ts";
import { CommandError, exitCodes } from "./io.ts";
import { answerOf, problemOf, type Query, type Source } from "./source.ts";

/** A credential, and where it came from: messages name the variable, never its value. */
export interface Credential {
  kind: "token" | "cron secret" | "service key";
  variable: string;
  value: string;
}

/** How long an answer may take. The database itself stops after five to seven seconds. */
const patienceMs = 15_000;

/** The API of a project: `https://<ref>.supabase.co`, or the whole address of its function `cron`. */
export function httpSource(url: string, credential: Credential): Source {
  const base = apiAddress(url);
  const headers = headersOf(credential);

  async function ask(method: "GET" | "POST", route: string, query: Query, body?: unknown) {
    const address = new URL(`${base}/${route}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, value);
    }
    const { status, text } = await send(address, {
      method,
      headers,
      // A redirect would take the secret elsewhere.
      redirect: "manual",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return answerOf(status, readAnswer(status, text));
  }

  async function send(address: URL, init: RequestInit) {
    try {
      const response = await fetch(address, { ...init, signal: AbortSignal.timeout(patienceMs) });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      const late = error instanceof DOMException && error.name === "TimeoutError";
      const why = late ? `no answer in ${patienceMs / 1000} s` : firstCause(error);
      throw new CommandError(
        exitCodes.unreachable,
        `Cannot reach ${base}: ${why}`,
        "is the URL right, and does the project or the stack run?",
      );
    }
  }

  function readAnswer(status: number, text: string): unknown {
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    if (status === 401) {
      // Of a user's token the answer says what is wrong with it.
      const why = credential.kind === "token" ? problemOf(body)?.message : undefined;
      throw new CommandError(
        exitCodes.unreachable,
        [`${base} refuses the ${credential.kind}`, why].filter(Boolean).join(": "),
        `it was that of ${credential.variable}: is it of this project, and not an older one?`,
      );
    }
    // What else answers there (a gateway without this function, another site) has no error of ours.
    if (status >= 300 && !(status === 503 && isHealth(body)) && problemOf(body) === undefined) {
      throw new CommandError(
        exitCodes.unreachable,
        `${base} answers ${status}, and not as the function cron does`,
        "is the URL right, and is the function cron deployed? supabase functions deploy cron",
      );
    }
    if (body === undefined) {
      throw new CommandError(
        exitCodes.unreachable,
        `${base} does not answer as the function cron does`,
        "is the URL right?",
      );
    }
    return body;
  }

  return {
    place: base,
    knowsAuthor: credential.kind === "token",
    read: (route, query = {}) => ask("GET", route, query) as never,
    act: (route, body) => ask("POST", route, {}, body) as never,
    close: () => Promise.resolve(),
  };
}

/** What lies below "fetch failed". */
function firstCause(error: unknown): string {
  return error instanceof Error && error.cause !== undefined
    ? firstCause(error.cause)
    // The client puts the URL before what went wrong.
    : errorMessage(error).replace(/^.*client error \(\w+\): /, "");
}

/** `health` answers 503 with its usual body when something is stalled. */
function isHealth(body: unknown): boolean {
  return typeof body === "object" && body !== null && "timestamp" in body;
}

function headersOf({ kind, value }: Credential): Record<string, string> {
  if (kind === "cron secret") return { "x-cron-secret": value };
  if (kind === "service key") return { apikey: value };
  return { authorization: `Bearer ${value}` };
}

/** The address of the function `cron`. Secrets go over https, but to this machine. */
function apiAddress(text: string): string {
  const base = readBaseUrl(text);
  if (base === undefined) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot use --url: it must be an http or https address without user, query or fragment",
      "https://<ref>.supabase.co",
    );
  }
  const { protocol, hostname } = new URL(base);
  if (protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) {
    throw new CommandError(
      exitCodes.usage,
      `Cannot use --url: a secret goes to ${hostname} over https only`,
      base.replace(/^http:/, "https:"),
    );
  }
  return /\/functions\/v1\/cron$/.test(base) ? base : `${base}/functions/v1/cron`;
}
