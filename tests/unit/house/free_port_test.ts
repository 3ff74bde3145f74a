import assert from "node:assert/strict";
import { isPortFree, startOnFreePort } from "../../../local/free-port.ts";

Deno.test("startOnFreePort() takes another port when somebody else was faster", async () => {
  const tried: number[] = [];
  const others: Deno.Listener[] = [];
  const listen = (port: number) => Deno.listen({ hostname: "127.0.0.1", port });
  const listener = await startOnFreePort((port) => {
    tried.push(port);
    if (tried.length < 3) others.push(listen(port));
    return Promise.resolve().then(() => listen(port));
  });
  assert.equal((listener.addr as Deno.NetAddr).port, tried[2]);
  assert.ok(!isPortFree(tried[2]!));
  for (const open of [listener, ...others]) open.close();
});

Deno.test("startOnFreePort() gives up after some tries, and at once on another error", async () => {
  let tries = 0;
  const fail = (message: string) => () => {
    tries++;
    return Promise.reject(new Error(message));
  };
  await assert.rejects(startOnFreePort(fail("bind: resource busy (Address in use)")), /in use/);
  assert.equal(tries, 5);
  await assert.rejects(startOnFreePort(fail("no such file")), /no such file/);
  assert.equal(tries, 6);
});
