import assert from "node:assert/strict";
import { z } from "zod";
import { HttpError } from "../../../shared/job/errors.ts";
import { readInput, readPayload } from "../../../shared/job/read-input.ts";

const schema = z.strictObject({ hours: z.int().min(1).default(24) });

function read(body: BodyInit | null) {
  const request = new Request("http://localhost/", { method: "POST", body });
  return readPayload(request).then((payload) => readInput(payload, schema));
}

async function refusal(body: BodyInit): Promise<HttpError> {
  const error = await read(body).then(() => null, (error: unknown) => error);
  assert.ok(error instanceof HttpError, `was accepted: ${body}`);
  return error;
}

Deno.test("readInput() takes an empty body as an empty object, with defaults", async () => {
  assert.deepEqual(await read(null), { input: { hours: 24 }, payload: {} });
  assert.deepEqual(await read(" \n"), { input: { hours: 24 }, payload: {} });
  assert.deepEqual(await read('{"hours": 2}'), { input: { hours: 2 }, payload: { hours: 2 } });
});

Deno.test("readInput() names the field that is wrong", async () => {
  assert.match((await refusal('{"hours": "x"}')).message, /hours: /);
  assert.match((await refusal('{"hous": 1}')).message, /hous/);
  assert.equal((await refusal("[]")).code, "invalid_input");
  assert.equal((await refusal("null")).code, "invalid_input");
  assert.equal((await refusal("{hours: 1}")).code, "invalid_json");
  assert.equal((await refusal(new Uint8Array([0x7b, 0xff, 0x7d]))).code, "invalid_json");
});

Deno.test("readInput() refuses more than 256 KiB, also when no length is announced", async () => {
  const large = `{"hours": 1, "x": "${"x".repeat(256 * 1024)}"}`;
  assert.equal((await refusal(large)).status, 413);
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(65536).fill(32)),
  });
  assert.equal((await refusal(endless)).status, 413);
});

Deno.test("readInput() answers 1,000 malformed bodies with 4xx each", async () => {
  let seed = 20260301;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  // Without a closing brace no text of these is an object.
  const alphabet = '{[]":,0123456789.eE+-truefalsn\\ud \u0000é';
  const text = () =>
    Array.from({ length: random(60) }, () => alphabet[random(alphabet.length)]).join("");
  const wrong = [null, -1, 0, 1.5, 1e300, true, "24", [], {}, [1], { hours: 1 }];
  const makers = [
    () => "{" + text(),
    () => JSON.stringify({ hours: wrong[random(wrong.length)] }),
    () => JSON.stringify({ hours: 1, [`_${text()}`]: 1 }),
    () => JSON.stringify([{ hours: 1 }]),
  ];
  for (let i = 0; i < 1000; i++) {
    const body = makers[i % makers.length]!();
    const error = await refusal(body);
    assert.ok(error.status >= 400 && error.status < 500, body);
  }
});
