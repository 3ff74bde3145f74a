import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type {
  ClaimedAction,
  Result,
} from "../../../supabase/functions/execute-scheduled-actions/actions.ts";
import { withDatabase } from "../../support/database.ts";
import {
  action,
  history,
  later,
  NOON,
  runJob,
  schedule,
  sqlActions,
} from "../../support/scheduled-actions.ts";

const claimAll = {
  kinds: ["callback" as const, "edge_function" as const],
  limit: 100,
  perReceiver: 100,
  leaseSeconds: 60,
  exceptReceivers: [],
};
const ids = (actions: ClaimedAction[]) => actions.map(({ id }) => id).sort();
const done = (id: string, token: string): Result => ({
  id,
  token,
  outcome: "completed",
  http_status: 200,
});
const at = (sql: Sql, moment: Date) => sqlActions(sql, () => moment);

Deno.test("two runs at once share the actions and do not wait for each other's locks", () =>
  withDatabase(async (db) => {
    const wanted: string[] = [];
    for (let n = 0; n < 20; n++) wanted.push((await schedule(db.sql, "edge_function")).id);
    const [one, two] = [
      db.connect(),
      db.connect("postgres", { connection: { lock_timeout: 1000 } }),
    ];
    await one.begin(async (first) => {
      const mine = await at(first as unknown as Sql, NOON).claim({ ...claimAll, limit: 8 });
      const theirs = await at(two, NOON).claim(claimAll);
      assert.equal(mine.actions.length, 8);
      assert.equal(theirs.actions.length, 12);
      assert.deepEqual(ids([...mine.actions, ...theirs.actions]), wanted.sort());
    });
  }));

Deno.test("two runs at once execute each reminder once", () =>
  withDatabase(async (db) => {
    await db.sql`
      insert into scheduled_actions (kind, message, due_at, next_attempt_at)
      select 'reminder', 'm', ${NOON}, ${NOON} from generate_series(1, 3000)`;
    const figures = await Promise.all([runJob(db.connect()), runJob(db.connect())]);
    assert.equal(figures[0].completed + figures[1].completed, 3000);
    assert.equal((await db.sql`select from scheduler_activity`).length, 3000);
  }));

Deno.test("after the time of its claim an action is claimed again, with the same key", () =>
  withDatabase(async ({ sql }) => {
    const { id, idempotency_key } = await schedule(sql, "callback");
    const first = await at(sql, NOON).claim(claimAll);
    assert.deepEqual(
      [first.actions[0]!.id, first.actions[0]!.idempotency_key],
      [id, idempotency_key],
    );
    assert.equal((await at(sql, later(59)).claim(claimAll)).actions.length, 0);
    const second = await at(sql, later(60)).claim(claimAll);
    assert.equal(second.actions[0]!.idempotency_key, idempotency_key);

    const late = await at(sql, later(61)).report([done(id, first.token)]);
    assert.deepEqual([late.refused, late.counts], [1, {}]);
    assert.equal((await action(sql, id)).status, "scheduled");
    const taken = await at(sql, later(62)).report([done(id, second.token)]);
    assert.deepEqual([taken.refused, taken.counts], [0, { callback: { completed: 1 } }]);
    const repeated = await at(sql, later(63)).report([done(id, second.token)]);
    assert.equal(repeated.refused, 1);
    assert.deepEqual(await history(sql, id), [`completed 1 ${NOON.toISOString()}`]);
  }));

Deno.test("a released action is due again at once and has used no try", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function");
    const { token } = await at(sql, NOON).claim(claimAll);
    await at(sql, NOON).report([{ id, token, outcome: "released" }]);
    assert.equal((await action(sql, id)).attempts, 0);
    assert.equal((await at(sql, NOON).claim(claimAll)).actions.length, 1);
    assert.deepEqual(await history(sql, id), []);
  }));

Deno.test("the result of an action that was cancelled while it was called is refused", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function");
    const { token } = await at(sql, NOON).claim(claimAll);
    const [row] =
      await sql`select actions.cancel_action(${id}, 'no longer wanted', 'ann', ${NOON}) as answer`;
    assert.equal(row!.answer.was_being_executed, true);
    assert.equal((await at(sql, NOON).report([done(id, token)])).refused, 1);
    assert.deepEqual(await history(sql, id), [`cancelled 0 ${NOON.toISOString()}`]);
  }));

Deno.test("receivers take turns in a claim, each up to its limit, without those that are excepted", () =>
  withDatabase(async ({ sql }) => {
    for (let n = 0; n < 6; n++) await schedule(sql, "callback", { due_at: later(-60) });
    for (let n = 0; n < 3; n++) {
      await schedule(sql, "callback", { url: "https://Other.example:8443/hook" });
    }
    await schedule(sql, "edge_function");
    const receivers = ({ actions }: { actions: ClaimedAction[] }) =>
      actions.map(({ receiver }) => receiver);
    const claim = { ...claimAll, perReceiver: 2, limit: 4 };
    const first = await at(sql, NOON).claim(claim);
    assert.equal(first.more, true);
    assert.deepEqual(receivers(first).sort(), [
      "function inbox",
      "other.example:8443",
      "receiver.example",
      "receiver.example",
    ]);
    const second = await at(sql, NOON).claim({ ...claim, exceptReceivers: ["receiver.example"] });
    assert.deepEqual(receivers(second), ["other.example:8443", "other.example:8443"]);
    assert.equal(second.more, false);
  }));

Deno.test("only the given kinds are claimed", () =>
  withDatabase(async ({ sql }) => {
    await schedule(sql, "callback");
    await schedule(sql, "edge_function");
    const { actions } = await at(sql, NOON).claim({ ...claimAll, kinds: ["edge_function"] });
    assert.deepEqual(actions.map(({ kind }) => kind), ["edge_function"]);
  }));
