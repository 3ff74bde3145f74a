import assert from "node:assert/strict";
import { input } from "../../../supabase/functions/aggregate-device-metrics/input.ts";

const hourMs = 3_600_000;
const inHours = (hours: number) => new Date(Date.now() + hours * hourMs).toISOString();

function refusal(value: unknown): string {
  const parsed = input.safeParse(value);
  assert.equal(parsed.success, false, "it was accepted");
  return parsed.error!.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join();
}

Deno.test("aggregate-device-metrics: an empty input is the hourly run", () => {
  assert.deepEqual(input.parse({}), { granularity: "hour", maxHours: 744 });
  assert.deepEqual(input.parse({ granularity: "day" }), { granularity: "day", maxHours: 744 });
});

Deno.test("aggregate-device-metrics: a range has two ends, in order, with offsets", () => {
  const range = { from: "2026-03-01T00:00:00Z", to: "2026-03-01T08:30:00.5+05:30" };
  assert.equal(input.parse(range).to, range.to);
  assert.match(refusal({ from: range.from }), /^to: must be given together with from$/);
  assert.match(refusal({ to: range.to }), /^from: must be given together with to$/);
  assert.match(refusal({ from: range.to, to: range.from }), /^from: must be before to/);
  assert.match(refusal({ from: range.from, to: range.from }), /^from: must be before to/);
  // The same moment in two zones is no range.
  assert.match(refusal({ from: "2026-03-01T01:00:00+01:00", to: range.from }), /must be before/);
});

Deno.test("aggregate-device-metrics: a time that the database does not take is refused by its field", () => {
  const good = "2026-03-01T00:00:00Z";
  const bad = [
    "2026-03-01T00:00:00+16:00",
    "2026-03-01T00:00:00-23:59",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
    `2026-03-01T00:00:00.${"1".repeat(300)}Z`,
    "2026-02-29T00:00:00Z",
    "2026-03-01T24:00:00Z",
  ];
  for (const moment of bad) {
    assert.match(refusal({ from: moment, to: good }), /^from: must [^,]*(, such as .*)?$/, moment);
    assert.match(refusal({ from: good, to: moment }), /^to: must [^,]*(, such as .*)?$/, moment);
  }
  for (const from of ["2026-03-01T00:00:00.123456789+14:00", "2026-02-28T12:00:00-12:00"]) {
    assert.equal(input.safeParse({ from, to: "2026-03-02T00:00:00Z" }).success, true);
  }
});

Deno.test("aggregate-device-metrics: a range has a bounded length and does not reach into the future", () => {
  assert.equal(input.safeParse({ from: inHours(-5), to: inHours(0) }).success, true);
  assert.match(refusal({ from: inHours(-5), to: inHours(1.01) }), /^to: must not be after the end/);
  assert.match(
    refusal({ from: "2025-01-01T00:00:00Z", to: "2025-04-03T00:00:01Z" }),
    /^to: must be at most 92 days after from$/,
  );
  const exactly = { from: "2025-01-01T00:00:00Z", to: "2025-04-03T00:00:00Z" };
  assert.equal(input.safeParse(exactly).success, true);
});

Deno.test("aggregate-device-metrics: times without an offset and unknown fields are refused", () => {
  const to = "2026-03-02T00:00:00Z";
  for (const from of ["2026-03-01", "2026-03-01T00:00:00", "yesterday", "", 1772323200, null, {}]) {
    assert.match(refusal({ from, to }), /^from: /);
  }
  for (const maxHours of [0, -1, 1.5, 10_001, "24", null]) {
    assert.match(refusal({ maxHours }), /^maxHours: /);
  }
  assert.match(refusal({ granularity: "week" }), /^granularity: /);
  assert.match(refusal({ hours: 3 }), /hours/);
});
