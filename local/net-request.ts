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
  content: string | null;
  timed_out: boolean;
  error_msg: string | null;
}

/** Sends it once. Never throws: what went wrong is in `error_msg`, in the words of pg_net. */
export async function sendRequest(
  request: QueuedRequest,
  stopped?: AbortSignal,
): Promise<NetResponse> {
  const { id, timeout_milliseconds: timeoutMs } = request;
  const injected = Object.entries(request.headers ?? {}).find((pair) =>
    /[\r\n]/.test(pair.join(""))
  );
  if (injected) {
    return failed(id, `header "${injected[0]}" contains a carriage return or line feed`);
  }
  const startedAt = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(request.url, {
      method: request.method.toUpperCase(),
      headers: { ...request.headers, "User-Agent": "pg_net/0.20.0" },
      body: request.method.toUpperCase() === "GET" ? null : request.body as BodyInit | null,
      signal: stopped ? AbortSignal.any([timeout, stopped]) : timeout,
    });
    // Text in Postgres cannot hold a zero byte; pg_net ends there.
    const content = (await response.text()).split("\0", 1)[0]!;
    return {
      id,
      status_code: response.status,
      content_type: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: content === "" ? null : content,
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

/** The words of libcurl for what Deno says. */
function describe(error: unknown): string {
  const text = error instanceof Error
    ? `${error.message} ${error.cause ?? ""}`.toLowerCase()
    : String(error);
  if (text.includes("dns") || text.includes("resolve")) return "Could not resolve hostname";
  if (/refused|unreachable|blocked|\(connect\)|connect error/.test(text)) {
    return "Could not connect to server";
  }
  if (text.includes("certificate") || text.includes("tls")) return "SSL connect error";
  if (text.includes("scheme") || text.includes("not supported")) return "Unsupported protocol";
  if (text.includes("before message completed") || text.includes("closed")) {
    return "Server returned nothing (no headers, no data)";
  }
  return "Failure when receiving data from the peer";
}
