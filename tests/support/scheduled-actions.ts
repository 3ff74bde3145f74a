/** Scheduled actions for tests: schedule them, run the job over a database connection, read what became of them. */
import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import type { Actions, Claim } from "../../supabase/functions/execute-scheduled-actions/actions.ts";
import {
  type Calls,
  execute,
  type ExecuteContext,
} from "../../supabase/functions/execute-scheduled-actions/execute.ts";
import type { Figures } from "../../supabase/functions/execute-scheduled-actions/summarize.ts";

/** An ordinary noon; tests count from here, never from the wall clock. */
export const NOON = new Date("2026-03-02T12:00:00Z");

/** `seconds` after `from`. */
export function later(seconds: number, from: Date = NOON): Date {
  return new Date(from.getTime() + seconds * 1000);
}

const ofKind: Record<string, Record<string, unknown>> = {
  reminder: { p_message: "water the plants" },
  callback: { p_url: "https://receiver.example/hook" },
  edge_function: { p_function_name: "inbox" },
  engagement_command: { p_command_type: "notify" },
};

/** `schedule_action` with what its kind needs, due at noon; `values` are its arguments without the `p_`. */
export async function schedule(
  sql: Pick<Sql, "unsafe">,
  kind: string,
  values: Record<string, unknown> = {},
): Promise<Row> {
  const given = Object.fromEntries(Object.entries(values).map(([key, v]) => [`p_${key}`, v]));
  const all: Record<string, unknown> = {
    p_kind: kind,
    ...ofKind[kind],
    ...("schedule" in values || "due_at" in values ? {} : { p_due_at: NOON }),
    ...given,
  };
  const names = Object.keys(all);
  const [row] = await sql.unsafe(
    `select ${"now" in values ? "actions" : "public"}.schedule_action(${
      names.map((name, i) => `${name} => $${i + 1}`).join(", ")
    }) as action`,
    Object.values(all) as never[],
  );
  return row!.action;
}

export async function addDevice(sql: Sql): Promise<string> {
  const [row] =
    await sql`insert into devices (device_fingerprint) values (gen_random_uuid()::text) returning id`;
  return row!.id;
}

export async function action(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql`select * from scheduled_actions where id = ${id}`;
  assert.ok(row, `there is no action ${id}`);
  return row;
}

/** The occurrences that are over, a line each, in order: `"completed 1 2026-03-02T12:00:00.000Z"`. */
export async function history(sql: Sql, id: string): Promise<string[]> {
  const rows = await sql`
    select status, attempts, scheduled_for from scheduled_action_occurrences
    where action_id = ${id} order by scheduled_for`;
  return rows.map((row) => `${row.status} ${row.attempts} ${row.scheduled_for.toISOString()}`);
}

/** As Postgres writes it; a connection knows no types of arrays before it has asked for them. */
const textArray = (texts: string[]) => `{${texts.map((text) => JSON.stringify(text)).join(",")}}`;

/** The job's steps over a connection, at a moment of the test; what PostgREST would call as `service_role`. */
export function sqlActions(sql: Sql, now: () => Date): Actions {
  const call = async (query: PromiseLike<readonly { result?: unknown }[]>) =>
    // deno-lint-ignore no-explicit-any
    (await query)[0]!.result as any;
  return {
    executeInDatabase: (limit) =>
      call(
        sql`select actions.execute_in_database(${limit}, ${now()}) as result`,
      ),
    claim: ({ kinds, limit, perReceiver, leaseSeconds, exceptReceivers }: Claim) =>
      call(sql`select actions.claim(
        ${textArray(kinds)}::text[], ${limit}, ${perReceiver}, ${leaseSeconds}, ${
        textArray(exceptReceivers)
      }::text[], ${now()}) as result`),
    report: (results) =>
      call(
        sql`select actions.report(${
          sql.json(results.map((result) => ({ ...result })))
        }, ${now()}) as result`,
      ),
    due: () => call(sql`select actions.due(${now()}) as result`),
  };
}

/** A run of the job; `calls` are the receivers. */
export async function runJob(
  sql: Sql,
  options: Partial<ExecuteContext> & { at?: Date; calls?: Calls; actions?: Actions } = {},
): Promise<Figures & { summary: string; notable?: string; notConfigured: string[] }> {
  const { at = NOON, calls = {}, actions, ...context } = options;
  const now = context.now ?? (() => at);
  const result = await execute(
    {
      log: { info() {}, warn() {}, error() {} },
      signal: new AbortController().signal,
      remainingMs: () => 140_000,
      reportProgress() {},
      ...context,
      now,
    },
    actions ?? sqlActions(sql, now),
    calls,
    {},
  );
  return result as never;
}
