import assert from "node:assert/strict";
import { askedWaitMs, readReset, readRetryAfter } from "../../../shared/retry-after.ts";

const now = new Date("2026-11-06T08:49:07Z");
const epoch = now.getTime() / 1000;

Deno.test("readRetryAfter() reads seconds, and dates in each form that there is", () => {
  for (
    const [value, ms] of [
      ["0", 0],
      ["120", 120_000],
      [" 7 ", 7_000],
      ["9".repeat(400), Infinity],
      ["Fri, 06 Nov 2026 08:49:37 GMT", 30_000],
      ["Friday, 06-Nov-26 08:49:37 GMT", 30_000],
      ["Fri Nov  6 08:49:37 2026", 30_000],
      ["Fri, 06 Nov 2026 08:00:00 GMT", 0],
      ["Sunday, 06-Nov-94 08:49:37 GMT", 0],
    ] as const
  ) assert.equal(readRetryAfter(value, now), ms, value);
});

Deno.test("readRetryAfter() takes what it cannot read as nothing said", () => {
  for (
    const value of [
      null,
      "",
      "soon",
      "-5",
      "1.5",
      "1e3",
      "5 minutes",
      "minutes 5",
      "5, 7",
      "2026-01-01T00:00:00Z",
      "Fri, 99 Nov 2026 08:49:37 GMT",
      "Fri, 06 Nov 2026 08:49:37 +0000",
    ]
  ) assert.equal(readRetryAfter(value, now), undefined, value ?? "null");
});

Deno.test("readReset() reads seconds from now, and moments in seconds and milliseconds since the epoch", () => {
  for (
    const [value, ms] of [
      ["50", 50_000],
      [String(epoch + 60), 60_000],
      [String(epoch - 60), 0],
      [`${epoch + 60}000`, 60_000],
      ["Fri, 06 Nov 2026 08:49:37 GMT", 30_000],
    ] as const
  ) assert.equal(readReset(value, now), ms, value);
  for (const value of [null, "", "1s", "-1", "1e9"]) assert.equal(readReset(value, now), undefined);
});

Deno.test("askedWaitMs(): Retry-After counts with any status, the end of a limit only with 429 and 403", () => {
  const github = {
    "x-ratelimit-limit": "5000",
    "x-ratelimit-remaining": "4987",
    "x-ratelimit-reset": String(epoch + 240),
  };
  for (
    const [status, headers, ms] of [
      [503, { "retry-after": "5" }, 5_000],
      [200, { "retry-after": "5" }, 5_000],
      [429, github, 240_000],
      [403, github, 240_000],
      [502, github, undefined],
      [200, github, undefined],
      [429, { ...github, "retry-after": "5" }, 5_000],
      [429, { ...github, "retry-after": "soon" }, 240_000],
      [502, { ...github, "retry-after": "soon" }, undefined],
      [429, { "ratelimit-reset": "7" }, 7_000],
      [429, { "x-rate-limit-reset": String(epoch + 8) }, 8_000],
      [429, { "x-ratelimit-retry-after": "9" }, 9_000],
      [429, {}, undefined],
    ] as const
  ) {
    const response = { status, headers: new Headers(headers as Record<string, string>) };
    assert.equal(askedWaitMs(response, now), ms, `${status} ${JSON.stringify(headers)}`);
  }
});
