import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import { readFiles } from "../../../install/files.ts";
import { withDatabase } from "../../support/database.ts";
import { oldRows, oldRowsDevice } from "../../support/old-rows.ts";
import { refusal } from "../../support/refusal.ts";

const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);

const count = async (sql: Sql, table: string) =>
  Number((await sql.unsafe(`select count(*) from ${table}`))[0]!.count);

const prune = async (sql: Sql, rule: string, limit = 2000) =>
  (await sql`select scheduler_prune_old_rows(${rule}, ${limit}) as deleted`)[0]!.deleted;

/** Figures up to yesterday are final, as if the metrics had caught up. */
const freeze = (sql: Sql) =>
  sql`update devices.metrics_state set frozen_before = date_trunc('day', now(), 'UTC') - interval '1 day'`;

/** What the metrics jobs do. */
async function aggregate(sql: Sql): Promise<void> {
  for (const step of ["begin()", "hours(100)", "days(100)"]) {
    await sql.unsafe(`select aggregate_device_metrics_${step}`);
  }
}

const rules = (sql: Sql) =>
  sql`
    select rule, pack, scheduler.retention_days(rule) as keep_days, old_rows
    from scheduler.retention_rules where old_rows is not null`;

/** Whether the tests of the rule's pack prune by it, as those that new-job writes do. */
async function isTestedByItsPack({ rule, pack }: { rule: string; pack: string }): Promise<boolean> {
  const tests = await readFiles(fileURLToPath(new URL(`../${pack}`, import.meta.url)));
  return [...tests.values()].some((text) => text.includes(`prune_old_rows('${rule}')`));
}

Deno.test("every rule deletes rows that are older than its days and over, and nothing else", async () => {
  await withDatabase(async ({ sql }) => {
    await sql.unsafe(oldRowsDevice);
    await freeze(sql);
    const all = await rules(sql);
    const tables = all.filter(({ rule }) => rule in oldRows);
    assert.equal(tables.length, Object.keys(oldRows).length);
    for (const { rule, pack } of all) {
      assert.ok(rule in oldRows || await isTestedByItsPack({ rule, pack }), rule);
    }
    for (const { rule, keep_days: days } of tables) {
      const { table, over, open } = oldRows[rule]!;
      for (const age of [days - 1, days + 1, days + 400]) await sql.unsafe(over, [daysAgo(age)]);
      if (open) await sql.unsafe(open, [daysAgo(days + 400)]);
      const before = await count(sql, table);
      assert.equal(await prune(sql, rule), 2, rule);
      assert.equal(await count(sql, table), before - 2, rule);
      assert.equal(await prune(sql, rule), 0, rule);
    }
  });
});

Deno.test("a step deletes no more rows than it was told to", async () => {
  await withDatabase(async ({ sql }) => {
    const { over } = oldRows.scheduler_activity!;
    for (let i = 0; i < 5; i++) await sql.unsafe(over, [daysAgo(200 + i)]);
    assert.equal(await prune(sql, "scheduler_activity", 3), 3);
    assert.equal(await prune(sql, "scheduler_activity", 3), 2);
  });
});

Deno.test("an action goes after its occurrences, so that no step deletes more than it was told to", async () => {
  await withDatabase(async ({ sql }) => {
    await sql`
      insert into scheduled_actions (kind, message, due_at, next_attempt_at, status, finished_at)
      values ('reminder', 'm', ${daysAgo(200)}, ${daysAgo(200)}, 'cancelled', ${daysAgo(200)})`;
    await sql`
      insert into scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts, finished_at)
      select gen_random_uuid(), id, ${daysAgo(200)}, 'completed', 1, ${daysAgo(200)}
      from scheduled_actions, generate_series(1, 5)`;
    assert.equal(await prune(sql, "scheduled_actions", 3), 0);
    assert.equal(await prune(sql, "scheduled_action_occurrences", 3), 3);
    assert.equal(await prune(sql, "scheduled_action_occurrences", 3), 2);
    assert.equal(await prune(sql, "scheduled_actions", 3), 1);
  });
});

Deno.test("every rule finds its old rows by an index", async () => {
  await withDatabase(async ({ sql }) => {
    for (const { rule, old_rows } of await rules(sql)) {
      const plan = await sql.begin(async (transaction) => {
        await transaction`set local enable_seqscan = off`;
        return await transaction.unsafe(
          `explain select ctid from public.${rule} where ${
            old_rows.replaceAll("$1", "(now() - interval '90 days')")
          } limit 10`,
        );
      });
      const text = plan.map((row) => row["QUERY PLAN"]).join("\n");
      assert.match(text, /Index Cond/, `${rule}: ${text}`);
    }
  });
});

Deno.test("raw device rows stay until the figures that are made of them are final", async () => {
  await withDatabase(async ({ sql }) => {
    await sql.unsafe(oldRowsDevice);
    await sql.unsafe(oldRows.device_activity_log!.over, [daysAgo(100)]);
    // The trigger has left a note: an hour that is still to be computed.
    const begun = (await sql`select scheduler_begin_pruning() as plan`)[0]!.plan;
    assert.match(
      begun.held[0],
      /device rows stay for now: .*every period before .* must be computed/,
    );
    assert.equal(await prune(sql, "device_activity_log"), 0);
    assert.equal(await count(sql, "device_activity_log"), 1);

    await aggregate(sql);
    const metrics = async () => [
      ...await sql`select *, xmin::text from device_metrics_summary order by granularity, period_start, device_key`,
    ];
    const computed = await metrics();
    assert.ok(computed.some((row) => row.activity_events === "1"));
    assert.deepEqual((await sql`select scheduler_begin_pruning() as plan`)[0]!.plan.held, []);
    assert.equal(await prune(sql, "device_activity_log"), 1);

    await aggregate(sql);
    assert.deepEqual(await metrics(), computed, "the figures outlive their rows");
  });
});

Deno.test("no figure is made final while all device rows are kept for ever", async () => {
  await withDatabase(async ({ sql }) => {
    await sql`
      update scheduler_settings set value = 'null'
      where key in (
        select 'retention.' || rule || '_days' from scheduler.retention_rules where hold_function is not null)`;
    const frozen = async () =>
      (await sql`select frozen_before from devices.metrics_state`)[0]!.frozen_before;
    const before = await frozen();
    await sql`select scheduler_begin_pruning()`;
    assert.deepEqual(await frozen(), before);
  });
});

Deno.test("the metrics of single devices go period by period; the fleet's and younger ones stay", async () => {
  await withDatabase(async ({ sql }) => {
    await freeze(sql);
    await sql`
      insert into device_metrics_summary (granularity, period_start, device_id)
      select granularity, date_trunc('day', now() - days * interval '1 day', 'UTC'), device
      from unnest(array['hour', 'day']) as granularity, unnest(array[80, 100, 101, 740]) as days,
        unnest(array[null, ${crypto.randomUUID()}, ${crypto.randomUUID()}]::uuid[]) as device`;
    await sql`
      insert into devices.metrics_periods (granularity, period_start, pending)
      select distinct granularity, period_start, false from device_metrics_summary`;
    // Two rows and their period at a time: three periods of hours are old, one of days.
    assert.equal(await prune(sql, "device_metrics_hours", 3), 3);
    assert.equal(await prune(sql, "device_metrics_hours"), 6);
    assert.equal(await prune(sql, "device_metrics_hours"), 0);
    assert.equal(await prune(sql, "device_metrics_days"), 3);
    const left = await sql`
      select granularity, count(*) filter (where device_id is null)::int as fleet,
        count(*) filter (where device_id is not null)::int as devices
      from device_metrics_summary group by granularity order by granularity`;
    assert.deepEqual(left.map((row) => [row.granularity, row.fleet, row.devices]), [
      ["day", 4, 6],
      ["hour", 4, 2],
    ]);
    assert.equal(await count(sql, "devices.metrics_periods"), 4);
  });
});

Deno.test("a batch job that is over goes with its tasks and answers, the oldest first", async () => {
  await withDatabase(async ({ sql }) => {
    await sql.unsafe(`
      insert into organizations (id, name) values (md5('o')::uuid, 'o');
      insert into batch_providers (name, model, api_url_variable, api_key_variable) values ('p', 'm', 'API_URL', 'API_KEY');
      insert into prompts (id, organization_id, text) select md5(n::text)::uuid, md5('o')::uuid, 'why' from generate_series(1, 3) as n;
      insert into batch_jobs (id, organization_id, batch_date, time_zone, status, tasks_total, tasks_completed, completed_at)
      select md5('job ' || days)::uuid, md5('o')::uuid, current_date - days, 'UTC', 'completed', 3, 3, now() - days * interval '1 day'
      from unnest(array[729, 731, 800]) as days;
      insert into batch_jobs (organization_id, batch_date, time_zone) values (md5('o')::uuid, current_date - 900, 'UTC');
      insert into batch_tasks (job_id, prompt_id, provider, status, answered_by, model, answer, latency_ms, completed_at)
      select jobs.id, prompts.id, 'p', 'completed', 'p', 'm', 'because', 1, now()
      from batch_jobs as jobs, prompts where jobs.completed_at is not null`);
    assert.equal(await prune(sql, "batch_jobs", 2), 2);
    assert.equal(await count(sql, "batch_jobs"), 4, "the oldest has a task left");
    assert.equal(await prune(sql, "batch_jobs"), 6);
    assert.equal(await prune(sql, "batch_jobs"), 0);
    assert.deepEqual(
      await Promise.all(["batch_jobs", "batch_tasks"].map((t) => count(sql, t))),
      [2, 3],
    );
  });
});

Deno.test("a retention of null keeps the rows for ever, one that is no number of days is refused", async () => {
  await withDatabase(async ({ sql }) => {
    await sql.unsafe(oldRows.tasks!.over, [daysAgo(5000)]);
    await sql`update scheduler_settings set value = 'null' where key = 'retention.tasks_days'`;
    assert.equal(await prune(sql, "tasks"), 0);
    const { plan } = (await sql`select scheduler_begin_pruning() as plan`)[0]!;
    assert.ok(!plan.rules.includes("tasks") && plan.rules.includes("conversations"));
    const error = await refusal(
      sql`update scheduler_settings set value = '"soon"' where key = 'retention.tasks_days'`,
    );
    assert.equal(
      error.message,
      'cannot set retention.tasks_days: the value must be a whole number from 1 to 99999, or null, got "soon"',
    );
    await sql`update scheduler_settings set value = '4000' where key = 'retention.tasks_days'`;
    assert.equal(await prune(sql, "tasks"), 1);
  });
});

Deno.test("prune_old_rows() names the rules there are when it knows no such", async () => {
  await withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const error = await refusal(service`select scheduler_prune_old_rows('pg_class')`);
    assert.deepEqual([error.code, error.message], [
      "SD004",
      "cannot prune 'pg_class': there is no such rule",
    ]);
    assert.match(error.hint ?? "", /charging_sessions, code_failure_causes/);
    for (const limit of [0, 100_001, null]) {
      assert.equal(
        (await refusal(sql`select scheduler_prune_old_rows('tasks', ${limit})`)).code,
        "22023",
      );
    }
  });
});

Deno.test("a failed preparation of a pack's pruning is named, and holds up no other pack", async () => {
  await withDatabase(async ({ sql }) => {
    await sql`drop function devices.make_metrics_final(timestamptz)`;
    const { plan } = (await sql`select scheduler_begin_pruning() as plan`)[0]!;
    assert.match(plan.held[0], /^devices.make_metrics_final failed: function .* does not exist/);
    assert.ok(plan.rules.includes("tasks"));
  });
});
