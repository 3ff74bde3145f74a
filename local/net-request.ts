/** One HTTP request as pg_net makes it, and what of it ends up in net._http_response. */

export interface QueuedRequest {
  id: string;
  method: string;
  url: string;
  headers: Record<string, string> | null;
  body: Uint8Array | null;
  timeout_milliseconds: number;
}

export interface NetResponse {
  id: string;
  status_code: number | null;
  content_type: string | null;
  headers: Record<string, string> | null;
  /** The bytes as they came, whatever the encoding: pg_net checks none. */
  content: Uint8Array | null;
  timed_out: boolean;
  error_msg: string | null;
}

/** Sends it once. Never throws unless stopped: what went wrong is in `error_msg`, in the words of libcurl. */
export async function sendRequest(
  request: QueuedRequest,
  stopped?: AbortSignal,
): Promise<NetResponse> {
  const { id, timeout_milliseconds: timeoutMs } = request;
  if (!/^https?:/i.test(request.url)) return failed(id, "Unsupported protocol");
  const startedAt = performance.now();
  // To libcurl 0 is no limit.
  const timeout = timeoutMs === 0 ? new AbortController().signal : AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(request.url, {
      method: request.method.toUpperCase(),
      headers: [...headerLines(request.headers), ["User-Agent", "pg_net/0.20.4"]],
      body: request.method.toUpperCase() === "GET" ? null : request.body as BodyInit | null,
      signal: stopped ? AbortSignal.any([timeout, stopped]) : timeout,
    });
    return {
      id,
      status_code: response.status,
      content_type: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: untilZero(await response.bytes()),
      timed_out: false,
      error_msg: null,
    };
  } catch (error) {
    if (stopped?.aborted) throw error;
    if (!timeout.aborted) return failed(id, describe(error));
    const total = (performance.now() - startedAt).toFixed(6);
    return {
      ...failed(
        id,
        `Timeout of ${timeoutMs} ms reached. Total time: ${total} ms (DNS time: 0.000000 ms, ` +
          `TCP/SSL handshake time: 0.000000 ms, HTTP Request/Response time: ${total} ms)`,
      ),
      timed_out: true,
    };
  }
}

/** libcurl sends a value as it is: what comes after a line break in it is a header of its own. */
function headerLines(headers: Record<string, string> | null): [string, string][] {
  return Object.entries(headers ?? {})
    .flatMap(([name, value]) => `${name}: ${value}`.split(/\r\n|\r|\n/))
    .map((line) => line.match(/^([^:]+): *(.*)$/))
    .flatMap((match) => match ? [[match[1]!, match[2]!]] : []);
}

/** Text in Postgres cannot hold a zero byte; pg_net ends there. */
function untilZero(content: Uint8Array): Uint8Array | null {
  const zero = content.indexOf(0);
  const kept = zero === -1 ? content : content.subarray(0, zero);
  return kept.length === 0 ? null : kept;
}

function failed(id: string, message: string): NetResponse {
  return {
    id,
    status_code: null,
    content_type: null,
    headers: null,
    content: null,
    timed_out: false,
    error_msg: message,
  };
}

/** What Deno says, in lower case, and what libcurl says then; the first that fits. */
const TEXTS: [RegExp, string][] = [
  [/dns error|resolve|invalid url/, "Couldn't resolve host name"],
  [/too many redirects|number of redirects/, "Number of redirects hit maximum amount"],
  [/certificate|unknownissuer/, "SSL peer certificate or SSH remote key was not OK"],
  [/corrupt message|tls|handshake/, "SSL connect error"],
  [/refused|unreachable|blocked|\(connect\)/, "Couldn't connect to server"],
  [/invalid http version|not supported/, "Unsupported protocol"],
  [/reading a body/, "Transferred a partial file"],
  [/before message completed|closed/, "Server returned nothing (no headers, no data)"],
];

function describe(error: unknown): string {
  const text = error instanceof Error
    ? `${error.message} ${error.cause ?? ""}`.toLowerCase()
    : String(error).toLowerCase();
  return TEXTS.find(([pattern]) => pattern.test(text))?.[1] ??
    "Failure when receiving data from the peer";
}
