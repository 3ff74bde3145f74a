import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { assertExact, asService, fallBehind, runJob } from "../../support/device-metrics.ts";
import { refusal } from "../../support/refusal.ts";

const DEVICE = "11111111-1111-4111-8111-111111111111";
const OTHER = "22222222-2222-4222-8222-222222222222";

async function withDevices(fn: (db: TestDatabase) => Promise<void>): Promise<void> {
  await withDatabase(async (db) => {
    await db
      .sql`insert into devices (id, device_fingerprint) values (${DEVICE}, 'one'), (${OTHER}, 'other')`;
    await fn(db);
  });
}

/** A row with times relative to now ("-2 hours") or as they are; the same times as it has them, in hours from now. */
async function written(sql: Sql, table: string, values: Record<string, string>): Promise<Row> {
  const columns = Object.keys(values);
  const times = columns.filter((name) => name.endsWith("_at"));
  const [row] = await sql.unsafe(
    `insert into ${table} (device_id, ${columns.join(", ")})
    values ('${DEVICE}', ${
      columns.map((name) => {
        const value = values[name]!;
        return /^[+-]\d+ \w+$/.test(value) ? `now() + interval '${value}'` : `'${value}'`;
      }).join(", ")
    }) returning ${
      times.map((name) => `round(extract(epoch from ${name} - now()) / 3600)::int as ${name}`)
        .join(", ")
    }`,
  );
  return { ...row! };
}

const CONNECTION = "device_connection_sessions";
const CHARGING = "charging_sessions";

const cases: [string, string, Record<string, string>, Record<string, number>][] = [
  ["a disconnection that lies in the future is one of now", CONNECTION, {
    status: "ended",
    connected_at: "-2 hours",
    disconnected_at: "+5 hours",
  }, { connected_at: -2, disconnected_at: 0 }],
  ["so is a heartbeat", CONNECTION, {
    connected_at: "-2 hours",
    last_heartbeat_at: "2999-01-01",
  }, { connected_at: -2, last_heartbeat_at: 0 }],
  ["a heartbeat of 1970 is as old as the connection", CONNECTION, {
    connected_at: "-2 hours",
    last_heartbeat_at: "1970-01-01",
  }, { connected_at: -2, last_heartbeat_at: -2 }],
  ["a connection that begins in the future begins now", CONNECTION, {
    connected_at: "+1 day",
  }, { connected_at: 0 }],
  ["one of 1970, by a clock that was not set, has just begun", CONNECTION, {
    connected_at: "1970-01-01",
  }, { connected_at: 0 }],
  ["and one that was heard of since then began when it was heard of", CONNECTION, {
    connected_at: "1970-01-01",
    last_heartbeat_at: "-3 hours",
  }, { connected_at: -3, last_heartbeat_at: -3 }],
  ["a charge that ends before it starts has no length", CHARGING, {
    status: "completed",
    started_at: "-2 hours",
    ended_at: "-9 hours",
  }, { started_at: -2, ended_at: -2 }],
  ["a reading that lies in the future is one of now", CHARGING, {
    started_at: "-2 hours",
    last_reading_at: "+30 days",
  }, { started_at: -2, last_reading_at: 0 }],
  ["a charge of 290,000 years has no length", CHARGING, {
    status: "completed",
    started_at: "4713-01-01 BC",
    ended_at: "290000-01-01",
  }, { started_at: 0, ended_at: 0 }],
  ["a charge lasts a year at most", CHARGING, {
    status: "completed",
    started_at: "-800 days",
    ended_at: "-2 hours",
  }, { started_at: -800 * 24, ended_at: (366 - 800) * 24 }],
  ["what is reported has happened", "device_activity_log", {
    activity_type: "x",
    occurred_at: "290000-01-01",
  }, { occurred_at: 0 }],
  ["so has what points are for", "pop_events_ledger", {
    event_type: "sustained_connection",
    occurred_at: "+2 days",
    validated_at: "-1 hour",
  }, { occurred_at: 0, validated_at: 0 }],
  ["a command was issued when it is written, or before", "engagement_commands", {
    command_type: "x",
    issued_at: "+2 days",
    expires_at: "+3 days",
  }, { issued_at: 0, expires_at: 72 }],
  ["times that can be stay as they are", CHARGING, {
    status: "completed",
    started_at: "-200 days",
    last_reading_at: "-8 days",
    ended_at: "-7 days",
  }, { started_at: -4800, last_reading_at: -192, ended_at: -168 }],
];

for (const [name, table, values, expected] of cases) {
  Deno.test(`reported times: ${name}`, () =>
    withDevices(async ({ sql }) => {
      assert.deepEqual(await written(sql, table, values), expected);
    }));
}

Deno.test("reported times are corrected at an update, too", () =>
  withDevices(async ({ sql }) => {
    await written(sql, CONNECTION, { connected_at: "-2 hours", last_heartbeat_at: "-1 hour" });
    for (const [reported, hours] of [["1970-01-01", 2], ["2999-01-01", 0]] as const) {
      const [row] = await sql`
        update device_connection_sessions set last_heartbeat_at = ${reported}
        returning round(extract(epoch from now() - last_heartbeat_at) / 3600)::int as hours`;
      assert.equal(row!.hours, hours);
    }
    await sql`update devices set last_seen_at = '2999-01-01' where id = ${DEVICE}`;
    const [device] =
      await sql`select last_seen_at <= now() as past from devices where id = ${DEVICE}`;
    assert.equal(device!.past, true);
  }));

Deno.test("an infinite time is refused by its column, not corrected", () =>
  withDevices(async ({ sql }) => {
    for (const time of ["infinity", "-infinity"]) {
      const values = { connected_at: "-2 hours", last_heartbeat_at: time };
      assert.match(
        (await refusal(written(sql, CONNECTION, values))).message,
        /device_connection_sessions_last_heartbeat_at_check/,
      );
    }
  }));

Deno.test("a device that has just connected is alive, also with a wrong clock", () =>
  withDevices(async ({ sql }) => {
    for (const connected of ["now", "2999-01-01", "1970-01-01", "4713-01-01 BC"]) {
      for (const beat of [null, "now", "1970-01-01", "2999-01-01"]) {
        await sql`delete from device_connection_sessions`;
        await sql`insert into device_connection_sessions (device_id, connected_at, last_heartbeat_at)
          values (${DEVICE}, ${connected}::text::timestamptz, ${beat}::text::timestamptz)`;
        const [swept] = await sql`select monitor_device_connections_sweep() as value`;
        assert.equal(swept!.value.sessions_ended, 0, `${connected}, ${beat}`);
        const [health] = await sql`select scheduler.read_health('devices') as value`;
        assert.equal(health!.value.details.silent_sessions, 0);
        // And when it falls silent, it ends when it was last heard of, which is now.
        const [later] = await sql`
          select devices.sweep_connections(p_now => now() + interval '10 minutes') as value`;
        assert.equal(later!.value.sessions_ended, 1, `${connected}, ${beat}`);
        const [ended] = await sql`
          select disconnected_at between now() - interval '1 minute' and now() and disconnected_at >= connected_at as right
          from device_connection_sessions`;
        assert.equal(ended!.right, true, `${connected}, ${beat}`);
      }
    }
  }));

Deno.test("an agent that beats in the year 2999 is alive until a little after now", () =>
  withDatabase(async ({ sql }) => {
    await sql`insert into agents (name, last_heartbeat_at, status_changed_at) values ('a', '2999-01-01', '2999-01-01')`;
    await sql`insert into tasks (title, status, started_at, updated_at) values ('t', 'in_progress', '2999-01-01', '2999-01-01')`;
    await sql`insert into api_key_health (provider, checked_at) values ('openai', '2999-01-01')`;
    const [row] = await sql`
      select (select greatest(last_heartbeat_at, status_changed_at) from agents) <= now() as agent,
        (select greatest(started_at, updated_at) from tasks) <= now() as task,
        (select checked_at from api_key_health) <= now() as key`;
    assert.deepEqual({ ...row }, { agent: true, task: true, key: true });
  }));

Deno.test("odd sessions do not change the figures of others, and the run names them", () =>
  withDevices(async (db) => {
    const { sql } = db;
    await fallBehind(db, 5);
    const good = await sql`
      insert into charging_sessions (device_id, status, started_at, ended_at, energy_wh)
      values (${OTHER}, 'completed', now() - interval '4 hours', now() - interval '2 hours', 20) returning id`;
    assert.equal(good.length, 1);
    for (
      const [start, end] of [["4713-01-01 BC", "290000-01-01"], ["290000-01-01", "1970-01-01"]]
    ) {
      const values = { status: "completed", started_at: start!, ended_at: end!, energy_wh: "5" };
      await written(sql, CHARGING, values);
      const connection = { status: "ended", connected_at: start!, disconnected_at: end! };
      await written(sql, CONNECTION, connection);
    }
    await written(sql, "device_activity_log", { activity_type: "x", occurred_at: "290000-01-01" });
    const result = await runJob(asService(db), { granularity: "day" });
    assert.equal(result.hoursLeft, 0);
    // Each start and end, and the row of the log.
    assert.equal(result.oddTimes, 9);
    assert.match(result.summary, /9 odd times set right/);
    await assertExact(sql);
    const [figures] = await sql`
      select sum(energy_wh)::float8 as energy from device_metrics_summary where device_id = ${OTHER} and granularity = 'hour'`;
    assert.equal(figures!.energy, 20);
    const [line] = await sql`select message, severity, details from scheduler_activity`;
    assert.match(line!.message, /2 charging_sessions\.ended_at/);
    assert.equal(line!.severity, "warning");
    assert.equal(line!.details.rows.length, 9);
    assert.deepEqual(Object.keys(line!.details.rows[0]).sort(), [
      "column",
      "id",
      "reported",
      "table",
    ]);
    assert.equal((await runJob(asService(db))).oddTimes, 0, "each is named once");
    assert.equal((await sql`select from scheduler_activity`).length, 1);
  }));

Deno.test("times of a clock that is a little fast are corrected without a message", () =>
  withDevices(async (db) => {
    await written(db.sql, CHARGING, { started_at: "-2 hours", last_reading_at: "+5 minutes" });
    assert.equal((await runJob(asService(db))).oddTimes, 0);
  }));
