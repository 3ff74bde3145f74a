// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { applyPacks, readPacks } from "../../../local/packs.ts";

const packs = await readPacks();
const OURS = `('public', ${packs.map(({ schema }) => `'${schema}'`).join(", ")})`;

/** What service_role may do in the ledger; of the tables and functions of jobs it is theirs to say. */
const GRANTED_TABLES: Record<string, string[]> = {
  "public.scheduler_activity": ["SELECT"],
  "public.scheduler_alert_channels": ["SELECT"],
  "public.scheduler_alert_deliveries": ["SELECT"],
  "public.scheduler_alert_rules": ["SELECT"],
  "public.scheduler_alerts": ["SELECT"],
  "public.scheduler_audit": ["SELECT"],
  "public.scheduler_breakers": ["SELECT"],
  "public.scheduler_budgets": ["SELECT"],
  "public.scheduler_calendar_spans": ["SELECT"],
  "public.scheduler_calendars": ["SELECT"],
  "public.scheduler_groups": ["SELECT"],
  "public.scheduler_health_history": ["SELECT"],
  "public.scheduler_incidents": ["SELECT"],
  "public.scheduler_jobs": ["SELECT"],
  "public.scheduler_locks": ["SELECT"],
  "public.scheduler_operators": ["SELECT"],
  "public.scheduler_plans": ["SELECT"],
  "public.scheduler_runs": ["SELECT"],
  "public.scheduler_settings": ["SELECT"],
  "public.scheduler_state": ["SELECT"],
};
const DOORS = [
  "scheduler_api_act",
  "scheduler_api_as_user",
  "scheduler_api_audit_log",
  "scheduler_api_channels",
  "scheduler_api_explain",
  "scheduler_api_failures",
  "scheduler_api_forecast",
  "scheduler_api_health",
  "scheduler_api_health_of",
  "scheduler_api_history",
  "scheduler_api_logs",
  "scheduler_api_metrics",
  "scheduler_api_next",
  "scheduler_api_operator",
  "scheduler_api_run",
  "scheduler_api_status",
  "scheduler_api_tick",
  "scheduler_api_timeline",
  "scheduler_api_verify",
  "scheduler_begin_due_run",
  "scheduler_begin_manual_run",
  "scheduler_begin_pruning",
  "scheduler_begin_run",
  "scheduler_finish_run",
  "scheduler_health_components",
  "scheduler_heartbeat_run",
  "scheduler_log_activity",
  "scheduler_prune_old_rows",
  "scheduler_read_health",
  "scheduler_record_health",
  "scheduler_report_budget",
  "scheduler_reserve_tokens",
  "scheduler_take_tokens",
];

const relations = (db: TestDatabase) =>
  db.admin.unsafe(`
    select format('%I.%I', nspname, relname) as name, relkind, relrowsecurity as rls,
      obj_description(pg_class.oid, 'pg_class') as comment,
      exists (select from pg_policy where polrelid = pg_class.oid) as policy
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname in ${OURS} and relkind in ('r', 'p', 'v', 'm', 'f') order by 1`);

/** Every function but triggers', with a call of it that gives null for each argument. */
const functions = (db: TestDatabase) =>
  db.admin.unsafe(`
    select nspname as schema, proname as name, pg_proc.oid::regprocedure::text as signature,
      prosecdef as definer, proconfig as config, prorettype = 'trigger'::regtype as is_trigger,
      obj_description(pg_proc.oid, 'pg_proc') as comment,
      format('select %I.%I(%s)', nspname, proname, (
        select string_agg('null::' || format_type(type, null), ', ' order by place)
        from unnest(proargtypes) with ordinality as types (type, place))) as call
    from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
    where nspname in ${OURS} and prokind = 'f'
      and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e') order by 3`);

for (const defaults of ["open", "closed"]) {
  Deno.test(`anon and authenticated can read no table and call no function, where defaults are ${defaults}`, async () => {
    await migratedWith(defaults, async (db) => {
      const tables = await relations(db);
      const calls = (await functions(db)).filter((fn) => !fn.is_trigger);
      assert.ok(tables.length > 10 && calls.length > 40);
      for (const role of ["anon", "authenticated"] as const) {
        const connection = db.connect(role);
        assert.equal((await connection`select current_user as name`)[0]!.name, role);
        for (const { name } of tables) {
          for (
            const statement of [
              `select 1 from ${name}`,
              `delete from ${name}`,
              `insert into ${name} default values`,
            ]
          ) {
            const error = await refusal(connection.unsafe(statement));
            assert.equal(error.code, "42501", `${role}: ${statement}: ${error.message}`);
          }
        }
        for (const { call } of calls) {
          const error = await refusal(connection.unsafe(call));
          assert.equal(error.code, "42501", `${role}: ${call}: ${error.message}`);
          assert.match(error.message, /^permission denied for (function|schema)/, call);
        }
      }
    });
  });

  Deno.test(`anon and authenticated have no right in the catalogue, where defaults are ${defaults}`, async () => {
    const rights = await Deno.readTextFile(new URL("api_role_grants.sql", import.meta.url));
    await migratedWith(defaults, async (db) => {
      const [sequences] = await db.admin`
        select count(*)::int as count from pg_class
        where relkind = 'S' and relnamespace = 'public'::regnamespace`;
      assert.ok(sequences!.count >= 3);
      const granted = await db.admin.unsafe(rights);
      assert.deepEqual(granted.map((row) => row.granted), []);
      // An identity column is filled without a right on its sequence.
      const added = await db.connect("service_role")`
        with device as (insert into devices (device_fingerprint) values ('new') returning id)
        insert into device_activity_log (device_id, activity_type) select id, 'heartbeat' from device`;
      assert.equal(added.count, 1);
    });
  });

  Deno.test(`service_role has exactly what the ledger grants, where defaults are ${defaults}`, async () => {
    await migratedWith(defaults, async (db) => {
      const [scheduler] = await db
        .admin`select has_schema_privilege('service_role', 'scheduler', 'usage') as may`;
      assert.equal(scheduler!.may, false);
      const rows = await db.admin.unsafe(`
        select name, array_agg(privilege order by privilege) as privileges
        from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as privilege,
          (select format('%I.%I', nspname, relname) as name from pg_class
            join pg_namespace on pg_namespace.oid = relnamespace
            where relkind = 'r' and (nspname = 'scheduler' or nspname = 'public'
              and (relname like 'scheduler%' or relname = 'scheduler_settings'))) as tables
        where has_table_privilege('service_role', name, privilege) group by name`);
      assert.deepEqual(
        Object.fromEntries(rows.map((row) => [row.name, row.privileges])),
        GRANTED_TABLES,
      );
      const callable = await db.admin.unsafe(`
        select proname as name from pg_proc
        where has_function_privilege('service_role', oid, 'execute')
          and (pronamespace = 'scheduler'::regnamespace or proname like 'scheduler%') order by 1`);
      assert.deepEqual(callable.map((fn) => fn.name), DOORS);

      const service = db.connect("service_role");
      for (
        const statement of [
          "delete from scheduler_runs",
          "update scheduler_jobs set enabled = false",
          "insert into scheduler_locks select * from scheduler_locks",
          "update scheduler_settings set value = '1'",
          "select scheduler.dispatch('x')",
          "select * from scheduler.pulse_state",
        ]
      ) assert.equal((await refusal(service.unsafe(statement))).code, "42501", statement);
      // Vault is the platform's, which lets it in.
      await service`select decrypted_secret from vault.decrypted_secrets`;
      const [answer] = await service`select scheduler_begin_run(gen_random_uuid(), 'job') as value`;
      assert.deepEqual(answer!.value, { begun: false, reason: "unknown run" });
    });
  });
}

Deno.test("every table has row level security, no policy and a comment", async () => {
  await withDatabase(async (db) => {
    for (const { name, relkind, rls, policy, comment } of await relations(db)) {
      if (relkind === "r") assert.ok(rls, `${name} has no row level security`);
      assert.ok(!policy, `${name} has a policy`);
      assert.ok(comment, `${name} has no comment`);
    }
  });
});

Deno.test("every function has an empty search_path and a comment; few are security definer", async () => {
  await withDatabase(async (db) => {
    const all = await functions(db);
    for (const { signature, config, comment } of all) {
      assert.ok(config?.includes('search_path=""'), `${signature} has no empty search_path`);
      assert.ok(comment, `${signature} has no comment`);
    }
    const definers = all.filter((fn) =>
      fn.definer && (fn.schema === "scheduler" || /^scheduler|^try_mark/.test(fn.name))
    );
    assert.deepEqual(
      definers.map((fn) => fn.name).sort(),
      [...DOORS, "set_times_right", "try_mark_daily_run"].sort(),
    );
  });
});

/** A migrated database: the template's, whose default rights are open, or one with a new project's. */
async function migratedWith(defaults: string, fn: (db: TestDatabase) => Promise<void>) {
  if (defaults === "open") return await withDatabase(fn);
  await withDatabase(async (db) => {
    await db.admin.unsafe(
      await Deno.readTextFile(new URL("../../../local/sql/closed_defaults.sql", import.meta.url)),
    );
    await applyPacks(db.sql, packs);
    await fn(db);
  }, { packs: "none" });
}
