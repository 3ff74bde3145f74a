import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

type Day = number | null;
/** Days of March. */
const cases: [name: string, today: Day, owed: number[], had: Day, begun: number[]][] = [
  ["today's date, when it is later than the last", 2, [], 1, [2]],
  ["today's date, when there was none before", 2, [], null, [2]],
  ["nothing, when today's date was had", 2, [], 2, []],
  ["nothing, when a later date was had", 2, [], 3, []],
  ["today's date alone after days without a tick", 6, [], 2, [6]],
  ["an owed date before today's", 3, [2], 1, [2, 3]],
  ["an owed date that is today's, once", 2, [2], 1, [2]],
  ["an owed date later than today's, without today's: that came before", 2, [3], 1, [3]],
  ["several owed dates in order", null, [4, 2, 3], 1, [2, 3, 4]],
  ["owed dates alone, where today's is not asked about", null, [2], null, [2]],
  ["no owed date that was had meanwhile", 4, [2, 3], 2, [3, 4]],
  ["nothing, when all that is owed was had", null, [2], 2, []],
  ["nothing, where nothing is asked about or owed", null, [], null, []],
  ["nothing, where nothing is asked about or owed, after a date", null, [], 1, []],
];

Deno.test("dates_to_begin()", async (test) => {
  const date = (day: Day) => day === null ? null : `2026-03-0${day}`;
  await withDatabase(async ({ sql }) => {
    for (const [name, today, owed, had, begun] of cases) {
      await test.step(name, async () => {
        const [row] = await sql`select batches.dates_to_begin(${date(today)}, ${owed.map(
          date,
        ) as string[]}::date[], ${date(had)})::text[] as dates`;
        assert.deepEqual(row!.dates, begun.map(date));
      });
    }
  });
});
