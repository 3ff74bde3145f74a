/** What the tests of faults share: occurrences that are due when told, time that passes, and how it must end. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import type { Row, Sql } from "postgres";
import { putOff } from "./put-off.ts";
import { assertInvariants, register, run } from "./scheduler.ts";
import type { Stack } from "./stack.ts";
import { waitUntil } from "./wait-until.ts";

/** Registers a job that is due only when `fire` says so, and is retried after a second. */
export async function registerJob(
  sql: Sql,
  name: string,
  values: Record<string, unknown> = {},
): Promise<void> {
  await register(sql, name, {
    schedule: farAway(),
    target: "fickle",
    backoff_base_seconds: 1,
    backoff_cap_seconds: 1,
    ...values,
  }, new Date(Date.now() + 3_600_000));
}

/** A schedule that is half a year away, so that it never comes due while a test runs. */
function farAway(): string {
  return `0 0 1 ${(new Date().getUTCMonth() + 6) % 12 + 1} *`;
}

/**
 * Makes an occurrence due at this very moment and dispatches it as pg_cron would; its run. The job's next occurrence
 * is a year away again, like those of all other jobs in a stack whose pg_cron stands still.
 */
export async function fire(sql: Sql, job: string): Promise<string> {
  const [before] = await sql`
    update scheduler_jobs set next_run_at = date_trunc('milliseconds', clock_timestamp())
    where name = ${job} returning next_run_at as due`;
  await sql`select scheduler.dispatch(${job})`;
  // Another job's dispatch may have taken it along.
  const [row] = await sql`
    select id from scheduler_runs where job_name = ${job} and scheduled_for = ${
    before!.due
  } and attempt = 1`;
  assert.ok(row, `nothing was dispatched for ${job}`);
  await putOff(sql, job);
  return row.id;
}

/** A pulse of the scheduler, with time for all that it finds; what it reports. */
export async function beat(sql: Sql): Promise<Row> {
  const [row] = await sql`select scheduler.pulse(now(), 600000) as report`;
  return row!.report;
}

/** Waits until the run has this status. */
export async function untilStatus(sql: Sql, runId: string, status: string): Promise<Row> {
  return await waitUntil(`run ${runId} to be ${status}`, async () => {
    const row = await run(sql, runId);
    return row.status === status && row;
  });
}

/** Waits until pg_net has an answer for the run's request. */
export async function untilAnswered(sql: Sql, runId: string): Promise<Row> {
  return await waitUntil(`an answer to run ${runId}`, async () => {
    const [row] = await sql`
      select responses.* from net._http_response as responses
      join scheduler_runs as runs on runs.request_id = responses.id where runs.id = ${runId}`;
    return row;
  }, 20_000);
}

/** Until the REST server has found the database again; its receipts go through it. */
export async function untilRestAnswers({ apiUrl, keys }: Stack): Promise<void> {
  await waitUntil("the REST server", async () => {
    const response = await fetch(`${apiUrl}/rest/v1/scheduler_jobs?select=name&limit=1`, {
      headers: { apikey: keys.secretKey },
    });
    await response.body?.cancel();
    return response.ok;
  }, 40_000);
}

/** What the ledger knows of live runs becomes older by that much. */
export async function passTime(sql: Sql, seconds: number): Promise<void> {
  await sql.begin(async (transaction) => {
    // The order of locks is the job's row, then the run's: without the first, a dispatch and this could deadlock.
    await transaction`select from scheduler_jobs order by name for no key update`;
    await transaction`
      update scheduler_runs set
        dispatched_at = dispatched_at - make_interval(secs => ${seconds}),
        started_at = started_at - make_interval(secs => ${seconds}),
        heartbeat_at = heartbeat_at - make_interval(secs => ${seconds}),
        run_after = run_after - make_interval(secs => ${seconds})
      where completed_at is null`;
    await transaction`
      update scheduler_locks set
        acquired_at = acquired_at - make_interval(secs => ${seconds}),
        expires_at = expires_at - make_interval(secs => ${seconds})`;
  });
}

/** Lets jobs go on that wait for it. */
export async function release(sql: Sql): Promise<void> {
  await sql`
    insert into scheduler_settings (pack, key, default_value, least, description)
    values ('tests', 'tests.released', '1', 0, 'jobs that wait for it go on')
    on conflict (key) do update set value = '1'`;
}

/** From now on jobs wait for it again. */
export async function hold(sql: Sql): Promise<void> {
  await sql`update scheduler_settings set value = '0' where key = 'tests.released'`;
}

/** Beats, without waiting for a retry's time, until no run is alive. */
export async function beatUntilIdle(sql: Sql, limitMs = 30_000): Promise<void> {
  await waitUntil("every run to be over", async () => {
    await sql`update scheduler_runs set run_after = now() where status = 'queued' and run_after > now()`;
    await beat(sql);
    const [row] =
      await sql`select count(*)::int as alive from scheduler_runs where completed_at is null`;
    return row!.alive === 0;
  }, limitMs);
}

/** The end of every fault: all runs are over, no lock is left, an occurrence with attempts left has completed. */
export async function assertAllRunsOver(sql: Sql): Promise<void> {
  await assertInvariants(sql);
  const broken = await sql`
    select 'a run is still alive' as what, job_name from scheduler_runs where completed_at is null
    union all
    select 'a lock is left', name from scheduler_locks
    union all
    select 'not every attempt was made', job_name from scheduler_runs
    where trigger in ('cron', 'catch_up', 'retry') and verdict is distinct from 'bad_input'
    group by job_name, scheduled_for
    having bool_and(status = 'failed') and count(*) < max(max_attempts)
    union all
    select 'the attempts have a gap', job_name from scheduler_runs where trigger <> 'manual'
    group by job_name, scheduled_for having max(attempt) <> count(*)`;
  assert.deepEqual([...broken], []);
}

/** What the functions and the REST server have written so far. */
export async function readLog(stack: Stack): Promise<string> {
  return await Deno.readTextFile(join(stack.dataDirectory, "functions.log"));
}

type Deploy = (name: string, source?: string) => Promise<void>;

/** A folder for functions that a test deploys, beside those there are; removed afterwards. */
export async function withDeployments(
  fn: (directories: string[], deploy: Deploy) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "daybook-functions-" });
  try {
    const directories = [directory, fileURLToPath(new URL("../stack/functions", import.meta.url))];
    await fn(directories, async (name, source) => {
      await Deno.mkdir(join(directory, name), { recursive: true });
      await Deno.writeTextFile(join(directory, name, "index.ts"), source ?? await fickleAs(name));
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The function `fickle` under another name, to be kept anywhere. */
async function fickleAs(name: string): Promise<string> {
  const index = new URL("../stack/functions/fickle/index.ts", import.meta.url);
  return (await Deno.readTextFile(index))
    .replaceAll(/"(\.[^"]+)"/g, (_, path) => `"${new URL(path, index)}"`)
    .replace("serveJob(job)", `serveJob({ ...job, name: "${name}" })`);
}
