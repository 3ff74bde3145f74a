/** A server that plays a public receiver of callbacks: https, on loopback, as `receiver.example`. */
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { ReceivedRequest } from "./http-server.ts";
import { certificate, certificateKey } from "./receiver-certificate.ts";

export interface HttpsReceiver {
  port: number;
  requests: ReceivedRequest[];
}

/** `hang`: no answer, ever. `reset`: the connection is reset. An array: these bytes, as they are, and then silence. */
export type RawReply =
  | { status: number; headers?: Record<string, string>; body?: string; delayMs?: number }
  | "hang"
  | "reset"
  | [raw: string];

/** Runs `fn` with a receiver on a free port; connections that are still open are cut at the end. */
export async function withHttpsReceiver(
  handler: (request: ReceivedRequest) => RawReply,
  fn: (receiver: HttpsReceiver) => Promise<void>,
): Promise<void> {
  const requests: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(
    { cert: certificate, key: certificateKey },
    async (incoming, outgoing) => {
      let body = "";
      incoming.setEncoding("utf8");
      for await (const chunk of incoming) body += chunk;
      const { method = "", url = "", headers } = incoming;
      const request = { method, url, headers, body };
      requests.push(request);
      const reply = handler(request);
      if (reply === "hang") return;
      if (reply === "reset") return void incoming.socket.destroy();
      if (Array.isArray(reply)) return void incoming.socket.write(reply[0]);
      await new Promise((resolve) => setTimeout(resolve, reply.delayMs ?? 0));
      outgoing.writeHead(reply.status, reply.headers).end(reply.body);
    },
  );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    await fn({ port: (server.address() as AddressInfo).port, requests });
  } finally {
    const closed = new Promise((done) => server.close(done));
    for (const socket of sockets) socket.destroy();
    await closed;
  }
}
