/** Simulated days, up to a year, of daily batches: random organizations, ticks and moves; what batch_jobs holds against the oracle. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { batchTest } from "./daily-batch.ts";
import { expectedDates, type Period, periods, type Setting, zoneOffset } from "./local-dates.ts";
import { seededRandom } from "./random.ts";

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const BEGIN = Date.parse("2026-01-01T00:00:00Z");
/** For how many days batch jobs are kept before they are counted and cleared. */
const DAYS_KEPT = 5;
/** The platform's, as shipped. */
const PLATFORM = { zone: "America/New_York", minute: 180 };

export interface Year {
  /** From the beginning of the year. */
  days: number;
  organizations: number;
  /** Moves to another zone or hour, in all these days. */
  moves: number;
  seed: number;
}

interface Place {
  /** Null: the platform's own. */
  zone: string | null;
  /** Minutes since midnight. */
  minute: number | null;
}

/**
 * Runs the days and holds the batch jobs against what each organization's own calendar demands. They are counted and
 * cleared every few days; the marks stay.
 */
export function yearTest(name: string, year: Year): void {
  const end = BEGIN + year.days * DAY;
  batchTest(name, async (db) => {
    // One connection, which keeps its plans. Tables are emptied all the time, so plans must not follow statistics.
    const sql = db.connect("postgres", {
      connection: { enable_seqscan: false, enable_bitmapscan: false },
    });
    const random = seededRandom(year.seed);
    const zones = await knownZones(sql, end);
    const place = (): Place => ({
      zone: random.whole(1, 10) <= 2 ? null : zones.names[random.whole(0, zones.names.length - 1)]!,
      // As many again before 04:00, where clocks change, as on the whole day.
      minute: random.whole(1, 10) <= 3 ? null : random.whole(0, random.chance(0.5) ? 239 : 1439),
    });

    // Every zone has its turn before one comes again.
    const first = Array.from({ length: year.organizations }, (_, n): Place => {
      const { zone, minute } = place();
      return { zone: zone === null ? null : zones.names[n % zones.names.length]!, minute };
    });
    const ids = (await sql<{ id: string }[]>`
      insert into organizations (name, time_zone, daily_run_at, created_at, updated_at)
      select 'organization ' || nth, place ->> 'zone', make_interval(mins => (place ->> 'minute')::integer)::time, ${new Date(
      BEGIN,
    )}, ${new Date(BEGIN)}
      from jsonb_array_elements(${
      sql.json(first as never)
    }) with ordinality as places (place, nth) order by nth
      returning id`).map((row) => row.id);
    await sql`insert into prompts (organization_id, text) select id, 'prompt' from organizations`;
    await sql`update batch_providers set enabled = name = 'one'`;

    const settings = first.map((at): Setting[] => [setting(at, BEGIN, zones.periods)]);
    let who = 0;
    let at = BEGIN;
    const moves = Array.from({ length: year.moves }, (_, nth) => {
      // Sometimes the organization that has just moved moves again within minutes.
      const again = random.chance(0.2);
      if (!again) who = random.whole(0, year.organizations - 1);
      at += again
        ? random.whole(1, 20) * MINUTE
        : random.whole(1, 1.9 * (end - BEGIN) / year.moves);
      const to = place();
      if (at < end) settings[who]!.push(setting(to, at, zones.periods));
      return { nth, at: new Date(at).toISOString(), organization_id: ids[who], ...to };
    }).filter(({ at }) => Date.parse(at) < end);

    await sql.unsafe(
      await Deno.readTextFile(new URL("../database/batches/daily_batch_year.sql", import.meta.url)),
    );
    await sql`insert into year_test.moves
      select nth, at, organization_id, zone, make_interval(mins => minute)::time
      from jsonb_to_recordset(${sql.json(moves as never)})
        as moves (nth integer, at timestamptz, organization_id uuid, zone text, minute integer)`;
    const ticks = randomTicks(random, end);
    await sql`insert into year_test.ticks
      select ticks.*, occurrence is not null
      from jsonb_to_recordset(${
      sql.json(ticks as never)
    }) as ticks (at timestamptz, doubled boolean)
      left join scheduler.occurrences('*/15 3-5 * * *', ${PLATFORM.zone}, ${new Date(
      BEGIN,
    )}, ${new Date(end)}) as occurrence on occurrence = at`;

    await sql`vacuum (analyze)`;
    for (let from = BEGIN; from <= end; from += DAYS_KEPT * DAY) {
      const to = Math.min(from + DAYS_KEPT * DAY, end + 1);
      // Moved cursors leave dead rows, and no autovacuum runs here.
      await sql`vacuum organizations, scheduler_state`;
      await sql.unsafe(
        `call year_test.run('${new Date(from).toISOString()}', '${new Date(to).toISOString()}')`,
      );
      await sql`call year_test.collect()`;
    }

    const made = new Map(
      (await sql<{ id: string; days: number[]; minutes: number[] }[]>`
        select organization_id as id, array_agg(batch_date - date '1970-01-01' order by at, batch_date) as days,
          array_agg((extract(epoch from at) / 60)::integer order by at, batch_date) as minutes
        from year_test.made group by 1`).map(({ id, days, minutes }) => [
        id,
        days.map((day, nth) => `${dateText(day)} at ${timeText(minutes[nth]! * MINUTE)}`),
      ]),
    );
    const tickTimes = ticks.map((tick) => Date.parse(tick.at));
    let total = 0;
    for (const [index, id] of ids.entries()) {
      const expected = expectedDates(settings[index]!, end).map(({ date, dueAt }) =>
        `${dateText(date)} at ${timeText(firstFrom(tickTimes, dueAt))}`
      );
      total += expected.length;
      if ((made.get(id) ?? []).join() === expected.join()) continue;
      assert.deepEqual(
        made.get(id) ?? [],
        expected,
        `organization ${index}: ${
          JSON.stringify(settings[index]!.map(({ from }) => new Date(from)))
        } ${
          JSON.stringify([first[index], ...moves.filter((move) => move.organization_id === id)])
        }`,
      );
    }
    console.log(
      `${year.organizations} organizations in ${zones.names.length} zones, ${ticks.length} ticks, ` +
        `${moves.length} moves: ${total} batch jobs, one for each date, at its first tick`,
    );
  });
}

/** Each quarter of an hour, some of them twice; more than half are missed, in outages of up to two hours. */
function randomTicks(random: ReturnType<typeof seededRandom>, end: number) {
  const ticks: { at: string; doubled: boolean }[] = [];
  for (let at = BEGIN; at < end;) {
    const missed = random.chance(0.4) ? random.whole(1, 7) : 0;
    at = Math.min(at + 15 * MINUTE * (missed + 1), end);
    ticks.push({ at: new Date(at).toISOString(), doubled: random.whole(1, 10) === 1 });
  }
  return ticks;
}

function setting({ zone, minute }: Place, from: number, known: Map<string, Period[]>): Setting {
  return {
    from,
    zone: known.get(zone ?? PLATFORM.zone)!,
    runAt: (minute ?? PLATFORM.minute) * MINUTE,
  };
}

/** The zones an organization may have, less the few of which Postgres and `Intl` have different rules this year. */
async function knownZones(
  sql: Sql,
  end: number,
): Promise<{ names: string[]; periods: Map<string, Period[]> }> {
  const rows = await sql<{ name: string; offsets: number[] }[]>`
    select name, array_agg(extract(epoch from (at at time zone name) - (at at time zone 'UTC'))::integer order by at) as offsets
    from pg_timezone_names, generate_series(${new Date(BEGIN - 2 * DAY)}::timestamptz, ${new Date(
    end + 2 * DAY,
  )}, interval '1 day') as at
    where name ~ '^[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)+$' or name = 'UTC'
    group by name order by name`;
  const known = new Map<string, Period[]>();
  for (const { name, offsets } of rows) {
    try {
      const agrees = offsets.every((offset, day) =>
        zoneOffset(name, BEGIN + (day - 2) * DAY) === offset * 1000
      );
      if (agrees) known.set(name, periods(name, BEGIN - 3 * DAY, end + 3 * DAY));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  assert.ok(known.size >= 0.97 * rows.length, `only ${known.size} of ${rows.length} zones`);
  return { names: [...known.keys()], periods: known };
}

/** The first of the ascending times that is not earlier. */
function firstFrom(times: number[], at: number): number {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! < at) low = middle + 1;
    else high = middle;
  }
  return times[low]!;
}

function timeText(at: number): string {
  return new Date(at).toISOString().slice(0, 16);
}

function dateText(day: number): string {
  return new Date(day * DAY).toISOString().slice(0, 10);
}
