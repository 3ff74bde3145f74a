import assert from "node:assert/strict";
import { type DemoDataOptions, makeDemoData } from "../../../cli/make-demo-data.ts";
import { withDatabase } from "../../support/database.ts";
import { assertExact, asService, runJob } from "../../support/device-metrics.ts";
import type { Sql } from "postgres";

const options: DemoDataOptions = {
  devices: 6,
  days: 2,
  seed: 5,
  until: new Date("2026-03-03T17:20:00Z"),
};
const tables = [
  "devices",
  "device_connection_sessions",
  "charging_sessions",
  "device_activity_log",
  "pop_events_ledger",
  "engagement_commands",
];

/** A digest of every column of every row, by table. */
async function digests(sql: Sql): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const table of tables) {
    const [row] =
      await sql`select count(*) || ' rows ' || md5(string_agg(t::text, '|' order by t::text)) as digest
      from public.${sql(table)} t`;
    found[table] = row!.digest;
  }
  return found;
}

/** The digests of a new database after these calls. */
async function make(...calls: Partial<DemoDataOptions>[]): Promise<Record<string, string>> {
  let found = {};
  await withDatabase(async ({ sql }) => {
    for (const call of calls) await makeDemoData(sql, { ...options, ...call });
    found = await digests(sql);
  });
  return found;
}

Deno.test("demo data: the same arguments give the same rows, another seed others", async () => {
  const once = await make({});
  assert.deepEqual(await make({}), once);
  const other = await make({ seed: 6 });
  for (const table of tables) assert.notEqual(other[table], once[table]);
});

Deno.test("demo data: a second call adds nothing, and a later one continues the first", async () => {
  assert.deepEqual(await make({}, {}), await make({}));
  const tomorrow = { days: 3, until: new Date("2026-03-04T17:20:00Z") };
  assert.deepEqual(await make({}, tomorrow), await make(tomorrow));
});

Deno.test("demo data: days look alive, and the metrics of them are exact", () =>
  withDatabase(async (db) => {
    await makeDemoData(db.sql, { ...options, devices: 8, days: 3 });
    const [rows] = await db.sql`select
      (select count(*)::int from public.device_activity_log) as activity,
      (select count(*)::int from public.device_connection_sessions where disconnected_at is null) as open,
      (select count(*)::int from public.charging_sessions where energy_wh is null) as unmeasured,
      (select count(distinct extract(hour from occurred_at))::int from public.device_activity_log) as hours,
      (select count(distinct status)::int from public.engagement_commands) as statuses`;
    assert.ok(rows!.activity > 10_000 && rows!.open > 0 && rows!.hours === 24);
    assert.ok(rows!.statuses >= 3, `${rows!.statuses} statuses`);
    await runJob(asService(db), { granularity: "day" });
    await assertExact(db.sql);
  }));
