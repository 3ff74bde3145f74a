import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { byLabel, readSamples } from "../../support/exposed-metrics.ts";

Deno.test("metrics of the daily batch: due, open, ended and failing", () =>
  withDatabase(async ({ sql, admin }) => {
    await sql`update scheduler_settings set value = '"UTC"' where key = 'daily_batch.time_zone'`;
    // The move of the platform left a mark of today.
    await sql`delete from scheduler_state`;
    const now = new Date("2026-03-02T05:00:00Z");
    const batches = async () => {
      const samples = await readSamples(sql, now);
      return {
        not_begun_seconds: samples.get("batch_not_begun_seconds"),
        open: samples.get("batch_jobs_open"),
        oldest_open_seconds: samples.get("batch_oldest_open_seconds"),
        tasks_by_status: byLabel(samples, "batch_tasks_by_status"),
        failures_in_row: byLabel(samples, "batch_provider_failures_in_row"),
      };
    };
    assert.deepEqual(await batches(), {
      not_begun_seconds: 0,
      open: 0,
      oldest_open_seconds: 0,
      tasks_by_status: { completed: 0, failed: 0 },
      failures_in_row: {},
    });
    await admin.unsafe(`
    insert into organizations (id, name, created_at) values ('00000000-0000-0000-0000-0000000000b1', 'Acme', '2026-01-01');
    insert into prompts (organization_id, text) select id, 'Question?' from organizations;
    insert into batch_providers (name, model, api_url_variable, api_key_variable, failures_in_row, enabled) values
      ('one', 'm', 'ONE_URL', 'ONE_KEY', 7, true), ('two', 'm', 'TWO_URL', 'TWO_KEY', 7, false);
    insert into batch_jobs (organization_id, batch_date, time_zone, status, tasks_total, tasks_completed, tasks_failed, created_at, completed_at)
    select id, date, 'UTC', status, 5, completed, failed, '2026-03-02T04:00:00Z', ended::timestamptz from organizations, (values
      (date '2026-03-01', 'partial', 3, 2, '2026-03-02T04:30:00Z'), ('2026-02-28', 'completed', 5, 0, '2026-03-01T04:59:00Z'),
      ('2026-02-27', 'cancelled', 1, 1, '2026-03-02T04:30:00Z'), ('2026-02-26', 'running', 1, 1, null)) as jobs (date, status, completed, failed, ended)`);
    assert.deepEqual(await batches(), {
      not_begun_seconds: 7200,
      open: 1,
      oldest_open_seconds: 3600,
      tasks_by_status: { completed: 3, failed: 2 },
      failures_in_row: { one: 7 },
    });
    // A setting that fails the processor does not fail a scrape.
    await admin`update scheduler_settings set value = '0' where key = 'batch_processor.failures_to_open'`
      .catch(() => {});
    await sql`insert into scheduler_state (scope, last_daily_run_key) values ('global', '2026-03-02')`;
    assert.equal((await batches()).not_begun_seconds, 0);
    await sql`update organizations set time_zone = 'Asia/Tokyo'`;
    await sql`update organizations set next_batch_at = '2026-03-02T04:59:00Z'`;
    assert.equal((await batches()).not_begun_seconds, 60);
  }));
