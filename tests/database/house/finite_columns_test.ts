import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";

/** Tables that no outside role may write and that take neither a number nor a time from outside. */
const EXCEPTIONS: Record<string, string> = {
  "public.device_metrics_summary": "computed from checked rows alone, a hundred thousand at a time",
  "public.scheduler_budgets": "written by takes and reports, which check what they are given",
  "public.scheduler_jobs": "written by register_job and the verbs, which check what they are given",
  "public.scheduler_locks": "written by dispatch, by the database's clock",
  "public.scheduler_runs":
    "written by dispatch, the receipts and the pulse, by the database's clock",
  "public.scheduler_state": "written by try_mark_daily_run, by the database's clock",
  "scheduler.pulse_state": "written by the pulse, by the database's clock",
  "scheduler.request_epoch": "its first value is -infinity, before any request",
  "scheduler.run_counters": "counted from the ledger's rows",
};

/** Columns in which an infinity has a meaning. */
const MEANT: Record<string, string> = {
  "public.api_key_health.expires_at takes infinity": "a key that never expires",
  "public.tasks.due_at takes infinity": "a task that is never overdue",
};

/** Each column that can hold NaN or an infinity, with the values among these that its type takes. */
const COLUMNS = `
  select format('%I.%I', nspname, relname) as table_name, attname as column_name, format_type(atttypid, atttypmod) as type,
    case when typcategory = 'A' then 'array' else 'one' end as kind,
    case typelem when 0 then atttypid::regtype else typelem::regtype end::text as of_type,
    has_any_column_privilege('service_role', pg_class.oid, 'insert, update')
      or has_any_column_privilege('anon', pg_class.oid, 'insert, update')
      or has_any_column_privilege('authenticated', pg_class.oid, 'insert, update') as outside,
    array(
      select pg_get_expr(conbin, conrelid) from pg_constraint
      where conrelid = pg_class.oid and contype = 'c' and conkey = array[attnum]) as checks
  from pg_class
  join pg_namespace on pg_namespace.oid = relnamespace
  join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped and attgenerated = ''
  join pg_type on pg_type.oid = atttypid
  where nspname not like 'pg\\_%' and nspname not in ('information_schema', 'cron', 'net', 'vault', 'supabase_migrations') and relkind in ('r', 'p')
    and case typelem when 0 then atttypid else typelem end::regtype::text in (
      'numeric', 'real', 'double precision', 'timestamp with time zone', 'timestamp without time zone', 'date')
  order by 1, 2`;

Deno.test("no column that is written from outside takes NaN or an infinity", async () => {
  await withDatabase(async ({ sql }) => {
    const columns = await sql.unsafe(COLUMNS);
    assert.ok(columns.length > 100, `${columns.length} columns`);
    const open: string[] = [];
    for (const column of columns) {
      const { table_name, column_name, type, kind, of_type, outside, checks } = column;
      if (EXCEPTIONS[table_name]) {
        assert.ok(!outside, `${table_name} is an exception, and may be written from outside`);
        continue;
      }
      const odd = /time|date/.test(of_type)
        ? ["infinity", "-infinity"]
        : ["NaN", "Infinity", "-Infinity"];
      const values = kind === "array" ? [...odd.map((value) => `{${value}}`), "{null}"] : odd;
      for (const value of values) {
        let refused: boolean;
        try {
          const [row] = await sql.unsafe(
            `select ${
              checks.map((check: string) => `(${check}) is not false`).join(" and ") || "true"
            } as passes
            from (select $1::text::${type} as ${column_name}) as row`,
            [value],
          );
          refused = !row!.passes;
        } catch (error) {
          // Its type itself has no such value: numeric(5, 2) holds no infinity.
          assert.equal((error as { code?: string }).code, "22003", `${table_name}.${column_name}`);
          refused = true;
        }
        if (!refused) open.push(`${table_name}.${column_name} takes ${value}`);
      }
    }
    assert.deepEqual(open.sort(), Object.keys(MEANT));
    const tables = new Set(columns.map((column) => column.table_name));
    assert.deepEqual(Object.keys(EXCEPTIONS).filter((name) => !tables.has(name)), []);
  });
});

Deno.test("the column is named when a row with NaN is refused", async () => {
  await withDatabase(async ({ sql }) => {
    await sql`insert into devices (device_fingerprint) values ('one')`;
    for (
      const [statement, name] of [
        [
          "insert into charging_sessions (device_id, energy_wh) select id, 'NaN' from devices",
          /charging_sessions_energy_wh_check/,
        ],
        [
          "insert into pop_events_ledger (device_id, event_type, points) select id, 'sustained_connection', 'NaN' from devices",
          /pop_events_ledger_points_check/,
        ],
        [
          "insert into batch_providers (name, model, api_url_variable, api_key_variable, prompt_usd_per_million) values ('one', 'm', 'U', 'K_KEY', 'NaN')",
          /batch_providers_prompt_usd_per_million_check/,
        ],
      ] as const
    ) {
      const error = await refusal(sql.unsafe(statement));
      assert.equal(error.code, "23514");
      assert.match(error.message, name);
    }
  });
});

Deno.test("a figure that arrives as JSON and is no number is refused by its name", () =>
  withDatabase(async ({ sql }) => {
    await sql`insert into ecosystem_repositories (full_name) values ('a/b')`;
    for (const number of ["NaN", "Infinity", -1, 1.5, 1e30]) {
      const check = { provider: "openai", status: "valid", rate_limit: number };
      const reading = { outcome: "read", figures: { stars_total: number }, truncated: [] };
      const report = { overall_score: number, scores: {}, figures: {}, headline: "h", report: "r" };
      for (
        const [call, field] of [
          [
            sql`select api_keys.record_checks(${sql.json([check])}, now())`,
            "openai.rate_limit",
          ],
          [
            sql`select ecosystem_record_activity(id, current_date, ${
              sql.json(reading)
            }) from ecosystem_repositories`,
            "figures.stars_total",
          ],
          [
            sql`select ecosystem_record_report(current_date, ${sql.json(report)})`,
            "report.overall_score",
          ],
        ] as const
      ) {
        const { code, message } = await refusal(call);
        assert.equal(code, "22023");
        assert.ok(
          message.startsWith(`cannot record: ${field} must be a whole number from 0 on, or null`),
          message,
        );
      }
    }
  }));
