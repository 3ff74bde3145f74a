import assert from "node:assert/strict";
import { NotTextError, readText } from "../../../shared/read-text.ts";

Deno.test("readText() reads a body to its end, characters over two chunks too", async () => {
  const bytes = new TextEncoder().encode("für 5 €");
  const body = ReadableStream.from([...bytes].map((byte) => new Uint8Array([byte])));
  assert.equal(await readText(new Response(body), bytes.length), "für 5 €");
  assert.equal(await readText(new Response(null), 1), "");
});

Deno.test("readText() reads no more than it may of a body without end, and closes it", async () => {
  let chunks = 0;
  let closed = false;
  const body = new ReadableStream({
    pull: (controller) => {
      chunks++;
      controller.enqueue(new Uint8Array(100));
    },
    cancel: () => void (closed = true),
  });
  assert.equal(await readText(new Response(body), 1000), undefined);
  assert.ok(chunks < 20, `${chunks} chunks were read`);
  assert.ok(closed);
});

Deno.test("readText() replaces bytes that are no UTF-8 by U+FFFD, or refuses them when strict", async () => {
  const body = () => new Response(new Uint8Array([0x61, 0xc3, 0x28]));
  assert.equal(await readText(body(), 10), "a\ufffd(");
  await assert.rejects(readText(body(), 10, { strict: true }), NotTextError);
  // One that is cut in the midst of a character.
  await assert.rejects(
    readText(new Response(new Uint8Array([0xe2, 0x82])), 10, { strict: true }),
    NotTextError,
  );
});
