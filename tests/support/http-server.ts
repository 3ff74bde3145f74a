/** A server for tests that answers as an outside API would, also with silence or a broken connection. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface ReceivedRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** `hang`: no answer, ever. `reset`: the connection is reset (TCP RST). */
export type Reply =
  | { status: number; headers?: Record<string, string>; body?: string }
  | "hang"
  | "reset";

export interface HttpServer {
  /** Without a slash at the end. */
  url: string;
  /** Everything that arrived so far, in order. */
  requests: ReceivedRequest[];
}

/** Runs `fn` with a server on a free port of loopback; connections that are still open are cut at the end. */
export async function withHttpServer(
  handler: (request: ReceivedRequest) => Reply | Promise<Reply>,
  fn: (server: HttpServer) => Promise<void>,
): Promise<void> {
  const requests: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(async (incoming, outgoing) => {
    let body = "";
    incoming.setEncoding("utf8");
    for await (const chunk of incoming) body += chunk;
    const { method = "", url = "", headers } = incoming;
    const request = { method, url, headers, body };
    requests.push(request);
    const reply = await handler(request);
    if (reply === "hang") return;
    if (reply === "reset") return void incoming.socket.resetAndDestroy();
    outgoing.writeHead(reply.status, reply.headers).end(reply.body);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A client that gives up, and our own reset, are no failure of the test.
    socket.on("error", () => {});
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    const { port } = server.address() as AddressInfo;
    await fn({ url: `http://127.0.0.1:${port}`, requests });
  } finally {
    const closed = new Promise((done) => server.close(done));
    for (const socket of sockets) socket.destroy();
    await closed;
  }
}
