import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  statuses,
} from "../../support/batch.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { rowsRead } from "../../support/rows-read.ts";
import { refusal } from "../../support/refusal.ts";
import { waitUntil } from "../../support/wait-until.ts";
import { after, CRON_SECRET, NOON, PROJECT_URL, setSecret } from "../../support/scheduler.ts";

const TOKEN = "00000000-0000-4000-8000-00000000000a";
const OTHER = "00000000-0000-4000-8000-00000000000b";

/** A database whose scheduler can send, with one provider. */
const withBatches = (fn: (db: TestDatabase) => Promise<void>) =>
  withDatabase(async (db) => {
    await setSecret(db.sql, "project_url", PROJECT_URL);
    await setSecret(db.sql, "cron_secret", CRON_SECRET);
    await addProvider(db.sql, "one");
    await fn(db);
  });

async function resume(sql: Sql, id: string, minutes: number): Promise<Row> {
  const [row] = await sql`select batches.resume_stuck_job(${id}, ${after(minutes)}) as told`;
  return row!.told;
}

const claim = (
  sql: Sql,
  id: string,
  minutes: number,
  { token = TOKEN, limit = 1, lease = 60 } = {},
) => sql`select batches.claim_tasks(${id}, ${token}, ${limit}, ${lease}, null, ${after(minutes)})`;

const runsOf = (sql: Sql, id: string) =>
  sql`select * from scheduler_runs where payload ->> 'batchJobId' = ${id} order by scheduled_for`;

/** Ends the runs of a batch job, as if they had done nothing. */
const endRuns = (sql: Sql, id: string) =>
  sql`update scheduler_runs set status = 'failed', verdict = 'lost', completed_at = now()
    where payload ->> 'batchJobId' = ${id} and completed_at is null`;

Deno.test("an unknown batch job is refused, and named", () =>
  withBatches(async ({ sql }) => {
    const error = await refusal(sql`select resume_stuck_batch_job(${TOKEN})`);
    assert.deepEqual([error.code, error.message], ["SD007", `there is no batch job ${TOKEN}`]);
    assert.match(
      (await refusal(sql`select resume_stuck_batch_job(null)`)).message,
      /batch job null/,
    );
  }));

Deno.test("a batch job with a recent heartbeat is not resumed", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 3, ["one"], NOON);
    await claim(sql, id, 0);
    assert.deepEqual(await resume(sql, id, 2), {
      job_id: id,
      stuck: false,
      action: "none",
      status: "running",
      freed: 0,
      failed: 0,
      resumes: 0,
      open: 3,
    });
    assert.deepEqual(await statuses(sql, id), { leased: 1, pending: 2 }, "not even its lease");
  }));

Deno.test("a batch job that was never begun is resumed once", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 3, ["one"], NOON);
    const told = await resume(sql, id, 3);
    assert.deepEqual([told.stuck, told.action, told.resumes, told.open], [true, "resumed", 1, 3]);
    assert.equal((await resume(sql, id, 3.1)).action, "none");
    assert.equal((await resume(sql, id, 4)).action, "none", "it has its time again");
    const runs = await runsOf(sql, id);
    assert.deepEqual(runs.map((run) => [run.trigger, run.status]), [["enqueued", "dispatched"]]);
  }));

Deno.test("a second resume waits for the first, and finds nothing to do", () =>
  withBatches(async ({ sql, admin, name, connect }) => {
    const id = await addBatch(sql, 3, ["one"], NOON);
    const other = connect();
    let late!: Promise<Row>;
    await other.begin(async (tx) => {
      await tx`select batches.resume_stuck_job(${id}, ${after(3)})`;
      late = resume(sql, id, 3);
      await waitUntil("the other one waits", async () => {
        const [row] = await admin`
          select from pg_stat_activity where datname = ${name} and wait_event_type = 'Lock'`;
        return row !== undefined;
      });
    });
    const { action, resumes } = await late;
    assert.deepEqual([action, resumes], ["none", 1]);
    assert.equal((await runsOf(sql, id)).length, 1);
  }));

Deno.test("expired leases are freed, and no other", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 5, ["one"], NOON);
    await claim(sql, id, 0, { limit: 2 });
    await claim(sql, id, 0.5, { limit: 2, token: OTHER, lease: 600 });
    const told = await resume(sql, id, 5);
    assert.deepEqual([told.stuck, told.action, told.freed], [false, "alive", 2]);
    assert.deepEqual(await statuses(sql, id), { leased: 2, pending: 3 });
    assert.equal((await runsOf(sql, id)).length, 0);
    // The result of a slow processor counts.
    const [row] = await sql`
      select batches.finish_tasks(${id}, ${OTHER}, (select jsonb_agg(jsonb_build_object(
        'id', id, 'outcome', 'answered', 'answerer', 'one', 'answer', 'yes', 'model', 'm'))
        from batch_tasks where id in (
          select unnest(task_ids) from batches.leases where token = ${OTHER})), ${
      after(6)
    }) as told`;
    assert.deepEqual([row!.told.completed, row!.told.refused], [2, 0]);
    await assertBatchesSound(sql);
  }));

Deno.test("a batch job with a waiting run, or one under way with heartbeats, is not resumed", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 1, ["one"], NOON);
    await sql`select batches.continue_job(${id}, 60000, ${NOON})`;
    assert.equal((await resume(sql, id, 10)).action, "waits");
    await sql`update scheduler_runs set status = 'dispatched', dispatched_at = ${
      after(9)
    } where job_name = 'robust-batch-processor'`;
    assert.equal((await resume(sql, id, 10)).action, "alive");
    await sql`update scheduler_runs set status = 'running', started_at = ${
      after(9)
    }, heartbeat_at = ${after(20)} where job_name = 'robust-batch-processor'`;
    assert.equal((await resume(sql, id, 21)).action, "alive");
    assert.equal((await runsOf(sql, id)).length, 1);
    assert.equal((await resume(sql, id, 23)).action, "resumed", "it beats no more");
    assert.equal((await runsOf(sql, id)).length, 2);
    assert.equal((await batchJob(sql, id)).resumes, 1);
  }));

Deno.test("a batch job without progress and without a processor is stuck after three minutes", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 1, ["one"], NOON);
    await claim(sql, id, 0, { lease: 30 });
    await sql`update batch_jobs set last_heartbeat = ${after(3)}`;
    const found = async (minutes: number) =>
      (await sql`select batches.find_stuck_jobs(1, null, ${after(minutes)}) as ids`)[0]!
        .ids;
    assert.deepEqual([await found(3), await found(3.1)], [[], [id]]);
    assert.equal((await resume(sql, id, 3)).action, "none");
    assert.equal((await resume(sql, id, 3.1)).action, "resumed");
  }));

Deno.test("a batch job without open tasks ends, also with a recent heartbeat", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 2, ["one"], NOON);
    await claim(sql, id, 0);
    await sql`delete from prompts`;
    const told = await resume(sql, id, 0.1);
    assert.deepEqual([told.stuck, told.action, told.status], [true, "ended", "failed"]);
    assert.deepEqual((await batchJob(sql, id)).reasons, { "prompt was deleted": 2 });
    const again = await resume(sql, id, 60);
    assert.deepEqual([again.stuck, again.action, again.status], [false, "over", "failed"]);
  }));

Deno.test("a batch job is given up after max_resumes without a task that ended", () =>
  withBatches(async ({ sql }) => {
    await sql`update scheduler_settings set value = '2' where key = 'daily_batch.max_resumes'`;
    const id = await addBatch(sql, 3, ["one"], NOON);
    await claim(sql, id, 0, { lease: 60 });
    await sql`
      select batches.finish_tasks(${id}, ${TOKEN}, jsonb_build_array(jsonb_build_object('id', id, 'outcome', 'answered',
        'answerer', 'one', 'answer', 'yes', 'model', 'm')), ${NOON})
      from batch_tasks where id in (
          select unnest(task_ids) from batches.leases where token = ${TOKEN})`;
    for (const minutes of [10, 20]) {
      assert.equal((await resume(sql, id, minutes)).action, "resumed");
      await endRuns(sql, id);
      await claim(sql, id, minutes, { lease: 1 });
    }
    const told = await resume(sql, id, 30);
    assert.deepEqual([told.stuck, told.action, told.status, told.failed, told.freed, told.open], [
      true,
      "gave_up",
      "partial",
      2,
      1,
      0,
    ]);
    const row = await batchJob(sql, id);
    assert.deepEqual(row.reasons, { "given up: stuck again after being resumed 2 times": 2 });
    assert.deepEqual([row.tasks_completed, row.tasks_failed], [1, 2]);
    const [failed] = await sql`
      select array_agg(distinct error_message) as messages from batch_tasks where job_id = ${id} and status = 'failed'`;
    assert.deepEqual(failed!.messages, ["given up: stuck again after being resumed 2 times"]);
    await assertBatchesSound(sql);
  }));

Deno.test("a task that ended in between begins the count of resumes anew", () =>
  withBatches(async ({ sql }) => {
    await sql`update scheduler_settings set value = '1' where key = 'daily_batch.max_resumes'`;
    const id = await addBatch(sql, 3, ["one"], NOON);
    assert.equal((await resume(sql, id, 10)).action, "resumed");
    await endRuns(sql, id);
    await sql`update batch_jobs set last_progress_at = ${after(11)}`;
    assert.deepEqual((await resume(sql, id, 20)).resumes, 1);
    await endRuns(sql, id);
    assert.equal((await resume(sql, id, 30)).action, "gave_up");
  }));

Deno.test("stuck batch jobs are found by pages, without those that wait or are worked on", () =>
  withBatches(async ({ sql }) => {
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await addBatch(sql, 1, ["one"], NOON));
    const waiting = await addBatch(sql, 1, ["one"], NOON);
    await sql`select batches.continue_job(${waiting}, 60000, ${NOON})`;
    const working = await addBatch(sql, 1, ["one"], NOON);
    await claim(sql, working, 0, { lease: 3600 });
    const beating = await addBatch(sql, 1, ["one"], NOON);
    await sql`select batches.continue_job(${beating}, 0, ${NOON})`;
    await sql`update scheduler_runs set status = 'running', started_at = ${NOON}, heartbeat_at = ${
      after(9)
    } where payload ->> 'batchJobId' = ${beating}`;
    const over = await addBatch(sql, 1, ["one"], NOON);
    await sql`select batches.cancel_job(${over}, 'why', 'who')`;
    ids.sort();
    const find = async (limit: number, past: string | null, minutes = 10) =>
      (await sql`select batches.find_stuck_jobs(${limit}, ${past}, ${after(minutes)}) as ids`)[0]!
        .ids;
    assert.deepEqual(await find(100, null), ids);
    assert.deepEqual(await find(2, null), ids.slice(0, 2));
    assert.deepEqual(await find(2, ids[1]!), ids.slice(2));
    assert.deepEqual(await find(100, null, 1), [], "not yet");
    const due = async (minutes: number) =>
      (await sql`select batches.job_is_stuck(${after(minutes)}) as due`)[0]!.due;
    assert.deepEqual([await due(1), await due(10)], [false, true]);
    for (const id of ids) await resume(sql, id, 10);
    assert.equal(await due(10), false);
    for (const id of ids) await endRuns(sql, id);
    assert.deepEqual([await due(11), await due(13)], [false, true], "each has its time again");
    const error = await refusal(find(0, null));
    assert.match(error.message, /limit must be from 1 to 1000, got 0/);
  }));

Deno.test("the runs of one batch job are found without reading the other waiting runs", () =>
  withBatches(async ({ sql }) => {
    const id = await addBatch(sql, 1, ["one"], NOON);
    await sql`select scheduler.enqueue_runs('robust-batch-processor',
      (select jsonb_agg(batches.run_request(gen_random_uuid())) from generate_series(1, 500)), null, ${NOON})`;
    const runsRead = async (statement: string) =>
      (await rowsRead(sql, ["scheduler_runs"], (tx) => tx.unsafe(statement))).scheduler_runs!;
    assert.equal(await runsRead("select batches.job_is_stuck('2026-03-02 12:01Z')"), 0);
    const none = await runsRead(`select batches.resume_stuck_job('${id}', '2026-03-02 12:01Z')`);
    assert.ok(none < 5, `${none} of 500 runs were read`);
  }));
