/**
 * The world in which one function lives: a worker with the globals that Supabase's edge runtime has.
 */
import type { FromWorker, ToWorker } from "./functions-messages.ts";

const scope = globalThis as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  EdgeRuntime: { waitUntil<T>(promise: Promise<T>): Promise<T> };
};

let pending = 0;
let handler: (request: Request) => Response | Promise<Response>;

function begin() {
  scope.postMessage({ type: "pending", count: ++pending });
}

function end() {
  scope.postMessage({ type: "pending", count: --pending });
}

scope.EdgeRuntime = {
  waitUntil(promise) {
    begin();
    Promise.resolve(promise).then(end, (error) => {
      console.error("A promise given to EdgeRuntime.waitUntil failed:", error);
      end();
    });
    return promise;
  },
};

scope.onmessage = async ({ data }) => {
  if (data.type === "boot") return await boot(data.module);
  if (data.type === "request") return await serve(data);
  dispatchEvent(
    new CustomEvent("beforeunload", { cancelable: true, detail: { reason: data.reason } }),
  );
  // Tells the server that the listeners have run: what they promised to wait for is counted by now.
  scope.postMessage({ type: "pending", count: pending });
};

async function boot(module: string) {
  try {
    const { default: exported } = await import(module);
    if (typeof exported?.fetch !== "function") {
      throw new TypeError("Cannot serve: the module must have a default export with fetch()");
    }
    handler = (request) => exported.fetch(request);
    scope.postMessage({ type: "booted" });
  } catch (error) {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    scope.postMessage({ type: "boot_failed", message });
  }
}

async function serve(data: ToWorker & { type: "request" }) {
  begin();
  try {
    const { method, url, headers, body } = data;
    const response = await handler(new Request(url, { method, headers, body }));
    const answer = response.body === null ? null : await response.arrayBuffer();
    scope.postMessage({
      type: "response",
      id: data.id,
      status: response.status,
      headers: [...response.headers],
      body: answer,
    }, answer === null ? [] : [answer]);
  } catch (error) {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    scope.postMessage({ type: "request_failed", id: data.id, message });
  } finally {
    end();
  }
}
