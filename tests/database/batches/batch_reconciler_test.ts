import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  processor,
  rpcClient,
  runProcessor,
  set,
} from "../../support/batch.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { jobContext } from "../../support/job-context.ts";
import { withModelServer } from "../../support/model-server.ts";
import { after, CRON_SECRET, NOON, PROJECT_URL, setSecret } from "../../support/scheduler.ts";
import { job } from "../../../supabase/functions/batch-reconciler/job.ts";

const withBatches = (fn: (db: TestDatabase) => Promise<void>) =>
  withDatabase(async (db) => {
    await setSecret(db.sql, "project_url", PROJECT_URL);
    await setSecret(db.sql, "cron_secret", CRON_SECRET);
    await addProvider(db.sql, "one");
    await fn(db);
  });

/** Runs the reconciler at `now()`. */
function reconciler(db: TestDatabase, now: () => Date, remainingMs?: () => number) {
  const client = rpcClient(db, now);
  const context = jobContext({ db: client, ...(remainingMs ? { remainingMs } : {}) });
  return (input: { maxJobs?: number } = {}) => job.run(job.input.parse(input), { ...context, now });
}

Deno.test("each stuck batch job is resumed, and the run says what it did about it", () =>
  withBatches(async (db) => {
    const { sql } = db;
    const ids = [];
    for (let i = 0; i < 2; i++) ids.push(await addBatch(sql, 2, ["one"], NOON));
    const empty = await addBatch(sql, 1, ["one"], NOON);
    await sql`delete from batch_tasks where job_id = ${empty}`;
    await processor(sql, ids[0]!).claim(10, NOON);
    const result = await reconciler(db, () => after(10))();
    assert.equal(result.summary, "batch jobs: 2 resumed, 1 ended");
    assert.equal(result.freedTasks, 2, "of one lease");
    assert.equal(result.notable, "warning");
    assert.deepEqual(
      (result.jobs as { batchJobId: string; action: string }[])
        .map(({ batchJobId, action }) => `${batchJobId} ${action}`).sort(),
      [...ids.map((id) => `${id} resumed`), `${empty} ended`].sort(),
    );
    const again = await reconciler(db, () => after(10))();
    assert.deepEqual([again.summary, again.jobs, again.notable], [
      "no batch job is stuck",
      [],
      undefined,
    ]);
  }));

Deno.test("a run looks at maxJobs batch jobs at most, and the next run goes on", () =>
  withBatches(async (db) => {
    for (let i = 0; i < 3; i++) await addBatch(db.sql, 1, ["one"], NOON);
    const run = reconciler(db, () => after(10));
    const first = await run({ maxJobs: 2 });
    assert.equal(first.summary, "batch jobs: 2 resumed; more are left for the next run");
    assert.equal((await run({ maxJobs: 2 })).summary, "batch jobs: 1 resumed");
  }));

Deno.test("a batch job that is given up leaves an error in the activity log", () =>
  withBatches(async (db) => {
    await db.sql`update scheduler_settings set value = '0' where key = 'daily_batch.max_resumes'`;
    await addBatch(db.sql, 2, ["one"], NOON);
    const result = await reconciler(db, () => after(10))();
    assert.deepEqual([result.summary, result.notable, result.gaveUp], [
      "batch jobs: 1 given up",
      "error",
      1,
    ]);
  }));

Deno.test("with less time left than a statement may take, no further batch job is resumed", () =>
  withBatches(async (db) => {
    for (let i = 0; i < 2; i++) await addBatch(db.sql, 1, ["one"], NOON);
    const late = await reconciler(db, () => after(10), () => 9_000)();
    assert.deepEqual([late.summary, late.jobs], [
      "there was no time for a batch job; more are left for the next run",
      [],
    ]);
    let looks = 0;
    const soon = await reconciler(db, () => after(10), () => ++looks > 2 ? 9_000 : 11_000)();
    assert.equal(soon.summary, "batch jobs: 1 resumed; more are left for the next run");
  }));

Deno.test("a batch job that cannot be resumed does not stop the others; the run fails and names it", () =>
  withBatches(async (db) => {
    const { sql } = db;
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await addBatch(sql, 1, ["one"], NOON));
    ids.sort();
    await sql.unsafe(`
      create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger refuse before update on batch_jobs for each row when (old.id = '${
      ids[1]
    }') execute function refuse();`);
    await assert.rejects(
      reconciler(db, () => after(10))(),
      new RegExp(
        `^Error: Cannot resume 1 batch jobs, of them ${ids[1]}: no \\(batch jobs: 2 resumed\\)$`,
      ),
    );
    const rows = await sql`select id from batch_jobs where resumes = 1 order by id`;
    assert.deepEqual(rows.map((row) => row.id), [ids[0], ids[2]]);
  }));

Deno.test("five at once resume each batch job once", () =>
  withBatches(async (db) => {
    for (let i = 0; i < 8; i++) await addBatch(db.sql, 1, ["one"], NOON);
    const results = await Promise.all(
      Array.from({ length: 5 }, () => reconciler(db, () => after(10))()),
    );
    assert.equal(results.reduce((sum, result) => sum + Number(result.resumed), 0), 8);
    const [row] = await db.sql`
      select count(*)::int as runs, count(distinct payload)::int as jobs,
        (select max(resumes) from batch_jobs) as resumes from scheduler_runs`;
    assert.deepEqual([row!.runs, row!.jobs, row!.resumes], [8, 8, 1]);
  }));

Deno.test("in a tight loop it takes no task from slow processors, and frees the tasks of dead ones", () =>
  withModelServer(
    { latencyMs: 1_500 },
    (models) =>
      withBatches(async (db) => {
        const { sql } = db;
        const env = { LOCAL_MODEL_API_URL: models.url, LOCAL_MODEL_API_KEY: models.key };
        await set(sql, { heartbeat_seconds: 1, lease_seconds: 3 });
        await sql`update scheduler_settings set value = '1' where key in
          ('daily_batch.heartbeat_timeout_seconds', 'daily_batch.progress_timeout_seconds')`;
        // What counts is that processors work beside it, not how often it runs.
        await sql`update scheduler_settings set value = '1000' where key = 'daily_batch.max_resumes'`;
        const id = await addBatch(sql, 19, ["one"]);
        // A processor that dies over three tasks.
        await sql`select claim_batch_tasks(${id}, gen_random_uuid(), 3, 1)`;

        const loops = new AbortController();
        const actions = new Map<string, number>();
        const loop = async () => {
          const run = reconciler(db, () => new Date());
          while (!loops.signal.aborted) {
            const { jobs } = await run();
            const [row] = await sql`select resume_stuck_batch_job(${id}) ->> 'action' as action`;
            for (
              const action of [
                row!.action,
                ...(jobs as { action: string }[]).map((j) => j.action),
              ]
            ) {
              actions.set(action, (actions.get(action) ?? 0) + 1);
            }
          }
        };
        const looping = [loop(), loop()];
        const results = await Promise.all(
          [1, 2].map(() => runProcessor(db, { batchJobId: id }, { env })),
        );
        loops.abort();
        await Promise.all(looping);

        const row = await batchJob(sql, id);
        assert.deepEqual([row.status, row.tasks_completed], ["completed", 19]);
        assert.deepEqual(results.map((result) => result.lost), [0, 0]);
        assert.equal(models.calls.length, 19, "no task was asked twice");
        assert.ok(actions.get("alive")! > 10, JSON.stringify([...actions]));
        assert.equal(actions.get("gave_up"), undefined);
        await assertBatchesSound(sql);
      }),
  ));

Deno.test("batch-reconciler-after-window follows the settings of the window", () =>
  withDatabase(async ({ sql }) => {
    const schedule = async () => {
      const [row] = await sql`
        select schedule || ' ' || time_zone as at from scheduler_jobs where name = 'batch-reconciler-after-window'`;
      return row!.at;
    };
    assert.equal(await schedule(), "5 6 * * * America/New_York");
    await sql`update scheduler_settings set value = '"22:45"' where key = 'daily_batch.run_at'`;
    await sql`update scheduler_settings set value = '"Asia/Tokyo"' where key = 'daily_batch.time_zone'`;
    assert.equal(await schedule(), "50 1 * * * Asia/Tokyo");
  }));
