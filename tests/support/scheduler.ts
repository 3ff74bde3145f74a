/** What the tests of the ledger share: jobs, occurrences, answers and receipts, each in one call. */
import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { type TestDatabase, withDatabase } from "./database.ts";

export const CRON_SECRET = "the-cron-secret-of-the-tests-0123456789";
export const PROJECT_URL = "https://project.example.test";
/** An ordinary noon; tests count from here, never from the wall clock. */
export const NOON = new Date("2026-03-02T12:00:00Z");

type Query = Pick<Sql, "unsafe">;

/** `minutes` after `from` (before it, when negative). */
export function after(minutes: number, from: Date = NOON): Date {
  return new Date(from.getTime() + minutes * 60_000);
}

/** Empties the registry that the migrations filled and puts the two secrets into Vault. */
export async function prepare({ sql }: TestDatabase): Promise<void> {
  await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
  await sql`delete from scheduler_audit`;
  await setSecret(sql, "project_url", PROJECT_URL);
  await setSecret(sql, "cron_secret", CRON_SECRET);
}

/** Puts a secret into Vault; null takes it out. */
export async function setSecret(sql: Sql, name: string, value: string | null): Promise<void> {
  await sql`delete from vault.secrets where name = ${name}`;
  if (value !== null) await sql`select vault.create_secret(${value}, ${name})`;
}

/** Registers a job that is due every minute unless told otherwise, its cursor at `dueAt`. */
export async function register(
  sql: Query,
  name: string,
  values: Record<string, unknown> = {},
  dueAt: Date = NOON,
): Promise<void> {
  const all: Record<string, unknown> = { name, schedule: "* * * * *", ...values };
  const keys = Object.keys(all);
  await sql.unsafe(
    `select scheduler.register_job(${keys.map((key, i) => `${key} => $${i + 1}`).join(", ")})`,
    Object.values(all) as never[],
  );
  // As if it had been registered long ago.
  await sql.unsafe(
    `update scheduler_jobs set next_run_at = case when schedule is not null then $2::timestamptz end,
      created_at = $2::timestamptz - interval '1 year' where name = $1`,
    [name, dueAt],
  );
}

/** `scheduler.dispatch`; the run's id, or null. */
export async function dispatch(sql: Query, name: string, now: Date = NOON): Promise<string | null> {
  return await value(sql, "scheduler.dispatch($1, $2)", [name, now]);
}

/** Dispatches the job; the run of its occurrence, also when the dispatch of another job has taken it along. */
export async function start(sql: Query, name: string, now: Date = NOON): Promise<string> {
  const id = await dispatch(sql, name, now);
  return id ?? await value(
    sql,
    "(select id from scheduler_runs where job_name = $1 order by scheduled_for desc, attempt desc limit 1)",
    [name],
  );
}

/** One pulse at `now`, with time for all that it finds; what it reports. */
export async function pulse(sql: Query, now: Date): Promise<Row> {
  return await value(sql, "scheduler.pulse($1, 600000)", [now]);
}

export async function begin(sql: Query, run: string, now: Date, fn = "job"): Promise<Row> {
  return await value(sql, "scheduler.begin_run($1, $2, 'tester', $3)", [run, fn, now]);
}

export async function heartbeat(sql: Query, run: string, now: Date): Promise<Row> {
  return await value(sql, "scheduler.heartbeat_run($1, null, $2)", [run, now]);
}

export async function finish(
  sql: Query,
  run: string,
  outcome: string,
  now: Date,
  retryable = true,
): Promise<Row> {
  return await value(
    sql,
    `scheduler.finish_run($1, $2, '{"seen": 1}', case when $2 <> 'completed' then 'it broke' end, null, $3, null, $4)`,
    [run, outcome, retryable, now],
  );
}

/** The value of one SQL expression. */
// deno-lint-ignore no-explicit-any
export async function value(sql: Query, expression: string, args: unknown[] = []): Promise<any> {
  const [row] = await sql.unsafe(`select ${expression} as value`, args as never[]);
  return row!.value;
}

/** The whole row of a run. */
export async function run(sql: Query, id: string | null): Promise<Row> {
  const [row] = await sql.unsafe("select * from scheduler_runs where id = $1", [id as never]);
  assert.ok(row, `there is no run ${id}`);
  return row;
}

/** The runs of a job, by occurrence and attempt. */
export async function runs(sql: Query, name: string): Promise<Row[]> {
  return [
    ...await sql.unsafe(
      "select * from scheduler_runs where job_name = $1 order by scheduled_for, attempt, created_at",
      [name],
    ),
  ];
}

/** What of the runs a test looks at, a row a line: `"dispatched cron 1"`. */
export async function summary(sql: Query, name: string): Promise<string[]> {
  return (await runs(sql, name)).map((row) =>
    [row.status, row.trigger, row.attempt, row.status === row.verdict ? null : row.verdict]
      .filter((part) => part !== null).join(" ")
  );
}

/** The requests in pg_net's queue, oldest first. */
export async function requests(sql: Query): Promise<Row[]> {
  return [
    ...await sql.unsafe(
      "select id, url, headers, convert_from(body, 'UTF8')::jsonb as body, timeout_milliseconds from net.http_request_queue order by id",
    ),
  ];
}

export interface Answer {
  status?: number;
  timedOut?: boolean;
  error?: string;
  headers?: Record<string, string>;
  content?: string;
}

/** Answers a run's request as pg_net would: the request leaves the queue, the response gets its row. */
export async function answer(sql: Sql, runId: string, given: Answer, at: Date): Promise<void> {
  const { request_id } = await run(sql, runId);
  assert.ok(request_id !== null, "the run has no request");
  await sql`delete from net.http_request_queue where id = ${request_id}`;
  await respond(sql, Number(request_id), given, at);
}

/** A row in pg_net's responses. */
export async function respond(sql: Sql, id: number, given: Answer, at: Date): Promise<void> {
  await sql`
    insert into net._http_response (id, status_code, headers, content, timed_out, error_msg, created)
    values (${id}, ${given.status ?? null}, ${sql.json(given.headers ?? {})}, ${
    given.content ?? null
  }, ${given.timedOut ?? false}, ${given.error ?? null}, ${at})`;
}

/** A connection whose statements end after ten seconds: what must not wait for a lock fails then, and does not hang. */
export function impatient(db: TestDatabase): Sql {
  return db.connect("postgres", { connection: { statement_timeout: 10_000 } });
}

/** Waits until the backend of that process id waits for a lock; fails after five seconds. */
export async function untilBlocked(sql: Sql, pid: number): Promise<void> {
  for (const end = Date.now() + 5000; Date.now() < end;) {
    const [row] = await sql`select cardinality(pg_blocking_pids(${pid})) > 0 as blocked`;
    if (row!.blocked) return;
  }
  assert.fail(`process ${pid} does not wait for a lock`);
}

/** What must hold in every ledger, whatever has happened to it. */
export async function assertInvariants(sql: Sql): Promise<void> {
  const broken = await sql`
    select 'two completed runs of an occurrence' as what, job_name from scheduler_runs
    where status = 'completed' and trigger <> 'manual'
    group by job_name, scheduled_for having count(*) > 1
    union all
    select 'a run that is over has no verdict', job_name from scheduler_runs
    where (completed_at is null) <> (verdict is null)
    union all
    select 'a lock without a live run', locks.name from scheduler_locks as locks
    left join scheduler_runs as runs on runs.id = locks.run_id
    where runs.id is null or runs.completed_at is not null
    union all
    select 'two runs at work at once', runs.job_name from scheduler_runs as runs
    join scheduler_jobs as jobs on jobs.name = runs.job_name
    where runs.status in ('dispatched', 'running') and jobs.overlap_policy <> 'allow'
    group by runs.job_name having count(*) > 1
    union all
    select 'a run at work without its lock', runs.job_name from scheduler_runs as runs
    join scheduler_jobs as jobs on jobs.name = runs.job_name
    where runs.status in ('dispatched', 'running') and jobs.overlap_policy <> 'allow'
      and not exists (select from scheduler_locks where run_id = runs.id)
    union all
    select 'two attempts of an occurrence alive at once', job_name from scheduler_runs
    where completed_at is null and trigger <> 'manual'
    group by job_name, scheduled_for having count(*) > 1`;
  assert.deepEqual([...broken], []);
}

/** A test with a database of its own: an empty registry, and the secrets in place. */
export function ledgerTest(
  name: string,
  fn: (db: TestDatabase) => Promise<void>,
  options: Pick<Deno.TestDefinition, "ignore"> = {},
): void {
  Deno.test(name, options, () =>
    withDatabase(async (db) => {
      await prepare(db);
      await fn(db);
    }));
}
