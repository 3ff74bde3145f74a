import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import {
  addDevices,
  addRows,
  assertExact,
  asService,
  at,
  base,
  hourMs,
  random,
  runJob,
} from "../../support/device-metrics.ts";

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`device metrics equal a brute-force computation over random rows (seed ${seed})`, () =>
    withDatabase(async (db) => {
      const roll = random(seed);
      await addRows(db.sql, roll, await addDevices(db.sql, roll, 7), 120);
      await runJob(asService(db), { granularity: "day" });
      await assertExact(db.sql);
    }));

  Deno.test(`device metrics follow late, changed and deleted rows (seed ${seed})`, () =>
    withDatabase(async (db) => {
      const roll = random(seed * 1000);
      const service = asService(db);
      const devices = await addDevices(db.sql, roll, 5);
      await addRows(db.sql, roll, devices, 60);
      await runJob(service, { granularity: "day" });
      for (let round = 0; round < 3; round++) {
        await addRows(db.sql, roll, devices, 10);
        const hours = (roll() - 0.5) * 20;
        const some = Math.floor(roll() * 16).toString(16);
        await db.sql`update public.device_connection_sessions
          set disconnected_at = disconnected_at + ${hours} * interval '1 hour',
            last_heartbeat_at = last_heartbeat_at + interval '3 hours'
          where left(id::text, 1) = ${some}`;
        await db.sql`update public.device_connection_sessions
          set status = 'timed_out', disconnected_at = coalesce(last_heartbeat_at, connected_at)
          where status = 'active' and right(id::text, 1) < '8'`;
        await db.sql`update public.charging_sessions
          set energy_wh = energy_wh + 5, started_at = started_at - interval '90 minutes'
          where left(id::text, 1) = ${some}`;
        await db
          .sql`update public.charging_sessions set efficiency_percent = null, device_id = ${devices[
            round
          ]!} where right(id::text, 1) = ${some}`;
        await db.sql`update public.device_activity_log
          set occurred_at = occurred_at + ${hours} * interval '1 hour', severity = 'error' where id % 7 = ${round}`;
        await db.sql`update public.pop_events_ledger set status = 'validated', points = points + 1
          where left(id::text, 1) = ${some}`;
        await db
          .sql`update public.engagement_commands set status = 'expired', issued_at = issued_at + interval '1 day'
          where left(id::text, 1) = ${some}`;
        for (
          const table of [
            "device_connection_sessions",
            "charging_sessions",
            "pop_events_ledger",
            "engagement_commands",
          ]
        ) {
          await db.sql`delete from public.${db.sql(table)} where substr(id::text, 2, 1) = ${some}`;
        }
        await db.sql`delete from public.device_activity_log where id % 11 = ${round}`;
        await runJob(service, { granularity: "day" });
        await assertExact(db.sql);
      }
      await db.sql`delete from public.devices where id = ${devices[0]!}`;
      await db.sql`truncate public.pop_events_ledger`;
      await runJob(service, { granularity: "day" });
      await assertExact(db.sql);
    }));
}

Deno.test("energy shared out over hours adds up to the session's to the last digit", () =>
  withDatabase(async (db) => {
    const [device] = await addDevices(db.sql, random(1), 1);
    // Three watt hours over seven minutes short of a third day: no share is a round number.
    await db.sql`insert into public.charging_sessions ${
      db.sql({
        device_id: device!,
        status: "completed",
        started_at: at(0.7),
        ended_at: at(49.833),
        energy_wh: "3.001",
        efficiency_percent: "71.43",
      })
    }`;
    await runJob(asService(db), { granularity: "day" });
    const rows = await db.sql`
      select granularity, sum(energy_wh)::text as energy, sum(efficiency_weight)::text as weight, count(*)::int as rows
      from public.device_metrics_summary where device_id = ${device!} group by 1 order by 1`;
    assert.deepEqual([...rows], [
      { granularity: "day", energy: "3.001000", weight: "214.36143000", rows: 3 },
      { granularity: "hour", energy: "3.001000", weight: "214.36143000", rows: 50 },
    ]);
  }));

Deno.test("efficiency is weighted by energy, and energy without efficiency does not count for it", () =>
  withDatabase(async (db) => {
    const [device] = await addDevices(db.sql, random(1), 1);
    const charge = (energy_wh: string | null, efficiency_percent: string | null) => ({
      device_id: device!,
      status: "completed",
      started_at: at(1.25),
      ended_at: at(1.5),
      energy_wh,
      efficiency_percent,
    });
    await db.sql`insert into public.charging_sessions ${
      db.sql([charge("30", "90"), charge("10", "50"), charge("100", null), charge(null, "10")])
    }`;
    await runJob(asService(db));
    const [row] = await db
      .sql`select energy_wh::float8 as energy, charging_efficiency_percent::float8 as efficiency
      from public.device_metrics_summary where device_id = ${device!}`;
    assert.deepEqual(row, { energy: 140, efficiency: 80 });
  }));

Deno.test("a fleet's active devices of a day are distinct devices, not the sum of its hours", () =>
  withDatabase(async (db) => {
    const devices = await addDevices(db.sql, random(1), 3);
    await db.sql`insert into public.device_activity_log ${
      db.sql([0, 1, 2, 5, 23].flatMap((hour) =>
        devices.slice(0, hour === 5 ? 1 : 2).map((device_id) => ({
          device_id,
          occurred_at: at(hour),
          activity_type: "heartbeat",
        }))
      ))
    }`;
    // A command that was issued is no sign of life.
    await db.sql`insert into public.engagement_commands ${
      db.sql({ device_id: devices[2]!, command_type: "notify", issued_at: at(3) })
    }`;
    await runJob(asService(db), { granularity: "day" });
    const rows = await db
      .sql`select active_devices, commands_issued::int from public.device_metrics_summary
      where granularity = 'day' and device_id is null`;
    assert.deepEqual([...rows], [{ active_devices: 2, commands_issued: 1 }]);
  }));

Deno.test("hours and days are those of UTC in any time zone of the session", () =>
  withDatabase(async (db) => {
    const roll = random(9);
    const india = asService(db, { TimeZone: "Asia/Kolkata" });
    await addRows(india, roll, await addDevices(db.sql, roll, 4), 40);
    await runJob(india, { granularity: "day" });
    await assertExact(db.sql);
    const [odd] = await db.sql`select count(*)::int as rows from public.device_metrics_summary
      where period_start <> date_trunc(granularity, period_start, 'UTC')`;
    assert.equal(odd!.rows, 0);
  }));

Deno.test("an open session counts until its last heartbeat, and for later hours after further heartbeats", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const [device] = await addDevices(db.sql, random(1), 1);
    const connected = async () => {
      const rows = await db
        .sql`select (extract(epoch from period_start)::bigint * 1000)::float8 as start,
          connected_seconds::float8 as seconds
        from public.device_metrics_summary where device_id = ${device!} order by 1`;
      return rows.map((row) => [(row.start - base) / hourMs, row.seconds]);
    };
    await db.sql`insert into public.device_connection_sessions ${
      db.sql({ device_id: device!, connected_at: at(0.5), last_heartbeat_at: at(1.25) })
    }`;
    await runJob(service);
    assert.deepEqual(await connected(), [[0, 1800], [1, 900]]);
    await db.sql`update public.device_connection_sessions set last_heartbeat_at = ${at(2)}`;
    await runJob(service);
    assert.deepEqual(await connected(), [[0, 1800], [1, 3600]]);
    await db.sql`update public.device_connection_sessions set last_heartbeat_at = ${at(3.5)}`;
    await runJob(service);
    assert.deepEqual(await connected(), [[0, 1800], [1, 3600], [2, 3600], [3, 1800]]);
    await db.sql`update public.device_connection_sessions set status = 'ended', disconnected_at = ${
      at(1.5)
    }`;
    await runJob(service);
    assert.deepEqual(await connected(), [[0, 1800], [1, 1800]]);
  }));
