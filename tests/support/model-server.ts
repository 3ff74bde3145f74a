import { type ModelFaults, type ModelServer, startModelServer } from "../../local/model-server.ts";

/** Runs `fn` with a model provider of its own; its faults are told by `server.set`. */
export async function withModelServer(
  options: ModelFaults & { seed?: number; key?: string },
  fn: (server: ModelServer) => Promise<void>,
): Promise<void> {
  const server = await startModelServer(options);
  try {
    await fn(server);
  } finally {
    await server.stop();
  }
}
