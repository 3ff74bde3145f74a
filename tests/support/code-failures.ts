/** What the tests of code failures share: executions that failed, causes, and questions to a model. */
import type { Row, Sql } from "postgres";
import { value } from "./scheduler.ts";

type Query = Pick<Sql, "unsafe">;

/** A traceback whose cause is the exception's type; `detail` is of one execution alone. */
export function traceback(type: string, detail: string | number = 1): string {
  return `Traceback (most recent call last):
  File "/tmp/run-${detail}/main.py", line 3, in <module>
    print(rows["${detail}"])
${type}: '${detail}'`;
}

/** Executions that failed with this exception, a second apart, the first at `at`. */
export async function failures(
  sql: Query,
  type: string,
  { at = new Date("2026-03-02T11:00:00Z"), count = 1 } = {},
): Promise<void> {
  for (let n = 0; n < count; n++) {
    await sql.unsafe(
      `insert into eliza_python_executions (code, status, exit_code, traceback, finished_at)
       values ('print(rows["x"])', 'failed', 1, $1, $2)`,
      [traceback(type, n), new Date(at.getTime() + n * 1000)],
    );
  }
}

export async function collect(sql: Query, now: Date, maxRows = 500): Promise<Row> {
  return await value(sql, "code_monitor.collect_failures($1, $2)", [maxRows, now]);
}

export async function cause(sql: Query, type: string): Promise<Row> {
  const [row] = await sql.unsafe(
    "select *, occurrences::int from code_failure_causes where error_type = $1",
    [type],
  );
  if (row === undefined) throw new Error(`there is no cause ${type}`);
  return { ...row, id: Number(row.id) };
}

export async function claim(sql: Query, notSince: Date, now: Date): Promise<Row> {
  return await value(sql, "code_monitor.claim_fix($1, $2)", [notSince, now]);
}

/** `begin_code_fix` for a cause that is not claimed, unless `requestId` is its claim. */
export async function begin(
  sql: Query,
  causeId: number,
  now: Date,
  { requestId = null as string | null, tokens = 1000, costUsd = null as number | null } = {},
): Promise<Row> {
  return await value(sql, "code_monitor.begin_fix($1, $2, null, 'model', $3, $4, $5)", [
    causeId,
    requestId,
    tokens,
    costUsd,
    now,
  ]);
}

/** Records a valid proposal, or with `error` a failure; 100 and 50 tokens unless told. */
export async function record(
  sql: Query,
  proposalId: number,
  now: Date,
  {
    error = null as string | null,
    tokens = [100, 50] as [number, number] | null,
    costUsd = null as number | null,
    counts = true,
  } = {},
): Promise<Row> {
  const proposal = error === null ? ["--- a/main.py", "because", 0.5] : [null, null, null];
  return await value(
    sql,
    "code_monitor.record_fix($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    [
      proposalId,
      ...proposal,
      error,
      tokens?.[0] ?? null,
      tokens?.[1] ?? null,
      costUsd,
      tokens === null,
      counts,
      now,
    ],
  );
}

/** A cause with a proposal that waits; their ids. */
export async function proposed(
  sql: Query,
  type: string,
  now: Date,
): Promise<{ causeId: number; proposalId: number }> {
  await failures(sql, type);
  await collect(sql, now);
  const { id: causeId } = await cause(sql, type);
  const { proposal_id: proposalId } = await begin(sql, causeId, now);
  await record(sql, proposalId, now);
  return { causeId, proposalId };
}
