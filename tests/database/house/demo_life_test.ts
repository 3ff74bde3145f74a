import assert from "node:assert/strict";
import { beatDemoLife } from "../../../cli/demo-life.ts";
import { loadSeed } from "../../../local/migrations.ts";
import { withDatabase } from "../../support/database.ts";
import { setSecret } from "../../support/scheduler.ts";
import { judge, readDefinitions } from "../../support/system-health.ts";

/** What the beat keeps alive. The others follow from what the jobs did. */
const ALIVE = [
  "devices",
  "charging",
  "pop",
  "commands",
  "agents",
  "tasks",
  "conversations",
  "api_keys",
];

/** As if all that the seed made had been made so much earlier. */
function age(interval: string): string {
  return `
    set session_replication_role = replica;
    do $$ declare v_update text; begin
      for v_update in
        select format('update public.%I set %s', table_name,
          string_agg(format('%1$I = %1$I - interval %2$L', column_name, '${interval}'), ', '))
        from information_schema.columns
        where table_schema = 'public' and data_type = 'timestamp with time zone' and table_name in (
          'devices', 'device_connection_sessions', 'charging_sessions', 'device_activity_log', 'pop_events_ledger',
          'engagement_commands', 'agents', 'tasks', 'conversations', 'api_key_health')
        group by table_name
      loop execute v_update; end loop;
    end $$;
    set session_replication_role = origin;`;
}

Deno.test("with the seed's rows no component is critical", () =>
  withDatabase(async ({ sql }) => {
    await setSecret(sql, "project_url", "https://project.example.test");
    await setSecret(sql, "cron_secret", "the-cron-secret-of-the-tests-0123456789");
    await loadSeed(sql);
    for (const { component } of await readDefinitions(sql)) {
      const { status, figures } = await judge(sql, component, "select 1");
      assert.notEqual(status, "critical", `${component}: ${JSON.stringify(figures)}`);
    }
    const { figures } = await judge(sql, "batches", "select 1");
    assert.ok(figures.not_begun_seconds!.value! < 60, "nothing is due from before it was there");
  }));

Deno.test("the demo world goes on: hours and days later nothing has fallen silent or become critical", () =>
  withDatabase(async ({ admin, sql }) => {
    await loadSeed(sql);
    for (const interval of ["0 seconds", "20 minutes", "1 hour", "5 hours", "26 hours", "9 days"]) {
      await admin.unsafe(age(interval));
      // The job that ends silent sessions came in between.
      await sql`
        update device_connection_sessions
        set status = 'timed_out', disconnected_at = now(), disconnect_reason = 'heartbeat_timeout'
        where disconnected_at is null and last_heartbeat_at < now() - interval '2 hours'`;
      await beatDemoLife(sql);
      for (const component of ALIVE) {
        const { figures } = await judge(sql, component, "select 1");
        for (const [name, { status, value }] of Object.entries(figures)) {
          // No job computes metrics here.
          if (name === "metrics_behind_seconds") continue;
          const what = `${component} ${name} is ${status} (${value}) after ${interval}`;
          assert.notEqual(status, "critical", what);
          if (name === "silent_percent") assert.equal(status, "healthy", what);
        }
      }
      const [devices] = await sql`
        select count(*) filter (where last_seen_at > now() - interval '1 minute')::integer as seen,
          (select count(*)::integer from device_activity_log
            where occurred_at > now() - interval '1 minute') as reports,
          (select count(*)::integer from charging_sessions
            where last_reading_at > now() - interval '1 minute' and ended_at is null) as charging
        from devices where status = 'online'`;
      assert.ok(devices!.seen >= 7 && devices!.reports >= 7 && devices!.charging === 1, interval);
    }
  }));

Deno.test("the demo world touches only rows that the seed made, and marks them as made up", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into devices (device_fingerprint, name, device_type, last_seen_at)
      values ('mine', 'Mine', 'phone', '2026-01-01 00:00Z')`;
    await sql`
      insert into agents (name, role, status, last_heartbeat_at)
      values ('mine', 'mine', 'idle', '2026-01-01 00:00Z')`;
    const mine = async () => [
      ...await sql`select * from devices where name = 'Mine'`,
      ...await sql`select * from agents where name = 'mine'`,
    ];
    const before = await mine();
    await beatDemoLife(sql);
    assert.equal((await sql`select from device_connection_sessions`).length, 0);
    await loadSeed(sql);
    await beatDemoLife(sql);
    assert.deepEqual(await mine(), before);
    for (const table of ["devices", "agents", "organizations"]) {
      const rows = await sql`select name from ${sql(table)} where lower(name) <> 'mine'`;
      assert.ok(rows.length > 0);
      for (const { name } of rows) assert.match(name, / \(demo\)$/, table);
    }
  }));
