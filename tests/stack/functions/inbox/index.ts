/** Tells the log what arrives, with its idempotency key; answers after `ms` of the body with `status` of the body. */
export default {
  async fetch(request: Request): Promise<Response> {
    const { n, ms = 0, status = 200 } = await request.json();
    console.log(`inbox ${n} ${request.headers.get("idempotency-key")}`);
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    return new Response("thank you", { status });
  },
};
