/**
 * Tells the log what arrives, with its idempotency key, and the whole body where its `show` says so; answers after `ms`
 * of the body with `status` of the body.
 */
export default {
  async fetch(request: Request): Promise<Response> {
    const text = await request.text();
    const { n, ms = 0, status = 200, show = false } = JSON.parse(text);
    if (show) console.log(text);
    console.log(`inbox ${n} ${request.headers.get("idempotency-key")}`);
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    return new Response("thank you", { status });
  },
};
