import assert from "node:assert/strict";
import { storableJson, storageProblem } from "../../../shared/job/storable-json.ts";

Deno.test("storableJson() replaces what Postgres cannot hold, in values and in keys, and nothing else", () => {
  const value = {
    "k\u0000": ["a\u0000", "\ud800b", "b\udfff"],
    whole: '\ud83d\ude00 \u0001 \\u0000 \\\\ud800 " \ufffd',
    number: -1.5e300,
    nothing: null,
  };
  assert.deepEqual(storableJson(value), {
    "k\ufffd": ["a\ufffd", "\ufffdb", "b\ufffd"],
    whole: value.whole,
    number: value.number,
    nothing: null,
  });
});

Deno.test("storableJson() throws for a value that is no JSON", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  assert.throws(() => storableJson(cycle), TypeError);
  assert.throws(() => storableJson({ n: 1n }), TypeError);
});

Deno.test("storageProblem() names what a value has that Postgres cannot hold", () => {
  for (const value of ["a\u0000", ["\ud800"], { a: { "\udc00": 1 } }]) {
    assert.match(storageProblem(value) ?? "", /u0000 or half of a surrogate pair/);
  }
  assert.equal(storageProblem({ a: ["\\u0000", "\ud83d\ude00", 1, null, true] }), undefined);
});

Deno.test("storageProblem() allows a hundred levels, and counts any number of them", () => {
  const levels = (count: number) => JSON.parse("[".repeat(count) + "]".repeat(count));
  assert.equal(storageProblem(levels(100)), undefined);
  assert.equal(storageProblem(levels(101)), "must have at most 100 levels");
  assert.equal(storageProblem(levels(100_000)), "must have at most 100 levels");
});
