/** For tests of the processing of batches: batch jobs, processors without a server, invariants. */
import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import type { JobContext, JsonObject } from "../../shared/job/define-job.ts";
import { createHttpClient } from "../../shared/http-client.ts";
import { createProviders } from "../../supabase/functions/robust-batch-processor/call-provider.ts";
import { processBatch } from "../../supabase/functions/robust-batch-processor/process.ts";
import { createSteps } from "../../supabase/functions/robust-batch-processor/steps.ts";
import { moveClock } from "./clock.ts";
import type { TestDatabase } from "./database.ts";
import { jobContext } from "./job-context.ts";

/** Adds a provider that calls the model server by LOCAL_MODEL_API_URL. */
export async function addProvider(
  sql: Sql,
  name: string,
  values: Record<string, string | number | boolean> = {},
): Promise<void> {
  await sql`insert into batch_providers ${
    sql({
      name,
      model: `model-of-${name}`,
      api_url_variable: "LOCAL_MODEL_API_URL",
      api_key_variable: "LOCAL_MODEL_API_KEY",
      ...values,
    })
  }`;
}

/** A batch job with a task for each prompt and provider; its id. */
export async function addBatch(
  sql: Sql,
  prompts: number | string[],
  providers: string[],
  now = new Date(),
): Promise<string> {
  const texts = typeof prompts === "number"
    ? Array.from({ length: prompts }, (_, i) => `Question ${i + 1}?`)
    : prompts;
  const [row] = await sql<{ id: string }[]>`
    with organization as (insert into organizations (name) values ('Batch tests') returning id),
    asked as (
      insert into prompts (organization_id, text)
      select organization.id, text from organization, jsonb_array_elements_text(${
    sql.json(texts)
  }) as text returning id),
    batch as (
      insert into batch_jobs (organization_id, batch_date, time_zone, tasks_total, created_at)
      select organization.id, ${now}::date, 'UTC', ${
    texts.length * providers.length
  }, ${now} from organization
      returning id)
    insert into batch_tasks (job_id, prompt_id, provider)
    select batch.id, asked.id, provider from batch, asked, jsonb_array_elements_text(${
    sql.json(providers)
  }) as provider
    returning job_id as id`;
  return row!.id;
}

/** Changes settings of the processor. */
export async function set(sql: Sql, settings: Record<string, number>): Promise<void> {
  for (const [key, value] of Object.entries(settings)) {
    await sql`update scheduler_settings set value = ${sql.json(value)} where key = ${
      "batch_processor." + key
    }`;
  }
}

export async function batchJob(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql`select * from batch_jobs where id = ${id}`;
  return row!;
}

export async function tasks(sql: Sql, id: string): Promise<Row[]> {
  return [...await sql`select * from batch_tasks where job_id = ${id} order by id`];
}

/** How many tasks there are of each status; leased ones count as "leased". */
export async function statuses(sql: Sql, id: string): Promise<Record<string, number>> {
  const rows = await sql<{ status: string; count: number }[]>`
    select case when id in (select unnest(task_ids) from batches.leases where job_id = ${id}) then 'leased' else status end
      as status, count(*)::int as count
    from batch_tasks where job_id = ${id} group by 1 order by 1`;
  return Object.fromEntries(rows.map((row) => [row.status, row.count]));
}

/**
 * The database's functions as an edge function calls them, without a REST server, at a time of the test's own if it
 * says one. Replies for which `isLost` is true do not arrive, though the call was made.
 */
export function rpcClient(
  db: TestDatabase,
  now: (() => Date) | undefined,
  isLost: (name: string) => boolean = () => false,
): JobContext["db"] {
  const sql = db.connect("service_role", { max: 4 });
  return {
    rpc(name: string, args: Record<string, unknown>) {
      const given = Object.entries(args);
      const list = given.map(([key], i) =>
        `${key} => ${
          key === "p_ids"
            ? `array(select jsonb_array_elements_text($${i + 1}::text::jsonb)::bigint)`
            : `$${i + 1}`
        }`
      );
      const values = given.map(([key, value]) => key === "p_ids" ? JSON.stringify(value) : value);
      const call = async () => {
        if (now !== undefined) await moveClock(db.sql, now());
        return await sql.unsafe(
          `select public.${name}(${list.join(", ")}) as data`,
          values as never[],
        ).then(
          ([row]) =>
            isLost(name)
              ? { data: null, error: { message: "connection reset" } }
              : { data: row!.data, error: null },
          (error) => ({ data: null, error }),
        );
      };
      return { abortSignal: call };
    },
  } as unknown as JobContext["db"];
}

/** A run of the processor, with retries that do not wait; `wait` is for a clock that the test moves. */
export async function runProcessor(
  db: TestDatabase,
  input: { batchJobId?: string; maxTasks?: number },
  options: {
    env?: Record<string, string>;
    now?: () => Date;
    wait?: (ms: number, news: Promise<void>) => Promise<void>;
    remainingMs?: () => number;
    signal?: AbortSignal;
    isLost?: (name: string) => boolean;
  } = {},
): Promise<JsonObject> {
  const { now = () => new Date(), wait, isLost, ...rest } = options;
  const { signal = new AbortController().signal } = options;
  const http = createHttpClient({ signal, backoffMs: () => 1, now });
  const context = {
    ...jobContext({ ...rest, signal, db: rpcClient(db, options.now, isLost), http }),
    now,
  };
  return await processBatch(
    { maxTasks: 1_000, ...input },
    context,
    createSteps(context),
    createProviders(context),
    wait,
  );
}

/**
 * Holds the invariants: no task is leased twice, each open task can be found, counters are true, a batch job ends with
 * its last task. Batch jobs in `meddled` had prompts or leases deleted by hand; only some invariants hold for them.
 */
export async function assertBatchesSound(sql: Sql, meddled: string[] = []): Promise<void> {
  const touched = `{${meddled.join(",")}}`;
  const broken = await sql`
    select 'leased by two' as what, task_id::text as id from batches.leases, unnest(task_ids) as task_id
      group by task_id having count(*) > 1
    union all
    select 'a slot without a lease', task_id::text from batches.calls as calls
      where not exists (
        select from batches.leases as leases
        where leases.job_id = calls.job_id and leases.token = calls.token and calls.task_id = any (task_ids))
    union all
    select 'leased, but over', tasks.id::text from batches.leases as leases, batch_tasks as tasks
      where tasks.id = any (task_ids) and (tasks.completed_at is not null or tasks.job_id <> leases.job_id)
    union all
    select 'not leased, but before where claims begin', tasks.id::text from batch_tasks as tasks
      join batch_jobs as jobs on jobs.id = tasks.job_id
      where tasks.completed_at is null
        and tasks.id < (jobs.claim_from ->> batches.claim_key(tasks.provider, tasks.asks_fallback))::bigint
        and not exists (select from batches.leases where job_id = jobs.id and tasks.id = any (task_ids))
        and not jobs.id = any (${touched}::uuid[])
    union all
    select 'wrong counters', jobs.id::text from batch_jobs as jobs where not id = any (${touched}::uuid[]) and (tasks_completed, tasks_failed) <> (
      select count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed')
      from batch_tasks where job_id = jobs.id)
    union all
    select 'over with open tasks, or open without', jobs.id::text from batch_jobs as jobs
      where not id = any (${touched}::uuid[])
        and (completed_at is null) <> exists (select from batch_tasks where job_id = jobs.id and completed_at is null)
    union all
    select 'reasons do not add up', id::text from batch_jobs
      where status <> 'cancelled' and not id = any (${touched}::uuid[])
        and tasks_failed <> (select coalesce(sum(value::int), 0) from jsonb_each_text(reasons))`;
  assert.deepEqual([...broken], []);
}

/** The SQL functions of a processor, at a moment of the test's own. */
export function processor(sql: Sql, jobId: string) {
  const token = crypto.randomUUID();
  const call = async (expression: string, args: unknown[]) => {
    const [row] = await sql.unsafe(`select ${expression} as value`, args as never[]);
    return row!.value;
  };
  return {
    token,
    claim: (limit: number, now: Date, busy: Record<string, number> | null = null) =>
      call("batches.claim_tasks($1, $2, $3, 60, $4::text::jsonb, $5)", [
        jobId,
        token,
        limit,
        busy === null ? null : JSON.stringify(busy),
        now,
      ]),
    finish: (results: unknown, now: Date) =>
      call("batches.finish_tasks($1, $2, $3::text::jsonb, $4)", [
        jobId,
        token,
        JSON.stringify(results),
        now,
      ]),
    heartbeat: (now: Date) => call("batches.heartbeat_job($1, $2, 60, $3)", [jobId, token, now]),
    release: (now: Date) => call("batches.release_tasks($1, $2, null, $3)", [jobId, token, now]),
  };
}

/** A result as a processor sends it. */
export function result(
  task: { id: number; answerer: string | null },
  outcome: string,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const answer = outcome === "answered"
    ? {
      answer: `answer to ${task.id}`,
      model: "m",
      latency_ms: 5,
      prompt_tokens: 1,
      completion_tokens: 1,
    }
    : { reason: "HTTP 500" };
  return { id: task.id, answerer: task.answerer, outcome, ...answer, ...more };
}
