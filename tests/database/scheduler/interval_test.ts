import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";

const EPOCH = "1970-01-01T00:00:00Z";

async function moments(sql: Sql, expression: string, ...args: unknown[]): Promise<string[]> {
  const rows = await sql.unsafe(`select ${expression} as at`, args as never[]);
  return rows.map(({ at }) => at.toISOString());
}

Deno.test("an interval lies on a grid from the epoch, whatever the time zone", () =>
  withDatabase(async ({ sql }) => {
    for (const zone of ["UTC", "Asia/Kathmandu", "America/New_York"]) {
      const next = async (schedule: string, after: string) =>
        (await moments(sql, "scheduler.next_occurrence($1, $2, $3)", schedule, zone, after))[0];
      const previous = async (schedule: string, before: string) =>
        (await moments(sql, "scheduler.previous_occurrence($1, $2, $3)", schedule, zone, before))[
          0
        ];
      assert.equal(await next("30 seconds", "2026-03-02T12:00:00Z"), "2026-03-02T12:00:30.000Z");
      assert.equal(
        await next("30 seconds", "2026-03-02T12:00:29.999Z"),
        "2026-03-02T12:00:30.000Z",
      );
      assert.equal(
        await previous("30 seconds", "2026-03-02T12:00:30Z"),
        "2026-03-02T12:00:30.000Z",
      );
      assert.equal(
        await previous("30 seconds", "2026-03-02T12:00:29.999Z"),
        "2026-03-02T12:00:00.000Z",
      );
      // A day of the grid begins at midnight UTC.
      assert.equal(await next("86400 seconds", "2026-03-02T12:00:00Z"), "2026-03-03T00:00:00.000Z");
      // 7 divides no minute, hour or day: 2026-03-02 12:00 is 1772452800 s, which is 6 more than a multiple of 7.
      assert.equal(await next("7 seconds", "2026-03-02T12:00:00Z"), "2026-03-02T12:00:01.000Z");
      assert.equal(await next("7 seconds", EPOCH), "1970-01-01T00:00:07.000Z");
      assert.equal(await previous("7 seconds", EPOCH), "1970-01-01T00:00:00.000Z");
      assert.equal(await previous("7 seconds", "1969-12-31T23:59:59Z"), "1969-12-31T23:59:53.000Z");
    }
  }));

Deno.test("an interval's occurrences hold their beginning and not their end", () =>
  withDatabase(async ({ sql }) => {
    const listed = (from: string, to: string) =>
      moments(sql, "scheduler.occurrences('20 seconds', 'UTC', $1, $2)", from, to);
    assert.deepEqual(await listed("2026-03-02T12:00:00Z", "2026-03-02T12:00:40Z"), [
      "2026-03-02T12:00:00.000Z",
      "2026-03-02T12:00:20.000Z",
    ]);
    assert.deepEqual(await listed("2026-03-02T12:00:00.001Z", "2026-03-02T12:00:20.001Z"), [
      "2026-03-02T12:00:20.000Z",
    ]);
    assert.deepEqual(await listed("2026-03-02T12:00:01Z", "2026-03-02T12:00:20Z"), []);
    assert.deepEqual(await listed("2026-03-02T12:00:20Z", "2026-03-02T12:00:00Z"), []);
  }));

/** Every multiple of `n` among the whole seconds of [from, to), looked at one by one. */
function grid(n: number, from: number, to: number): number[] {
  const found: number[] = [];
  for (let second = Math.ceil(from); second < to; second++) {
    if (second % n === 0) found.push(second);
  }
  return found;
}

Deno.test("next, previous, list, count and newest of random intervals are the multiples among all seconds", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20261203);
    const cases = Array.from({ length: 600 }, () => {
      const n = random.chance(0.5)
        ? random.whole(1, 120)
        : random.pick([1, 7, 61, 90, 3601, 7200, 86_399, 86_400]);
      // Thousandths, and ends on the grid itself.
      const start = Date.UTC(2026, 0, 1) / 1000 + random.whole(0, 10 ** 7);
      const from = random.chance(0.3) ? start - start % n : start + random.whole(0, 999) / 1000;
      const length = random.pick([0, 1, n, n * random.whole(1, 30), random.whole(1, 5000)]);
      const to = from + Math.min(length, 200_000);
      const limit = random.whole(1, 20);
      const listed = grid(n, from, to);
      return {
        schedule: `${n} second${n === 1 ? "" : "s"}`,
        from,
        to,
        most: limit,
        next: grid(n, Math.floor(from) + 1, from + n + 2)[0]!,
        previous: grid(n, from - n - 1, Math.floor(from) + 1).at(-1)!,
        counted: listed.length,
        listed: listed.slice(0, 500),
        newest: listed.slice(-limit),
      };
    });
    const wrong = await sql`
      select cases.*, answers.*
      from jsonb_to_recordset(${
      sql.json(cases)
    }) as cases (schedule text, "from" float8, "to" float8, most integer,
          next float8, previous float8, counted integer, listed float8[], newest float8[]),
        lateral (select to_timestamp("from") as begins, to_timestamp("to") as ends) as span,
        lateral (select
          extract(epoch from scheduler.next_occurrence(schedule, 'UTC', begins)) as found_next,
          extract(epoch from scheduler.previous_occurrence(schedule, 'UTC', begins)) as found_previous,
          scheduler.count_occurrences(schedule, 'UTC', begins, ends) as found_count,
          array(select extract(epoch from at)::float8 from scheduler.occurrences(schedule, 'UTC', begins, ends) as at
            order by at limit 500) as found,
          array(select extract(epoch from at)::float8
            from unnest(scheduler.newest_occurrences(schedule, 'UTC', begins, ends, most)) as at) as found_newest
        ) as answers
      where found_next <> next or found_previous <> previous or found_count <> counted or found <> listed
        or found_newest <> newest
      limit 5`;
    assert.deepEqual([...wrong], []);
  }));

Deno.test("an interval's list of a year is counted without listing it", () =>
  withDatabase(async ({ connect }) => {
    const sql = connect("postgres", { connection: { statement_timeout: 5000 } });
    const [row] = await sql<{ counted: string; newest: Date[] }[]>`
      select scheduler.count_occurrences('1 second', 'UTC', '2000-01-01T00:00Z', '2026-01-01T00:00Z') as counted,
        scheduler.newest_occurrences('1 second', 'UTC', '2000-01-01T00:00Z', '2026-01-01T00:00Z', 2) as newest`;
    assert.equal(Number(row!.counted), (Date.UTC(2026, 0, 1) - Date.UTC(2000, 0, 1)) / 1000);
    assert.deepEqual(row!.newest.map((at) => at.toISOString()), [
      "2025-12-31T23:59:58.000Z",
      "2025-12-31T23:59:59.000Z",
    ]);
  }));

Deno.test("an interval's occurrences refuse null, infinity and a zone that is none", () =>
  withDatabase(async ({ sql }) => {
    for (
      const query of [
        sql`select scheduler.next_occurrence('30 seconds', 'UTC', 'infinity')`,
        sql`select scheduler.previous_occurrence('30 seconds', 'UTC', null)`,
        sql`select scheduler.occurrences('30 seconds', 'UTC', now(), 'infinity')`,
        sql`select scheduler.next_occurrence('30 seconds', 'Mars/Olympus', now())`,
        sql`select scheduler.count_occurrences('30 seconds', 'Mars/Olympus', now(), now() + interval '1 day')`,
        sql`select scheduler.compile_schedule('30 seconds', 'Mars/Olympus')`,
      ]
    ) {
      assert.equal((await refusal(query)).code, "22023");
    }
  }));
