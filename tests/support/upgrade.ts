/** A database in mid-flight, of which each release keeps a dump, and what has to become of it after an upgrade. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addBatch, addProvider } from "./batch.ts";
import * as t from "./scheduler.ts";

/** Fills an empty database: runs in every status, locks, retries, a gap, a paused job, a batch and an action under way. */
export async function fillDatabase(sql: Sql): Promise<void> {
  await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
  await t.setSecret(sql, "project_url", t.PROJECT_URL);
  await t.setSecret(sql, "cron_secret", t.CRON_SECRET);
  const job = (name: string, values: Record<string, unknown> = {}) =>
    t.register(sql, name, { target: "job", ...values }, t.NOON);
  for (const name of ["completed", "running", "dispatched", "paused", "missed", "cancelled"]) {
    await job(name, { time_zone: "America/New_York" });
  }
  await job("retried", { backoff_base_seconds: 600 });
  await job("failed", { max_attempts: 1 });
  await job("waiting", { overlap_policy: "queue" });
  await job("of-a-url", { target: "https://example.test/hook", receipt: "response" });
  await sql`
    select scheduler.register_job(
      'enqueued', null, target => 'job', overlap_policy => 'allow', parallel_limit => 1)`;
  await job("gap");
  await sql`update scheduler_jobs set next_run_at = ${t.after(-5 * 24 * 60)} where name = 'gap'`;
  await sql`update scheduler_jobs set next_run_at = ${t.after(-30)} where name = 'missed'`;
  await sql`select scheduler.pause('paused', 'a move', 'ann', null, ${t.after(-1)})`;
  const ids: Record<string, string> = {};
  const names = (await sql`select name from scheduler_jobs where schedule is not null`)
    .map(({ name }) => name as string);
  for (const name of names) ids[name] = await t.start(sql, name);
  for (const name of ["completed", "running", "retried", "failed", "waiting"]) {
    await t.begin(sql, ids[name]!, t.after(0.1));
  }
  await t.finish(sql, ids.completed!, "completed", t.after(0.2));
  for (const name of ["retried", "failed"]) await t.finish(sql, ids[name]!, "failed", t.after(0.2));
  await t.dispatch(sql, "waiting", t.after(1));
  await sql`select scheduler.cancel_run(${ids.cancelled!}, 'not today', 'ann', ${t.after(0.2)})`;
  await sql`select scheduler.enqueue_runs('enqueued', '[{"payload": {"n": 1}}, {"payload": {"n": 2}}]', p_now => ${t.NOON})`;
  await sql`select try_mark_daily_run('2026-03-02')`;

  await addProvider(sql, "one");
  const batch = await addBatch(sql, 6, ["one"], t.NOON);
  const run = crypto.randomUUID();
  await sql`select claim_batch_tasks(${batch}, ${run}, 2, 60)`;
  await sql`update batches.leases set leased_until = ${t.after(1)}`;
  await sql`select schedule_action('reminder', p_message => 'water the plants', p_due_at => ${
    t.after(60)
  })`;
}

/** What is in flight, as it was left; then all of it goes on. `sql` is connected to the upgraded database. */
export async function assertGoesOn(sql: Sql): Promise<void> {
  const statuses = await sql`select distinct status from scheduler_runs order by 1`;
  assert.deepEqual(statuses.map(({ status }) => status), [
    ...["cancelled", "completed", "dispatched", "failed", "missed", "queued", "running", "skipped"],
  ]);
  const newest = async (name: string) => (await t.runs(sql, name)).at(-1)!;
  await t.setSecret(sql, "project_url", t.PROJECT_URL);
  await t.setSecret(sql, "cron_secret", t.CRON_SECRET);

  const running = (await t.runs(sql, "running")).find(({ status }) => status === "running")!;
  assert.equal((await t.heartbeat(sql, running.id, t.after(1.5))).running, true);
  await t.finish(sql, running.id, "completed", t.after(1.6));
  assert.equal((await t.run(sql, running.id)).verdict, "ok");

  // pg_net of this server never had the request: it is lost, and tried again.
  await t.pulse(sql, t.after(3));
  const dispatched = await t.summary(sql, "dispatched");
  assert.ok(dispatched.some((line) => line.startsWith("failed cron 1")), dispatched.join());
  await t.pulse(sql, t.after(40));
  for (const name of ["dispatched", "retried"]) {
    const retry = (await t.runs(sql, name)).find(({ attempt }) => attempt > 1);
    assert.ok(retry, name);
    assert.notEqual(retry.status, "queued", `${name} was sent again`);
  }
  assert.equal((await newest("paused")).verdict, "skipped");
  await sql`select scheduler.resume('paused', 'ann', ${t.after(41)})`;
  await t.dispatch(sql, "paused", t.after(42));
  assert.equal((await newest("paused")).status, "dispatched");
  const day = t.after(-4 * 24 * 60);
  assert.match(await t.value(sql, "scheduler.explain('gap', $1)", [day]), /They have one row/);

  const [batch] = await sql`select id from batch_jobs`;
  const token = crypto.randomUUID();
  const [claim] = await sql`select claim_batch_tasks(${batch!.id}, ${token}, 10, 60) as told`;
  assert.equal(claim!.told.tasks.length, 6, "with those of a processor that is gone");
  const [action] = await sql`select status from scheduled_actions`;
  assert.equal(action!.status, "scheduled");
  await t.assertInvariants(sql);
}
