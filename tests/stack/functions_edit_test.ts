import assert from "node:assert/strict";
import { join } from "node:path";
import { functionsHost } from "../../local/functions.ts";

Deno.test("an edited function answers the next request anew, a broken edit with 503", async () => {
  const directory = await Deno.makeTempDir();
  const file = join(directory, "edited", "index.ts");
  await Deno.mkdir(join(directory, "edited"));
  const write = (source: string, changedAt: Date) => {
    Deno.writeTextFileSync(file, source);
    Deno.utimeSync(file, changedAt, changedAt);
  };
  const answering = (text: string) => `export default { fetch: () => new Response("${text}") };`;
  const lastYear = new Date(Date.now() - 365 * 86_400_000);
  const later = (minutes: number) => new Date(Date.now() + minutes * 60_000);

  write(answering("one"), lastYear);
  const host = functionsHost({ directories: [directory], port: 0, env: {}, onLine: () => {} });
  await host.start();
  const call = async () => {
    const response = await fetch(`${host.url()}/edited`);
    return `${response.status} ${await response.text()}`;
  };
  try {
    assert.equal(await call(), "200 one");
    write(answering("two"), later(1));
    assert.equal(await call(), "200 two");
    write("export default {", later(2));
    assert.match(await call(), /^503 /);
    write(answering("three"), lastYear);
    assert.equal(await call(), "200 three");
    write(answering("four"), new Date(lastYear.getTime() - 1000));
    assert.equal(await call(), "200 four", "an older file came back, from a checkout say");
  } finally {
    await host.stop();
    await Deno.remove(directory, { recursive: true });
  }
});
