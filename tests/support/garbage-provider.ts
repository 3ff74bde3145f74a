/** A model provider that answers anything but what it should: what of it is garbage, the model's name says. */

/** What a call of each model comes to; null: it is an answer all the same. Those that hang never end by themselves. */
export const garbage: Record<
  string,
  { send: (connection: Deno.Conn) => Promise<void>; reason: string | null; hangs?: true }
> = {
  "html": sends(head("text/html") + "<!doctype html><title>Welcome</title>", "answer is no JSON"),
  "another-content-type": sends(head("text/plain") + completion("fine"), null),
  // OpenRouter: https://openrouter.ai/docs/api/reference/errors-and-debugging
  "error-with-200": sends(
    head() + '{"error": {"code": 401, "message": "No auth credentials found"}}',
    "error 401 with HTTP 200",
  ),
  "no-model": sends(head() + completion("fine"), null),
  "empty-model": sends(head() + completion("fine", { model: "" }), null),
  "text-parts": sends(head() + completion([{ type: "text", text: "fine" }]), null),
  // Mistral
  "full-context": sends(
    head() + completion("fi", {}, "model_length"),
    "answer was cut at the token limit",
  ),
  "model-error": sends(head() + completion("fi", {}, "error"), "answer ended with error"),
  // DeepSeek
  "out-of-resources": sends(
    head() + completion("fi", {}, "insufficient_system_resource"),
    "answer ended with insufficient_system_resource",
  ),
  // Google
  "unsafe": sends(
    head() + completion("fi", {}, "SAFETY"),
    "answer was held back by the content filter",
  ),
  "half-an-answer": sends(head() + completion("fine").slice(0, 30), "answer is no JSON"),
  "event-stream": sends(
    head("text/event-stream") + `data: ${completion("fine")}\n\ndata: [DONE]\n\n`,
    "answer is no JSON",
  ),
  "no-body": sends(head(), "answer is no JSON"),
  "deep": sends(head() + "[".repeat(2_000_000), "answer is no JSON"),
  "nul-in-json": sends(head() + completion("fine").replace("fine", "fi\0ne"), "answer is no JSON"),
  "nul-escaped": sends(head() + completion("fi\0ne"), null),
  "no-utf-8": {
    reason: "answer is no UTF-8",
    async send(connection) {
      await write(connection, encode(head() + '{"choices": [{"message": {"content": "'));
      await write(connection, new Uint8Array([0xc3, 0x28, 0xff]));
      await write(connection, encode('"}}]}'));
    },
  },
  "no-http": sends("I am no web server\r\n\r\n", "connection broke off"),
  "chunked-garbage": sends(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzzzz\r\nnot a chunk",
    "answer broke off",
  ),
  "gzip-garbage": sends(
    head("application/json", "content-encoding: gzip\r\n") + "this was never compressed",
    "answer broke off",
  ),
  "shorter-than-said": sends(
    head("application/json", "content-length: 5000\r\n") + completion("fine"),
    "answer broke off",
  ),
  "50-mb": floods(50_000_000),
  "without-end": floods(Infinity),
  "as-long-as-may-be": sends(head() + completion("é".repeat(1_990_000)), null),
  "drop-by-drop": {
    reason: "no answer in 2 s",
    hangs: true,
    async send(connection) {
      await write(connection, encode(head()));
      for (;;) {
        await write(connection, encode(" "));
        await new Promise((next) => setTimeout(next, 200));
      }
    },
  },
  "error-drop-by-drop": {
    reason: "HTTP 400",
    hangs: true,
    async send(connection) {
      await write(connection, encode("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
      for (;;) {
        await write(connection, encode("no "));
        await new Promise((next) => setTimeout(next, 200));
      }
    },
  },
};

/** Starts it on any free port of loopback; `url` is its base URL, of which models ask `/chat/completions`. */
export function startGarbageProvider(): { url: string; stop(): Promise<void> } {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const open = new Set<Deno.Conn>();
  const serve = async (connection: Deno.Conn) => {
    try {
      const model = await readModel(connection);
      await garbage[model]?.send(connection);
    } catch {
      // The caller hung up.
    } finally {
      open.delete(connection);
      close(connection);
    }
  };
  const serving = (async () => {
    for await (const connection of listener) {
      open.add(connection);
      void serve(connection);
    }
  })();
  return {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}/v1`,
    async stop() {
      listener.close();
      for (const connection of open) close(connection);
      await serving;
    },
  };
}

/** Reads as much of a request as names the model. */
async function readModel(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(65_536);
  let text = "";
  for (;;) {
    const length = await connection.read(buffer);
    if (length === null) throw new Error("no model was named");
    text += new TextDecoder().decode(buffer.subarray(0, length));
    const model = /"model":"([^"]*)"/.exec(text)?.[1];
    if (model !== undefined) return model;
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function write(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

function head(contentType = "application/json", more = ""): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\n${more}connection: close\r\n\r\n`;
}

function completion(content: unknown, more = {}, finish_reason = "stop"): string {
  return JSON.stringify({ choices: [{ finish_reason, message: { content } }], ...more });
}

function sends(text: string, reason: string | null) {
  return { reason, send: (connection: Deno.Conn) => write(connection, encode(text)) };
}

function floods(bytes: number) {
  return {
    reason: "answer longer than 4 MB",
    async send(connection: Deno.Conn) {
      await write(connection, encode(head()));
      const spaces = new Uint8Array(1_000_000).fill(0x20);
      for (let sent = 0; sent < bytes; sent += spaces.length) await write(connection, spaces);
    },
  };
}
