import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { Calendar } from "../../support/calendar.ts";
import { cases, someOf } from "../../support/cases.ts";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";

/** The share of the changes. */
const ONE_OF = cases(1, 5);

async function prepare(sql: Sql): Promise<void> {
  await sql.unsafe(await Deno.readTextFile(new URL("every_time_zone.sql", import.meta.url)));
  await sql`analyze zone_test.changes`;
}

Deno.test("in every zone, 2020 to 2040, a daily job of any minute runs exactly once each local date", async (t) => {
  await withDatabase(async ({ sql }) => {
    await prepare(sql);

    await t.step("every zone of Postgres is looked at, and one change at a time", async () => {
      const [zones] = await sql<{ zones: number; known: number; closest: number }[]>`
        select (select count(*)::integer from zone_test.zones) as zones,
          (select count(*)::integer from pg_timezone_names) as known,
          (select min(extract(epoch from apart) / 86400)::integer from (
            select at - lag(at) over (partition by zone order by at) as apart from zone_test.changes
          ) as changes) as closest`;
      assert.equal(zones!.zones, zones!.known);
      assert.ok(zones!.zones >= 400, `only ${zones!.zones} zones`);
      assert.ok(zones!.closest >= 5, `two changes are ${zones!.closest} days apart`);
      const [kinds] = await sql<{ changes: number; zones: number }[]>`
        select count(*)::integer as changes, sum(zones)::integer as zones
        from zone_test.distinct_changes`;
      console.log(
        `${zones!.zones} zones, ${kinds!.zones} changes, ${kinds!.changes} different ones`,
      );
      assert.ok(kinds!.changes > 500);
    });

    // The first change of a kind (the same offsets and the same local time), and each tenth of those after.
    await t.step(
      "each of the 1,440 minutes on the dates round the changes of each kind",
      async () => {
        const wrong = await sql`
        select problem
        from zone_test.distinct_changes, zone_test.wrong_minutes(zone, at)
        where (nth = 1 or nth % 10 = 0) and hashtext(zone || at) % ${ONE_OF} = 0 limit 10`;
        assert.deepEqual([...wrong], []);
      },
    );

    await t.step("each minute that a change skips or repeats, as a job by itself", async () => {
      // All minutes of the first change of a kind; later only the ends.
      const wrong = await sql`
        select problem
        from zone_test.distinct_changes, zone_test.wrong_walks(zone, at, nth = 1)
        where (nth = 1 or nth % 10 = 0) and hashtext(zone || at) % ${ONE_OF} = 0 limit 10`;
      assert.deepEqual([...wrong], []);
    });

    const random = seededRandom(20260305);
    await t.step(
      "the start of the day and a random minute, on every date of the 21 years",
      async () => {
        const zones = await sql<{ zone: string }[]>`
        select zone from zone_test.distinct_zones order by zone`;
        assert.ok(zones.length >= 60, `only ${zones.length} different zones`);
        const daily = someOf(zones).flatMap(({ zone }) =>
          [0, random.whole(1, 1439)].map((minute) => ({ zone, minute }))
        );
        const wrong = await sql`
        select problem
        from jsonb_to_recordset(${sql.json(daily)}) as cases (zone text, minute integer),
          zone_test.wrong_years(zone, minute) limit 10`;
        assert.deepEqual([...wrong], []);
      },
    );

    await t.step("days by sign, on every such date of the 21 years", async () => {
      const calendar = new Calendar(2020, 2040);
      const zones = await sql<{ zone: string }[]>`
        select zone from zone_test.distinct_zones order by zone`;
      // Clocks change on Sundays, and in the first hours of a month.
      const signed = someOf(zones).flatMap(({ zone }) =>
        [
          random.pick(["* * sunL", "* * sun#1", "* * sun#2", "* * 7#4"]),
          random.pick(["L * *", "1W * *", "LW * *", "L-1 * *"]),
          random.pick(["15W,L * satL", "*/2 * sun#3", "31W 3,10 sun#5", "1,LW * friL"]),
        ].map((days) => {
          const dates = calendar.dates(...days.split(" ") as [string, string, string]);
          const minute = random.chance(0.7) ? random.whole(0, 209) : random.whole(0, 1439);
          return {
            zone,
            days,
            minute,
            dates: dates.map((date) => date.toISOString().slice(0, 10)),
          };
        })
      );
      assert.ok(signed.length >= cases(180));
      const wrong = await sql`
        select problem
        from jsonb_to_recordset(${
        sql.json(signed)
      }) as cases (zone text, days text, minute integer, dates date[]),
          zone_test.wrong_dates(zone, minute, days, dates, '2020-01-01', '2041-01-01') limit 10`;
      assert.deepEqual([...wrong], []);
    });

    await t.step(
      "a random minute by each zone's own name, on every date of a random year",
      async () => {
        const zones = await sql<{ zone: string }[]>`select zone from zone_test.zones order by zone`;
        const ofOneYear = someOf(zones).map(({ zone }) => ({
          zone,
          minute: random.whole(0, 1439),
          year: random.whole(2020, 2040),
        }));
        const wrong = await sql`
        select problem
        from jsonb_to_recordset(${
          sql.json(ofOneYear)
        }) as cases (zone text, minute integer, year integer),
          zone_test.wrong_years(zone, minute, year, year) limit 10`;
        assert.deepEqual([...wrong], []);
      },
    );
  });
});
