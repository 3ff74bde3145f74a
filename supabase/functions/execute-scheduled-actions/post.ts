import { atMost } from "../../../shared/at-most.ts";
import { abortable } from "./abortable.ts";

/** The most bytes to read of an answer. The head comes first; the body is read with the rest and not used. */
const maximumAnswerBytes = 16 * 1024;
/** The time that a receiver has to end its body after its head. */
const bodyMs = 1_000;

export interface PostTarget {
  /** The checked address, and the only one that is connected to. */
  address: string;
  /** The name that the receiver's certificate must have. */
  hostname: string;
  port: number;
  /** Path and query. */
  path: string;
  /** Trusted certificates besides those of the platform. */
  caCerts?: string[];
}

export interface Answer {
  status: number;
  retryAfter: string | null;
}

/**
 * Sends one POST by HTTP/1.1 over TLS to one address. It opens its own connection because `fetch` and `node:https` look
 * up the name again (Deno 2.1's `node:https` ignores `lookup`) and could reach an address that was not checked.
 * It follows no redirect and drops the body. It throws when no answer came, and the signal's reason once it fired.
 */
export async function post(
  target: PostTarget,
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
): Promise<Answer> {
  // After an abort, `close` closes a connection that opens late.
  let connection: Deno.Conn = await abortable(
    Deno.connect({ hostname: target.address, port: target.port }),
    signal,
    close,
  );
  const exchange = async () => {
    const { hostname, caCerts } = target;
    const tls = await Deno.startTls(connection as Deno.TcpConn, {
      hostname,
      ...(caCerts ? { caCerts } : {}),
    });
    if (signal.aborted) close(tls);
    signal.throwIfAborted();
    connection = tls;
    await writeAll(tls, requestText(target, headers, body));
    return await readAnswer(tls);
  };
  try {
    // In Deno 2.1 a read continues after its connection was closed, so the signal has to end the wait for it.
    return await abortable(exchange(), signal);
  } finally {
    close(connection);
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // The connection was closed already, or TLS has taken it over.
  }
}

function requestText(
  { hostname, port, path }: PostTarget,
  headers: Record<string, string>,
  body: string,
): Uint8Array {
  const encoder = new TextEncoder();
  const bytes = encoder.encode(body);
  const lines = Object.entries({
    host: port === 443 ? hostname : `${hostname}:${port}`,
    ...headers,
    "content-length": String(bytes.length),
    connection: "close",
  }).map(([name, value]) => `${name}: ${value}`);
  const head = encoder.encode(`POST ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  const text = new Uint8Array(head.length + bytes.length);
  text.set(head);
  text.set(bytes, head.length);
  return text;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

async function readAnswer(connection: Deno.Conn): Promise<Answer> {
  const buffer = new Uint8Array(maximumAnswerBytes);
  let length = 0;
  let text = "";
  while (true) {
    const head = finalHead(text);
    if (head !== undefined) {
      await drain(connection, buffer.subarray(length));
      return head;
    }
    if (length === buffer.length) throw new Error("the answer's head is too long");
    const read = await connection.read(buffer.subarray(length));
    if (read === null) throw new Error("the receiver closed the connection without an answer");
    length += read;
    text = new TextDecoder("latin1").decode(buffer.subarray(0, length));
  }
}

/** The complete head of the final answer, if it has arrived. Interim answers (1xx) are skipped. */
function finalHead(text: string): Answer | undefined {
  while (true) {
    const end = text.indexOf("\r\n\r\n");
    const line = text.slice(0, text.indexOf("\r\n") === -1 ? undefined : text.indexOf("\r\n"));
    if (end === -1 && line.length < 13) return undefined;
    const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(line)?.[1]);
    if (Number.isNaN(status)) throw new Error("the answer is no HTTP/1.1");
    if (end === -1) return undefined;
    if (status >= 200) {
      const retryAfter = /^retry-after:[ \t]*(.*?)[ \t]*$/im.exec(text.slice(0, end))?.[1];
      return { status, retryAfter: retryAfter ?? null };
    }
    text = text.slice(end + 4);
  }
}

/** Reads the body within limits, so that the receiver does not see a broken connection. */
async function drain(connection: Deno.Conn, buffer: Uint8Array): Promise<void> {
  const body = async () => {
    for (let left = buffer; left.length > 0;) {
      const read = await connection.read(left);
      if (read === null) return;
      left = left.subarray(read);
    }
  };
  // The status is known, so an error in the body does not matter.
  await atMost(bodyMs, body().catch(() => {}));
}
