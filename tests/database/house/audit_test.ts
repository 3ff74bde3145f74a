import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

Deno.test("each verb that asks for an author leaves a row in scheduler_audit", () =>
  withDatabase(async ({ sql }) => {
    const verbs = await sql<{ name: string; source: string }[]>`
      select p.oid::regprocedure::text as name, prosrc as source
      from pg_proc as p join pg_namespace as n on n.oid = pronamespace
      where 'p_author' = any (proargnames) and nspname not in ('pg_catalog', 'information_schema') order by 1`;
    assert.ok(verbs.length > 30, `${verbs.length}`);
    // A door, and a step of a verb, hand the author on; what they call is here as well.
    const handsOn = /\b(scheduler|actions|batches|code_monitor)\.(\w+)\([^;]*p_author/;
    const silent = verbs.filter(({ name, source }) =>
      !source.includes("scheduler.audit(") &&
      name !== "code_monitor.lock_pending_fix(bigint,text)" &&
      // The trigger of its update writes the row.
      !name.startsWith("set_organization_schedule(") &&
      !name.startsWith("scheduler.audit(") &&
      !handsOn.test(source.replaceAll(/(assert_given|log_activity)\([^;]*;/g, ";"))
    );
    assert.deepEqual(silent.map(({ name }) => name), []);
  }));

Deno.test("a verb writes who, when, what, on what, why, and what it was before and after", () =>
  withDatabase(async ({ sql }) => {
    await sql`select scheduler.pause('system-health', ' night ', ' Ada ', p_now => '2026-03-02 12:00Z')`;
    await sql`select scheduler.resume('system-health', 'Bob', '2026-03-02 13:00Z')`;
    const rows = await sql`
      select occurred_at, author, verb, subject_type, subject, reason, before, after from scheduler_audit
      where verb not like 'register%' order by id`;
    assert.deepEqual(rows.map((row) => ({ ...row })), [
      {
        occurred_at: new Date("2026-03-02T12:00:00Z"),
        author: "Ada",
        verb: "pause",
        subject_type: "job",
        subject: "system-health",
        reason: "night",
        before: null,
        after: { until: null },
      },
      {
        occurred_at: new Date("2026-03-02T13:00:00Z"),
        author: "Bob",
        verb: "resume",
        subject_type: "job",
        subject: "system-health",
        reason: null,
        before: { paused_at: "2026-03-02T12:00:00+00:00", until: null, by: "Ada", reason: "night" },
        after: null,
      },
    ]);
  }));
