import assert from "node:assert/strict";
import {
  readCount,
  readDuration,
  readEpoch,
  readExpiration,
  readRetryAfterTime,
} from "../../../supabase/functions/api-key-health-monitor/read-headers.ts";

const now = new Date("2026-03-02T12:00:00Z");
const iso = (date: Date | undefined) => date?.toISOString();

Deno.test("GitHub's expiration is read in the known forms only", () => {
  const cases: [string, string | undefined][] = [
    ["2026-12-01 10:00:00 UTC", "2026-12-01T10:00:00.000Z"],
    ["2026-12-01 10:00:00 +0200", "2026-12-01T08:00:00.000Z"],
    ["2026-12-01 10:00:00 -05:30", "2026-12-01T15:30:00.000Z"],
    ["2026-12-01T10:00:00Z", "2026-12-01T10:00:00.000Z"],
    ["2026-13-01 10:00:00 UTC", undefined],
    ["2026-12-01 10:00:00", undefined],
    ["2026-12-01 10:00:00 CET", undefined],
    ["soon", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) assert.equal(iso(readExpiration(text)), expected, text);
});

Deno.test("Retry-After is a number of seconds or an HTTP date", () => {
  const cases: [string | null, string | undefined][] = [
    ["90", "2026-03-02T12:01:30.000Z"],
    ["0", "2026-03-02T12:00:00.000Z"],
    ["Mon, 02 Mar 2026 13:00:00 GMT", "2026-03-02T13:00:00.000Z"],
    ["Monday, 02-Mar-26 13:00:00 GMT", "2026-03-02T13:00:00.000Z"],
    ["999999999999", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["later", undefined],
    ["2026-03-02", undefined],
    [null, undefined],
  ];
  for (const [text, expected] of cases) assert.equal(iso(readRetryAfterTime(text, now)), expected);
});

Deno.test("OpenAI's durations are read with every unit; other texts are not", () => {
  const cases: [string | null, string | undefined][] = [
    ["1s", "2026-03-02T12:00:01.000Z"],
    ["6m0s", "2026-03-02T12:06:00.000Z"],
    ["12ms", "2026-03-02T12:00:00.012Z"],
    ["1h2m3.5s", "2026-03-02T13:02:03.500Z"],
    ["1d1h", "2026-03-03T13:00:00.000Z"],
    ["99999999d", undefined],
    ["60", undefined],
    ["", undefined],
    [null, undefined],
  ];
  for (const [text, expected] of cases) assert.equal(iso(readDuration(text, now)), expected);
});

Deno.test("malformed counts and times are not read", () => {
  assert.equal(readCount("5000"), 5000);
  for (const text of ["-1", "1e9", "", "many", null]) assert.equal(readCount(text), undefined);
  assert.equal(iso(readEpoch("1772456280", now)), "2026-03-02T12:58:00.000Z");
  for (const text of ["99999999999999", "0", "", null]) {
    assert.equal(readEpoch(text, now), undefined);
  }
});
