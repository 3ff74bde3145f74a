import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

/** Nobody updates their rows but functions, each of which sets updated_at. */
const setByFunctions = new Set([
  "api_key_health",
  "ecosystem_reports",
  "repository_activity",
  "scheduler_alert_channels",
  "scheduler_groups",
  "scheduler_jobs",
  "scheduler_operators",
  "scheduler_state",
]);

Deno.test("an update sets updated_at of any table that people and agents write", () =>
  withDatabase(async ({ sql }) => {
    const tables = await sql<{ name: string; triggers: string[] }[]>`
      select relname as name, coalesce(array_agg(tgfoid::regproc::text) filter (where tgtype & 16 > 0), '{}') as triggers
      from pg_attribute join pg_class on pg_class.oid = attrelid left join pg_trigger on tgrelid = attrelid
      where attname = 'updated_at' and relkind = 'r' and relnamespace = 'public'::regnamespace
      group by 1 order by 1`;
    const ownTriggers = ["batches.check_organization", "scheduler.check_setting"];
    const without = tables.filter(({ name, triggers }) =>
      !setByFunctions.has(name) && !triggers.includes("scheduler.set_updated_at") &&
      !ownTriggers.some((own) => triggers.includes(own))
    );
    assert.deepEqual(without.map(({ name, triggers }) => [name, ...triggers]), []);
  }));

Deno.test("an update sets updated_at and an agent's status_changed_at, unless it says another time", () =>
  withDatabase(async ({ sql }) => {
    const then = new Date("2026-01-01T00:00:00Z");
    await sql`insert into agents (name, updated_at, status_changed_at) values ('Ada', ${then}, ${then})`;
    const changed = async (set: string) => {
      await sql.unsafe(`update agents set ${set}`);
      const [row] = await sql`select updated_at > now() - interval '1 hour' as updated,
        status_changed_at > now() - interval '1 hour' as status from agents`;
      await sql`update agents set status = 'idle', updated_at = ${then}, status_changed_at = ${then}`;
      return { ...row };
    };
    assert.deepEqual(await changed("role = 'clerk'"), { updated: true, status: false });
    assert.deepEqual(await changed("status = 'busy'"), { updated: true, status: true });
    assert.deepEqual(await changed("status = 'busy', status_changed_at = '2026-02-01Z'"), {
      updated: true,
      status: false,
    });
    assert.deepEqual(await changed("updated_at = '2026-02-01Z'"), {
      updated: false,
      status: false,
    });
  }));
