import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/daily-batch.ts";
import { value } from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;

/** Two zones without summer time, the second to the east, with the same date now and for hours before and after. */
function zones(now: number): { west: string; east: string; hours: number; westOffset: number } {
  const hour = new Date(now).getUTCHours();
  return hour >= 5 && hour < 17
    ? { west: "UTC", east: "Asia/Dubai", hours: 4, westOffset: 0 }
    : hour >= 17
    ? { west: "America/Phoenix", east: "America/Sao_Paulo", hours: 4, westOffset: -7 }
    : { west: "Asia/Bangkok", east: "Pacific/Guam", hours: 3, westOffset: 7 };
}

/** A change of settings counts from the moment of its transaction. So all times are minutes from now. */
async function platform(sql: Sql) {
  const [row] = await sql<{ now: Date }[]>`select now()`;
  const now = row!.now.getTime();
  const { west, east, hours, westOffset } = zones(now);
  const local = (minutes: number, offset = westOffset) =>
    new Date(now + minutes * MINUTE + offset * 60 * MINUTE).toISOString();
  return {
    west,
    east,
    at: (minutes: number) => new Date(now + minutes * MINUTE).toISOString(),
    /** The clock of the western zone. */
    clock: (minutes: number) => local(minutes).slice(11, 16),
    clockInTheEast: (minutes: number) => local(minutes, westOffset + hours).slice(11, 16),
    clockInTokyo: (minutes: number) => local(minutes, 9).slice(11, 16),
    /** Today's date in both, or that of as many days from now. */
    date: (days = 0) => local(days * 1440).slice(0, 10),
    async move(values: { time_zone?: string; run_at?: string }) {
      // In one statement, as one change.
      await sql`
        update scheduler_settings set value = to_jsonb(changed.value)
        from jsonb_each_text(${sql.json(values)}) as changed
        where scheduler_settings.key = 'daily_batch.' || changed.key`;
    },
    /** As if nothing had run before. */
    async begins(values: { time_zone?: string; run_at?: string }) {
      await this.move({ time_zone: west, ...values });
      await sql`update scheduler_settings set value = '1' where key = 'daily_batch.window_hours'`;
      await sql`delete from scheduler_state`;
      return await t.organization(sql, "Acme", { created_at: new Date(now - 3 * DAY) });
    },
    /** Runs the ticks of that moment. */
    async tick(minutes: number) {
      for (const [zones, due] of [[false, "daily_is_due"], [true, "zoned_is_due"]]) {
        const at = this.at(minutes);
        if (await value(sql, `batches.${due}($1)`, [at])) {
          await t.trigger(sql, at, { zones: zones as boolean });
        }
      }
    },
  };
}

t.batchTest(
  "the platform's hour moved within its window, before its tick: the day is begun once",
  async ({ sql }) => {
    // Earlier, so that the window is over; or later, so that it opens again.
    for (const run_at of [-125, 40]) {
      const p = await platform(sql);
      const acme = await p.begins({ run_at: p.clock(-5) });
      const own = await t.organization(sql, "Own", {
        time_zone: "Asia/Tokyo",
        // Half a day away, whatever the hour is now: none of the ticks is its own.
        daily_run_at: p.clockInTokyo(720),
        created_at: new Date(Date.parse(p.at(0))),
      });
      const before = await t.nextBatchAt(sql, own);
      await p.move({ run_at: p.clock(run_at) });
      for (const minutes of [1, 15, 45, 60, 75]) await p.tick(minutes);
      assert.deepEqual(await t.dates(sql, acme), [p.date()]);
      assert.equal(await t.nextBatchAt(sql, acme), null, "it follows the platform again");
      assert.equal(await t.nextBatchAt(sql, own), before, "whoever has both is not touched");
      await p.tick(1440 + run_at + 1);
      await p.tick(1440 + run_at + 16);
      assert.deepEqual(await t.dates(sql, acme), [p.date(), p.date(1)]);
      await sql`delete from organizations`;
    }
  },
);

t.batchTest(
  "the platform's hour moved after its tick: the day does not come again",
  async ({ sql }) => {
    const p = await platform(sql);
    const acme = await p.begins({ run_at: p.clock(-5) });
    await p.tick(0);
    await p.move({ run_at: p.clock(40) });
    assert.equal(await t.nextBatchAt(sql, acme), null);
    for (const minutes of [1, 45, 60]) await p.tick(minutes);
    assert.deepEqual(await t.dates(sql, acme), [p.date()]);
    await p.tick(1440 + 41);
    assert.deepEqual(await t.dates(sql, acme), [p.date(), p.date(1)]);
  },
);

t.batchTest(
  "the platform moved to where today's time has passed: the day is due at once, also after its window there",
  async ({ sql }) => {
    const p = await platform(sql);
    const acme = await p.begins({ run_at: p.clock(60) });
    await t.trigger(sql, p.at(-1439 + 60));
    assert.deepEqual(await t.dates(sql, acme), [p.date(-1)]);
    await p.move({ time_zone: p.east });
    assert.equal(await value(sql, "batches.daily_is_due($1)", [p.at(1)]), false);
    for (const minutes of [1, 15, 61, 75]) await p.tick(minutes);
    assert.deepEqual(await t.dates(sql, acme), [p.date(-1), p.date()]);
  },
);

t.batchTest(
  "the platform's zone and hour moved in one statement: the day that was due is begun once",
  async ({ sql }) => {
    const p = await platform(sql);
    const acme = await p.begins({ run_at: p.clock(-5) });
    await p.move({ time_zone: p.east, run_at: p.clockInTheEast(-125) });
    for (const minutes of [1, 15]) await p.tick(minutes);
    assert.deepEqual(await t.dates(sql, acme), [p.date()]);
    // A person who forces it begins nothing more.
    assert.equal((await t.trigger(sql, p.at(16), { force: true })).outcome, "already_run");
    await p.tick(1440 - 124);
    assert.deepEqual(await t.dates(sql, acme), [p.date(), p.date(1)]);
  },
);

t.batchTest(
  "the platform moved while its trigger is at work: the move waits, and the day is begun once",
  async (db) => {
    const { sql } = db;
    const p = await platform(sql);
    const acme = await p.begins({ run_at: p.clock(-5) });
    // An array, so that the transaction does not wait for what waits for it.
    const [moved] = await db.connect().begin(async (trigger) => {
      await t.trigger(trigger, p.at(0));
      const moved = p.move({ run_at: p.clock(-125) });
      await waitUntil("the move waiting for the trigger", async () => {
        const locks = await sql`
          select from pg_locks join pg_database on pg_database.oid = database
          where locktype = 'advisory' and not granted and datname = ${db.name}`;
        return locks.length > 0;
      });
      return [moved] as const;
    });
    await moved;
    for (const minutes of [1, 15]) await p.tick(minutes);
    assert.deepEqual(await t.dates(sql, acme), [p.date()]);
  },
);
