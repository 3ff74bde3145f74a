import { atMost } from "../../../shared/at-most.ts";
import { abortable } from "./abortable.ts";

/** How much of an answer is read at most: its head, and what is left for a body that nobody looks at. */
const maximumAnswerBytes = 16 * 1024;
/** How long the receiver may take to end its body, once its status is known. */
const bodyMs = 1_000;

export interface PostTarget {
  /** The address that was checked; nothing else is connected to. */
  address: string;
  /** Whose certificate the receiver has to show. */
  hostname: string;
  port: number;
  /** Path and query. */
  path: string;
  /** Certificates trusted besides the platform's own. */
  caCerts?: string[];
}

export interface Answer {
  status: number;
  retryAfter: string | null;
}

/**
 * One POST by HTTP/1.1 over TLS to one address. `fetch` and `node:https` look the name up themselves, the latter, at the
 * level of Deno 2.1, whatever `lookup` it is given: only a connection of our own reaches the address that was checked.
 * Follows no redirect, keeps nothing of the body. Throws when no answer came, with the signal's reason once it fired.
 */
export async function post(
  target: PostTarget,
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
): Promise<Answer> {
  // A connection that comes about too late is closed by nobody else.
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
    // At the level of Deno 2.1 a read goes on although its connection was closed: the signal ends the wait for it.
    return await abortable(exchange(), signal);
  } finally {
    close(connection);
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It was closed already, or TLS has taken it over.
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

/** The head that is whole and no interim answer (1xx), if it has arrived. */
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

/** Lets the receiver finish its body, within bounds, so that it does not see a broken connection. */
async function drain(connection: Deno.Conn, buffer: Uint8Array): Promise<void> {
  const body = async () => {
    for (let left = buffer; left.length > 0;) {
      const read = await connection.read(left);
      if (read === null) return;
      left = left.subarray(read);
    }
  };
  // The status is known: how the body ended does not matter.
  await atMost(bodyMs, body().catch(() => {}));
}
