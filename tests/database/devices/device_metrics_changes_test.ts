import assert from "node:assert/strict";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import {
  addDevices,
  addRows,
  assertExact,
  asService,
  at,
  fallBehind,
  hourMs,
  random,
  runJob,
  touched,
} from "../../support/device-metrics.ts";
import { waitUntil } from "../../support/wait-until.ts";

const activity = (device_id: string, occurred_at: Date) => ({
  device_id,
  occurred_at,
  activity_type: "heartbeat",
});

async function notes({ sql }: TestDatabase): Promise<number> {
  const [row] = await sql`select count(*)::int as notes from devices.metrics_changes`;
  return row!.notes;
}

async function eventsOfFleet({ sql }: TestDatabase, hour: Date): Promise<number | undefined> {
  const [row] = await sql`select activity_events::int as events from public.device_metrics_summary
    where granularity = 'hour' and device_id is null and period_start = ${hour}`;
  return row?.events;
}

Deno.test("a second run and a recomputed range write no row", () =>
  withDatabase(async (db) => {
    const roll = random(11);
    const service = asService(db);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 5), 60);
    await runJob(service, { granularity: "day" });
    const before = await touched(db.sql);
    assert.ok(before.size > 300);

    await runJob(service, { granularity: "day" });
    assert.deepEqual(await touched(db.sql), before);

    const result = await runJob(service, {
      granularity: "day",
      from: at(-24).toISOString(),
      to: at(120).toISOString(),
    });
    assert.ok(result.hours === 144 && result.deviceRows > 300);
    const after = await touched(db.sql);
    assert.deepEqual(new Map([...before.keys()].map((name) => [name, after.get(name)])), before);
  }));

Deno.test("one late row changes the rows of its own hour, day and device, and no other", () =>
  withDatabase(async (db) => {
    const roll = random(12);
    const service = asService(db);
    const devices = await addDevices(db.sql, roll, 5);
    await addRows(db.sql, roll, devices, 60);
    await runJob(service, { granularity: "day" });
    const before = await touched(db.sql);
    await db.sql`insert into public.device_activity_log ${db.sql(activity(devices[0]!, at(30.5)))}`;
    await runJob(service, { granularity: "day" });
    const after = await touched(db.sql);
    const changed = [...after].filter(([name, trace]) => before.get(name) !== trace);
    assert.equal(changed.length, 4);
    await assertExact(db.sql);
  }));

Deno.test("a row that is committed late with an early time is picked up by the next run", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const [device] = await addDevices(db.sql, random(1), 1);
    await db.sql`insert into public.device_activity_log ${db.sql(activity(device!, at(5)))}`;
    const slow = await db.sql.reserve();
    try {
      await slow`begin`;
      await slow`insert into public.device_activity_log ${slow(activity(device!, at(5.1)))}`;
      await runJob(service);
      assert.equal(await eventsOfFleet(db, at(5)), 1);
      await slow`commit`;
    } finally {
      slow.release();
    }
    await runJob(service);
    assert.equal(await eventsOfFleet(db, at(5)), 2);
  }));

Deno.test("a row that was written into the open hour counts, though it is committed after the hour's run", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const [device] = await addDevices(db.sql, random(1), 1);
    const hour = new Date((Math.floor(Date.now() / hourMs) - 1) * hourMs);
    await fallBehind(db, 1);
    const slow = await db.sql.reserve();
    try {
      // A transaction of the hour that is now over, as it would stand: with its row, and without a note.
      await slow`begin`;
      await slow`insert into public.device_activity_log ${
        slow(activity(device!, new Date(hour.getTime() + 60_000)))
      }`;
      const noted = await slow`delete from devices.metrics_changes`;
      assert.equal(noted.count, 1);
      await runJob(service);
      assert.equal(await eventsOfFleet(db, hour), 0);
      await runJob(service);
      assert.equal(await eventsOfFleet(db, hour), 0);
      await slow`commit`;
    } finally {
      slow.release();
    }
    await runJob(service);
    assert.equal(await eventsOfFleet(db, hour), 1);
  }));

Deno.test("hours are settled, and not computed again, once no older transaction is open", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    await fallBehind(db, 3);
    // Transactions of other tests on this server count too, but they end.
    await waitUntil("settled hours", async () => (await runJob(service)).hours === 0, 60_000);
    const [row] = await db.sql`select count(*)::int as rows from devices.metrics_periods
      where granularity = 'hour' and (pending or unsettled)`;
    assert.equal(row!.rows, 0);
  }));

Deno.test("writes to the open hour add no note; a bulk load of old rows adds one for each hour", () =>
  withDatabase(async (db) => {
    const [device] = await addDevices(db.sql, random(1), 1);
    await db.sql`insert into public.device_activity_log (device_id, occurred_at, activity_type)
      select ${device!}, now(), 'heartbeat' from generate_series(1, 100)`;
    await db.sql`insert into public.device_connection_sessions (device_id) values (${device!})`;
    await db
      .sql`update public.device_connection_sessions set last_heartbeat_at = now(), app_version = '2'`;
    assert.equal(await notes(db), 0);
    await db.sql`insert into public.device_activity_log (device_id, occurred_at, activity_type)
      select ${device!}, ${
      at(0)
    }::timestamptz + n * interval '1 second', 'heartbeat' from generate_series(0, 7199) n`;
    assert.equal(await notes(db), 2);
  }));

Deno.test("a change of columns that the metrics do not read adds no note", () =>
  withDatabase(async (db) => {
    const roll = random(3);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 2), 10);
    await runJob(asService(db));
    assert.equal(await notes(db), 0);
    await db.sql`update public.device_activity_log set details = '{}', activity_type = 'sync'`;
    await db.sql`update public.device_connection_sessions set metadata = '{"a": 1}'`;
    await db.sql`update public.charging_sessions set end_battery_percent = 80`;
    await db.sql`update public.pop_events_ledger set transaction_hash = 'x'`;
    await db.sql`update public.engagement_commands set priority = 1`;
    assert.equal(await notes(db), 0);
  }));

Deno.test("writers and several runs at the same time lose nothing", () =>
  withDatabase(async (db) => {
    const roll = random(21);
    const devices = await addDevices(db.sql, roll, 6);
    const writer = async (seed: number) => {
      const own = db.connect();
      for (let round = 0; round < 6; round++) {
        await own.begin(async (transaction) => {
          await addRows(transaction, random(seed * 100 + round), devices, 8);
        });
        await own`update public.charging_sessions set energy_wh = energy_wh + 1
          where left(id::text, 1) = ${seed.toString(16)}`;
      }
    };
    const runner = async () => {
      const own = asService(db);
      for (let round = 0; round < 5; round++) await runJob(own, { granularity: "day" });
    };
    await Promise.all([writer(1), writer(2), writer(3), writer(4), runner(), runner(), runner()]);
    await runJob(asService(db), { granularity: "day" });
    await assertExact(db.sql);
  }));

Deno.test("writers and the job never wait for each other", () =>
  withDatabase(async (db) => {
    const [device] = await addDevices(db.sql, random(1), 1);
    await db.sql`insert into public.device_activity_log ${db.sql(activity(device!, at(1)))}`;
    const job = await db.sql.reserve();
    const impatient = db.connect("postgres", { connection: { lock_timeout: 1000 } });
    try {
      await job`begin`;
      await job`select public.aggregate_device_metrics_begin()`;
      await job`select public.aggregate_device_metrics_hours()`;
      await impatient`insert into public.device_activity_log ${
        impatient(activity(device!, at(1.2)))
      }`;
      await impatient`begin`;
      await impatient`insert into public.device_activity_log ${
        impatient(activity(device!, at(1.4)))
      }`;
      await job`commit`;
      await job`set lock_timeout = 1000`;
      await job`select public.aggregate_device_metrics_begin()`;
      await job`select public.aggregate_device_metrics_hours()`;
      await impatient`commit`;
    } finally {
      job.release();
    }
    await runJob(asService(db));
    assert.equal(await eventsOfFleet(db, at(1)), 3);
  }));
