/**
 * Tells its life on the log. `?work=N` goes on for N ms behind the answer, `?crash` throws where nobody
 * catches, `?spin` never gives the processor back, `?html` answers a page.
 */
const self = crypto.randomUUID();
let finish: () => void = () => {};

addEventListener("beforeunload", (event) => {
  console.log(`beforeunload ${(event as CustomEvent).detail.reason}`);
  finish();
});

export default {
  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("spin")) { for (;;); }
    if (searchParams.has("throw")) throw new Error("thrown on purpose");
    if (searchParams.has("crash")) setTimeout(() => Promise.reject(new Error("on purpose")));
    if (searchParams.has("hang")) await new Promise(() => {});
    if (searchParams.has("html")) {
      return new Response("<p>hello</p>", { headers: { "content-type": "text/html" } });
    }
    if (searchParams.has("until-unload")) {
      const { promise, resolve } = Promise.withResolvers<void>();
      finish = resolve;
      // deno-lint-ignore no-explicit-any
      (globalThis as any).EdgeRuntime.waitUntil(promise.then(() => console.log("finished")));
    }
    return Response.json({ self });
  },
};
