import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { action, history, later, NOON, runJob, schedule } from "../../support/scheduled-actions.ts";
import type { CallOutcome } from "../../../supabase/functions/execute-scheduled-actions/outcome.ts";

const failure: CallOutcome = { outcome: "failed", http_status: 503, error: "HTTP 503" };
const answering = (outcome: CallOutcome) => ({ edge_function: () => Promise.resolve(outcome) });

/** How long after the failure at `at` an action waits for its next try, in seconds. */
async function waits(sql: Sql, id: string, at: Date): Promise<number> {
  const { next_attempt_at } = await action(sql, id);
  return (next_attempt_at.getTime() - at.getTime()) / 1000;
}

Deno.test("a failed call is retried after a backoff that doubles, with jitter, and dies with its last try", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function", { name: "report", max_attempts: 4 });
    let at = NOON;
    for (const limit of [60, 120, 240]) {
      const figures = await runJob(sql, { at, calls: answering(failure) });
      assert.equal(figures.summary, "0 executed; 1 to be retried");
      const wait = await waits(sql, id, at);
      assert.ok(wait >= 1 && wait <= limit, `${wait} of ${limit}`);
      const early = new Date(at.getTime() + wait * 1000 - 1);
      assert.equal((await runJob(sql, { at: early, calls: answering(failure) })).retried, 0);
      at = new Date(at.getTime() + wait * 1000 + 1);
    }
    const figures = await runJob(sql, { at, calls: answering(failure) });
    assert.equal(figures.summary, "0 executed; 1 dead, first report: HTTP 503");
    assert.equal(figures.notable, "error");
    assert.deepEqual(await history(sql, id), [`dead 4 ${NOON.toISOString()}`]);
    const row = await action(sql, id);
    assert.deepEqual([row.status, row.attempts, row.last_http_status], ["dead", 4, 503]);
    const [over] = await sql`select http_status, error_message from scheduled_action_occurrences`;
    assert.deepEqual(over, { http_status: 503, error_message: "HTTP 503" });
  }));

Deno.test("backoffs are spread over their whole range and end at the cap", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into scheduled_actions (kind, function_name, due_at, next_attempt_at, attempts, max_attempts)
      select 'edge_function', 'f' || n, ${NOON}, ${NOON}, 90, 100 from generate_series(1, 400) as n`;
    await runJob(sql, { calls: answering(failure) });
    const [spread] = await sql`
      select min(wait)::float as least, max(wait)::float as most, avg(wait)::float as average from (
        select extract(epoch from next_attempt_at - ${NOON}) as wait from scheduled_actions) as waits`;
    assert.ok(
      spread!.least < 200 && spread!.most > 3400 && spread!.most <= 3600,
      JSON.stringify(spread),
    );
    assert.ok(Math.abs(spread!.average - 1800) < 300, JSON.stringify(spread));
  }));

Deno.test("no try comes before the receiver's Retry-After", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function");
    await runJob(sql, { calls: answering({ ...failure, retry_after_seconds: 7200 }) });
    assert.equal(await waits(sql, id, NOON), 7200);
  }));

Deno.test("an action whose receiver asks not to be called again is dead at once", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function");
    await runJob(sql, { calls: answering({ ...failure, http_status: 410, final: true }) });
    assert.deepEqual(await history(sql, id), [`dead 1 ${NOON.toISOString()}`]);
  }));

Deno.test("retry_scheduled_action() gives a dead action all its tries again, under the same key", () =>
  withDatabase(async ({ sql }) => {
    const { id, idempotency_key } = await schedule(sql, "edge_function", { max_attempts: 1 });
    await runJob(sql, { calls: answering(failure) });
    const at = later(3600);
    const [row] = await sql`select actions.retry_action(${id}, 'ann', ${at}) as answer`;
    assert.equal(row!.answer.idempotency_key, idempotency_key);
    await runJob(sql, { at, calls: answering({ outcome: "completed", http_status: 200 }) });
    assert.deepEqual(await history(sql, id), [`completed 1 ${NOON.toISOString()}`]);
    assert.equal((await action(sql, id)).status, "completed");

    const unnamed = await refusal(sql`select retry_scheduled_action(${id}, ' ')`);
    assert.deepEqual([unnamed.code, unnamed.message], [
      "22023",
      "cannot retry the action: author must be given",
    ]);
    const [line] = await sql`select message from scheduler_activity`;
    assert.equal(line!.message, `more tries of action ${id} were asked for by ann`);
    const error = await refusal(sql`select retry_scheduled_action(${id}, 'ann')`);
    assert.match(error.message, /it must be dead, it is completed/);
    assert.equal(error.code, "SD203");
    const nobody = crypto.randomUUID();
    const unknown = await refusal(sql`select retry_scheduled_action(${nobody}, 'ann')`);
    assert.equal(unknown.code, "SD006");
    assert.match(unknown.message, /there is none/);
  }));
