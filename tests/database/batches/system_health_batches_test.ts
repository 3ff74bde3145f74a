import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { rowsRead } from "../../support/rows-read.ts";
import { componentTests } from "../../support/system-health.ts";

const organization = "'00000000-0000-0000-0000-0000000000b1'";

/** The platform's date is marked, so that the hour of the test does not matter. */
const marked =
  `insert into scheduler_state (scope, last_daily_run_key) values ('global', '2999-01-01');\n`;
const asking = marked +
  `insert into organizations (id, name, created_at) values (${organization}, 'Acme', now() - interval '9 days');
  insert into prompts (organization_id, text) values (${organization}, 'Question?');
  insert into batch_providers (name, model, api_url_variable, api_key_variable) values ('one', 'm', 'ONE_URL', 'ONE_KEY');\n`;

componentTests("batches", [
  ["all is made and answered", asking + ended(5, 0), "healthy", {
    not_begun_seconds: 0,
    failed_percent: 0,
    stuck_jobs: 0,
    providers_down: 0,
    oldest_open_seconds: NaN,
  }],
  ["one of ten tasks failed", asking + ended(9, 1), "degraded", { failed_percent: 10 }],
  ["half of the tasks failed", asking + ended(5, 5), "critical", { failed_percent: 50 }],
  ["few tasks failed", asking + ended(0, 4), "healthy", { failed_percent: NaN }],
  ["tasks failed the day before", asking + ended(0, 9, "25 hours"), "healthy", {
    failed_percent: NaN,
  }],
  ["an organization with its own zone is due for a while", asking + due("19 minutes"), "healthy", {
    not_begun_seconds: 1140,
  }],
  ["no tick came", asking + due("20 minutes"), "degraded", { not_begun_seconds: 1200 }],
  ["no tick came for an hour", asking + due("1 hour"), "critical", { not_begun_seconds: 3600 }],
  ["a disabled one is due", asking + due("1 hour", "enabled = false"), "healthy", {
    not_begun_seconds: 0,
  }],
  ["the platform's day has not begun", asking + platform("61 minutes"), "critical", {
    not_begun_seconds: 3660,
  }],
  [
    "the platform's day has not begun, and no organization has an active prompt",
    asking + platform("61 minutes") + "update prompts set status = 'paused';",
    "healthy",
    { not_begun_seconds: 0 },
  ],
  [
    "the platform's day has not begun, and its only organization was created after its time",
    asking + platform("61 minutes") + "update organizations set created_at = now();",
    "healthy",
    { not_begun_seconds: 0 },
  ],
  [
    "a batch job was cancelled after failures",
    asking + ended(0, 9) + "update batch_jobs set status = 'cancelled';",
    "healthy",
    { failed_percent: NaN },
  ],
  ["a batch job waits for a processor", asking + open("30 minutes", "10 minutes"), "healthy", {
    stuck_jobs: 0,
    oldest_open_seconds: 1800,
  }],
  ["no processor works on a batch job", asking + open("2 hours", "36 minutes"), "degraded", {
    stuck_jobs: 1,
  }],
  ["a batch job takes hours", asking + open("4 hours", "1 second"), "degraded", { stuck_jobs: 0 }],
  ["a batch job takes the day", asking + open("8 hours", "1 second"), "critical", {}],
  ["a provider was down when it was called last", asking + breaker(5), "degraded", {
    providers_down: 1,
  }],
  ["a provider asked to wait", asking + breaker(1), "healthy", { providers_down: 0 }],
  ["a provider that is down is disabled", asking + breaker(5, "enabled = false"), "healthy", {
    providers_down: 0,
  }],
]);

Deno.test("when the platform's day has begun, its organizations are not read", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(asking);
    await sql`insert into organizations (name, created_at) select 'Org ' || i, now() - interval '9 days' from generate_series(1, 200) as i`;
    await sql`insert into prompts (organization_id, text) select id, 'Question?' from organizations`;
    const promptsRead = async () =>
      (await rowsRead(sql, ["prompts"], (tx) => tx`select batches.due_since(now())`))
        .prompts;
    assert.equal(await promptsRead(), 0);
    await sql`delete from scheduler_state`;
    assert.ok((await promptsRead())! > 0);
  }));

function ended(completed: number, failed: number, ago = "1 hour"): string {
  return `insert into batch_jobs (organization_id, batch_date, time_zone, status, tasks_total, tasks_completed, tasks_failed, reasons, completed_at)
    values (${organization}, '2026-03-02', 'UTC', 'partial', ${
    completed + failed
  }, ${completed}, ${failed},
      '{"one: HTTP 503": ${failed}}', now() - interval '${ago}');\n`;
}

function due(ago: string, more = "enabled = true"): string {
  return `update organizations set time_zone = 'UTC';
    update organizations set next_batch_at = now() - interval '${ago}', ${more};\n`;
}

/** The time of the platform's date came that long ago, and the date is not marked. */
function platform(ago: string): string {
  return `update scheduler_state set last_daily_run_key = '2026-01-01';
    create or replace function batches.daily_settings(out time_zone text, out run_at time, out window_hours integer)
      language sql stable set search_path = '' as $$ select 'UTC', (now() at time zone 'UTC' - interval '${ago}')::time, 1 $$;\n`;
}

function open(age: string, silent: string): string {
  return `with job as (
      insert into batch_jobs (organization_id, batch_date, time_zone, status, tasks_total, created_at, started_at, last_heartbeat, last_progress_at)
      values (${organization}, '2026-03-02', 'UTC', 'running', 1, now() - interval '${age}', now() - interval '${age}',
        now() - interval '${silent}', now() - interval '${silent}')
      returning id)
    insert into batch_tasks (job_id, prompt_id, provider) select job.id, prompts.id, 'one' from job, prompts;\n`;
}

function breaker(failures: number, more = "enabled = true"): string {
  return `update batch_providers set failures_in_row = ${failures}, open_until = now() - interval '1 minute', ${more};\n`;
}
