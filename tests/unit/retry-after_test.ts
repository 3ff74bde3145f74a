import assert from "node:assert/strict";
import { retryAfterMs } from "../../shared/retry-after.ts";

const now = new Date("1994-11-06T08:49:07Z");
const read = (value: string | undefined) =>
  retryAfterMs(
    new Response(null, { headers: value === undefined ? {} : { "retry-after": value } }),
    now,
  );

Deno.test("retryAfterMs() reads seconds, and dates in each form that there is", () => {
  for (
    const [value, ms] of [
      ["0", 0],
      ["120", 120_000],
      [" 7 ", 7_000],
      ["Sun, 06 Nov 1994 08:49:37 GMT", 30_000],
      ["Sunday, 06-Nov-94 08:49:37 GMT", 30_000],
      ["Sun Nov  6 08:49:37 1994", 30_000],
      ["Sun, 06 Nov 1994 08:00:00 GMT", 0],
    ] as const
  ) assert.equal(read(value), ms, value);
});

Deno.test("retryAfterMs() takes what it cannot read as nothing said", () => {
  for (
    const value of [
      undefined,
      "",
      "soon",
      "-5",
      "1.5",
      "1e3",
      "5 minutes",
      "minutes 5",
      "2026-01-01T00:00:00Z",
      "Sun, 99 Nov 1994 08:49:37 GMT",
    ]
  ) assert.equal(read(value), undefined, value);
});
