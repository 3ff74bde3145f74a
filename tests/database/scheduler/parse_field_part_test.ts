import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const fields = {
  minute: "('minute', 0, 59, null)",
  month: "('month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'::text[])",
  weekday: "('day of week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}'::text[])",
};

const sign = "? and $ are other schedulers' signs; " +
  "the day of month has L, L-3, LW and 15W, the day of week 5L and 5#2";
const weekSign =
  "5L or friL is the last Friday of the month, 5#2 or fri#2 its second, from 1 to 5; " +
  "they stand alone or in a list, without ranges and steps";
const parts: [
  field: keyof typeof fields,
  typed: string,
  values: number[] | null,
  problem?: string,
  hint?: string,
][] = [
  ["minute", "7", [7]],
  ["minute", "07", [7]],
  ["minute", "10-12", [10, 11, 12]],
  ["minute", "10-20/5", [10, 15, 20]],
  ["minute", "*/20", [0, 20, 40]],
  ["month", "Jan-MAR", [1, 2, 3]],
  ["weekday", "sun", [0]],
  ["weekday", "7", [7]],
  ["weekday", "fri-sun", [5, 6, 7]],
  ["weekday", "sun-mon", [0, 1]],
  ["minute", "60", null, 'the minute must be 0 to 59, got "60"'],
  ["minute", "50-60", null, 'the minute must be 0 to 59, got "60" in "50-60"'],
  ["minute", "60/5", null, 'the minute must be 0 to 59, got "60" in "60/5"'],
  ["month", "Sun", null, 'the month must be 1 to 12, got "Sun"'],
  ["month", "jan-sun", null, 'the month must be 1 to 12, got "sun" in "jan-sun"'],
  ["minute", "1.5", null, 'the minute must be 0 to 59, got "1.5"'],
  ["weekday", "friL", [95]],
  ["weekday", "sun#5", [50]],
  ["weekday", "wed", [3]],
  ["month", "JUL", [7]],
  ["weekday", "?", null, 'the day of week "?" uses a sign that is not supported', sign],
  ["month", "5L", null, 'the month "5L" uses a sign that is not supported', sign],
  ["weekday", "8L", null, 'the day of week must be 0 to 7, got "8" in "8L"', weekSign],
  ["weekday", "fri#6", null, 'the day of week has no sign "fri#6"', weekSign],
  [
    "minute",
    "5/15",
    null,
    'the minute "5/15" has a step without a range',
    "write 5-59/15",
  ],
  [
    "minute",
    "*/60",
    null,
    'the minute\'s step must be 1 to 59, got "60" in "*/60"',
    "a step counts within the field, 0 to 59; it does not carry on into the next hour, day or month",
  ],
  [
    "weekday",
    "fri-mon",
    null,
    'the day of week "fri-mon" is a range that runs backwards',
    "write it as two: fri-6,sun-mon",
  ],
  [
    "minute",
    "50-10/5",
    null,
    'the minute "50-10/5" is a range that runs backwards',
    "begin the range with its smaller end",
  ],
];

Deno.test("parse_field_part() gives the values of a list's element, or the problem and a hint", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [field, typed, values, problem = null, hint = null] of parts) {
      await t.step(`${field} ${typed}`, async () => {
        const [part] = await sql.unsafe(
          `select (scheduler.parse_field_part(${fields[field]}, $1)).*`,
          [typed],
        );
        assert.deepEqual({ ...part }, { values, problem, hint });
      });
    }
  });
});
