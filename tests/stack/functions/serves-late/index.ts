/** Calls `Deno.serve` behind an await, with options. `?throw` throws. */
async function main() {
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve));
  Deno.serve({
    port: 1,
    onListen: ({ hostname, port }) => console.log(`told ${hostname}:${port}`),
    onError: (error) => new Response(`onError got ${(error as Error).message}`, { status: 418 }),
    handler: (request, { remoteAddr }) => {
      if (request.url.endsWith("?throw")) throw new Error("thrown on purpose");
      return Response.json(remoteAddr);
    },
  });
}

void main();
