/**
 * The world in which one function lives: a worker with the globals that Supabase's edge runtime has.
 */
import { atMost } from "../shared/at-most.ts";
import type { FromWorker, ToWorker } from "./functions-messages.ts";

type Handler = (request: Request) => Response | Promise<Response>;

/** How long a module may take to call `Deno.serve` once it has loaded: it may do so behind an await. */
const SERVE_LIMIT_MS = 2000;
/** What Supabase's edge runtime tells a function of its own address, whatever it asks for. */
const ADDRESS = { transport: "tcp", hostname: "0.0.0.0", port: 9999 } as const;

const scope = globalThis as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  EdgeRuntime: { waitUntil<T>(promise: Promise<T>): Promise<T> };
};

let pending = 0;
let handler: Handler;
let served: Handler | undefined;
const calledServe = Promise.withResolvers<void>();

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

/** `Deno.serve` as it is on Supabase: its handler gets this function's requests, and it listens nowhere. */
function serveHere(first: unknown, second: unknown) {
  const options = (typeof first === "object" ? first ?? {} : {}) as {
    handler?: unknown;
    onListen?(address: Deno.NetAddr): void;
    onError?: (error: unknown) => Response | Promise<Response>;
  };
  const handle = [first, second, options.handler].find((given) => typeof given === "function") as
    | ((request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>)
    | undefined;
  if (handle === undefined) throw new TypeError("A handler function must be provided.");
  served ??= async (request) => {
    try {
      return await handle(request, { remoteAddr: ADDRESS, completed: Promise.resolve() });
    } catch (error) {
      if (options.onError === undefined) throw error;
      return await options.onError(error);
    }
  };
  calledServe.resolve();
  options.onListen?.(ADDRESS);
  const finished = Promise.withResolvers<void>();
  const shutdown = () => Promise.resolve(finished.resolve());
  return {
    addr: ADDRESS,
    finished: finished.promise,
    shutdown,
    ref() {},
    unref() {},
    [Symbol.asyncDispose]: shutdown,
  };
}
Object.defineProperty(Deno, "serve", { value: serveHere });

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
    handler = await load(module);
    scope.postMessage({ type: "booted" });
  } catch (error) {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    scope.postMessage({ type: "boot_failed", message });
  }
}

async function load(module: string): Promise<Handler> {
  const { default: exported } = await import(module);
  if (typeof exported?.fetch === "function") return (request) => exported.fetch(request);
  await atMost(SERVE_LIMIT_MS, calledServe.promise);
  if (served !== undefined) return served;
  throw new TypeError(
    "Cannot serve: the module must call Deno.serve(handler) or have a default export with fetch()",
  );
}

async function serve(data: ToWorker & { type: "request" }) {
  begin();
  const { method, url, headers, body } = data;
  const request = new Request(url, { method, headers, body });
  try {
    const response = await handler(request);
    // Tells the server that the rest is not read.
    if (!request.bodyUsed) await request.body?.cancel().catch(() => {});
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
