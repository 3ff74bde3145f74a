/** A request's body on its way into a worker, which may want none of it. */
import { atMost } from "../shared/at-most.ts";

export interface WatchedBody {
  stream: ReadableStream<Uint8Array>;
  /** Reads a little of a body that is not wanted. A server that closes while its caller still sends may cost the caller the answer. */
  discardRest(): Promise<void>;
}

/** How much is read in vain, in bytes, and for how long. */
const DISCARD_BYTES = 1024 * 1024;
const DISCARD_MS = 500;
/** How long it may take to hear that the worker wants no more. */
const HEAR_MS = 100;

export function watchBody(body: ReadableStream<Uint8Array>): WatchedBody {
  const reader = body.getReader();
  const ended = Promise.withResolvers<void>();
  let unwanted = false;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (!done) return controller.enqueue(value);
      ended.resolve();
      controller.close();
    },
    cancel() {
      unwanted = true;
      ended.resolve();
    },
  }, { highWaterMark: 0 });

  async function discard() {
    for (let bytes = 0; bytes < DISCARD_BYTES;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.length;
    }
  }

  return {
    stream,
    async discardRest() {
      await atMost(HEAR_MS, ended.promise);
      if (!unwanted) return;
      // The caller may have gone meanwhile.
      await atMost(DISCARD_MS, discard()).catch(() => {});
      await reader.cancel().catch(() => {});
    },
  };
}
