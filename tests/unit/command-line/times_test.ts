import assert from "node:assert/strict";
import { clockTime, jobsTime, readMoment, span } from "../../../cli/daybook/times.ts";

const now = new Date("2026-03-02T12:00:00Z");
const read = (text: string, zone = "Europe/Berlin", ahead = false) =>
  readMoment("--at", text, { now, zone, ahead });

Deno.test("clockTime() is what a clock of the zone shows", () => {
  const moment = "2026-03-08T06:59:59.999Z";
  assert.equal(clockTime(moment, "UTC"), "2026-03-08 06:59:59");
  assert.equal(clockTime(moment, "America/New_York"), "2026-03-08 01:59:59");
  assert.equal(clockTime("2026-03-08T07:00:00Z", "America/New_York"), "2026-03-08 03:00:00");
  assert.equal(clockTime("2026-03-02T23:00:00Z", "Europe/Berlin"), "2026-03-03 00:00:00");
});

Deno.test("jobsTime() is there only where the job's clock shows another time than the reader's", () => {
  const at = "2026-03-02T12:00:00Z";
  assert.equal(jobsTime(at, "America/New_York", "UTC"), "2026-03-02 07:00:00 America/New_York");
  assert.equal(jobsTime(at, "Europe/Paris", "Europe/Berlin"), "");
  assert.equal(jobsTime(at, null, "UTC"), "");
  assert.equal(jobsTime(at, "Mars/Olympus", "UTC"), "");
});

Deno.test("readMoment() takes offsets, the reader's own clock, words and spans", () => {
  const cases: [string, string][] = [
    ["2026-03-02T12:00:00Z", "2026-03-02T12:00:00.000Z"],
    ["2026-03-02 12:00+05:30", "2026-03-02T06:30:00.000Z"],
    ["2026-03-08 02:20-05", "2026-03-08T07:20:00.000Z"],
    ["2026-03-02 12:00", "2026-03-02T11:00:00.000Z"],
    ["2026-07-02T12:00:30", "2026-07-02T10:00:30.000Z"],
    ["2026-03-02", "2026-03-01T23:00:00.000Z"],
    ["9999-12-31", "9999-12-30T23:00:00.000Z"],
    ["now", "2026-03-02T12:00:00.000Z"],
    ["today", "2026-03-01T23:00:00.000Z"],
    ["yesterday", "2026-02-28T23:00:00.000Z"],
    ["90m", "2026-03-02T10:30:00.000Z"],
    ["2d", "2026-02-28T12:00:00.000Z"],
  ];
  for (const [text, moment] of cases) assert.equal(read(text), moment, text);
  assert.equal(read("2h", "UTC", true), "2026-03-02T14:00:00.000Z");
  assert.equal(read("0001-01-01", "UTC"), "0001-01-01T00:00:00.000Z");
  assert.equal(read("today", "UTC"), "2026-03-02T00:00:00.000Z");
});

Deno.test("readMoment() refuses what is no time, and says which are", () => {
  for (
    const text of [
      "",
      "soon",
      "2026-13-01",
      "2026-02-30",
      "2026-03-02 25:00",
      "12:00",
      "-2h",
      "2w",
      "2026-03-02T12:00:00+99:00",
      "0000-01-01",
      "0001-01-01",
      "0000-01-01T00:00:00Z",
      "9999-12-31T23:59:59-01:00",
      "999999d",
    ]
  ) {
    assert.throws(() => read(text), { message: `--at is no time: ${text}`, exitCode: 2 }, text);
  }
});

Deno.test("readMoment() guesses no time that the clock leaves out or shows twice", () => {
  assert.throws(
    () => read("2026-03-29 02:30"),
    /the clock of Europe\/Berlin has no 2026-03-29 02:30/,
  );
  assert.throws(() => read("2026-10-25 02:30"), {
    message: "--at: the clock of Europe/Berlin has twice 2026-10-25 02:30",
    hint: "give the time with its offset: 2026-10-25T00:30:00.000Z or 2026-10-25T01:30:00.000Z",
  });
  assert.equal(read("2026-03-29 03:00"), "2026-03-29T01:00:00.000Z");
  // In Beirut the clock went from 00:00 to 01:00 that day.
  assert.equal(read("2026-03-29", "Asia/Beirut"), "2026-03-28T22:00:00.000Z");
});

Deno.test("span() says how long in a unit that reads well", () => {
  const second = 1000;
  assert.deepEqual(
    [0, -30, 119, 120, 7199, 7200, 172_799, 172_800].map((seconds) => span(seconds * second)),
    ["0 s", "30 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 d"],
  );
});
