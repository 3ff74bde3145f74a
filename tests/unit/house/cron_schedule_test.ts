import assert from "node:assert/strict";
import { isDue, isWildcard, periodMs } from "../../../local/cron-schedule.ts";

const due = (schedule: string, time: string) => isDue(schedule, new Date(`${time}Z`));

Deno.test("isDue() follows minute, hour, day, month and weekday, in UTC", () => {
  assert.ok(due("5 7 * * *", "2026-11-21T07:05:59"));
  assert.ok(!due("5 7 * * *", "2026-11-21T07:06:00"));
  assert.ok(due("*/15 * * * *", "2026-11-21T07:45"));
  assert.ok(due("0 0 1 jan *", "2027-01-01T00:00"));
  assert.ok(due("0 0 * * 7", "2026-11-22T00:00"));
  assert.ok(due("0 0 * * sun", "2026-11-22T00:00"));
});

Deno.test("isDue() lets either day field decide when both are restricted", () => {
  assert.ok(due("0 0 1 * mon", "2026-11-23T00:00"));
  assert.ok(due("0 0 1 * mon", "2026-12-01T00:00"));
  assert.ok(!due("0 0 1 * mon", "2026-12-02T00:00"));
});

Deno.test("isDue() lets both day fields decide when one begins with a star, as pg_cron does", () => {
  assert.ok(due("0 0 */2 * mon", "2026-11-23T00:00"));
  assert.ok(!due("0 0 */2 * mon", "2026-11-30T00:00"));
  assert.ok(!due("0 0 */2 * mon", "2026-11-25T00:00"));
});

Deno.test("isDue() reads $ as the last day of the month", () => {
  assert.ok(due("0 0 $ * *", "2028-02-29T00:00"));
  assert.ok(!due("0 0 $ * *", "2028-02-28T00:00"));
});

Deno.test("isDue() is false for an entry in seconds at every minute", () => {
  assert.ok(!due("30 seconds", "2026-11-21T00:00"));
});

Deno.test("periodMs() reads 1 to 59 seconds, and nothing else", () => {
  const periods: [string, number | undefined][] = [
    ["1 second", 1000],
    ["10 seconds", 10_000],
    [" 59 SECONDS ", 59_000],
    ["5seconds", 5000],
    ["0 seconds", undefined],
    ["60 seconds", undefined],
    ["90 seconds", undefined],
    ["10 secs", undefined],
    ["10 seconds ago", undefined],
    ["* * * * *", undefined],
  ];
  for (const [schedule, period] of periods) assert.equal(periodMs(schedule), period, schedule);
});

Deno.test("isWildcard() is true for an entry whose minute or hour is open", () => {
  assert.ok(isWildcard("*/5 3 * * *"));
  assert.ok(isWildcard("5 * * * *"));
  assert.ok(!isWildcard("5 3 * * *"));
});
