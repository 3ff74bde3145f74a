import assert from "node:assert/strict";
import { moveClock } from "../../support/clock.ts";
import { withDatabase } from "../../support/database.ts";
import { begin, cause, proposed, record } from "../../support/code-failures.ts";
import { refusal } from "../../support/refusal.ts";
import { after, NOON, value } from "../../support/scheduler.ts";
import type { Sql } from "postgres";

const proposal = async (sql: Sql, id: number) =>
  (await sql`select * from code_fix_proposals where id = ${id}`)[0]!;

Deno.test("accepting a proposal fixes its cause and records the person; service_role may do it too", () =>
  withDatabase(async ({ sql, connect }) => {
    const { causeId, proposalId } = await proposed(sql, "KeyError", NOON);
    await moveClock(sql, after(30));
    const answer = await value(connect("service_role"), "accept_code_fix($1, 'good', 'ann')", [
      proposalId,
    ]);
    assert.deepEqual(answer, {
      proposal_id: Number(proposalId),
      status: "accepted",
      cause_id: causeId,
      cause_status: "fixed",
      diff: "--- a/main.py",
    });
    const row = await proposal(sql, proposalId);
    assert.deepEqual([row.status, row.decided_by, row.decided_at, row.decision_reason], [
      "accepted",
      "ann",
      after(30),
      "good",
    ]);
    const { status, status_changed_by, status_changed_at } = await cause(sql, "KeyError");
    assert.deepEqual([status, status_changed_by, status_changed_at], ["fixed", "ann", after(30)]);
  }));

Deno.test("rejecting a proposal opens its cause, and the next question tells the model why", () =>
  withDatabase(async ({ sql }) => {
    const { causeId, proposalId } = await proposed(sql, "KeyError", NOON);
    await sql`select reject_code_fix(${proposalId}, 'hides the error', 'ann')`;
    assert.equal((await proposal(sql, proposalId)).status, "rejected");
    const { status, fix_requests } = await cause(sql, "KeyError");
    assert.deepEqual([status, fix_requests], ["open", 1]);
    assert.deepEqual((await value(sql, "read_code_failure($1)", [causeId])).earlier, [
      { diff: "--- a/main.py", outcome: "rejected", reason: "hides the error" },
    ]);
    const again = await begin(sql, causeId, after(60));
    assert.equal((await record(sql, again.proposal_id, after(61))).status, "pending");
  }));

Deno.test("only a pending proposal can be decided on, and the person has to be named", () =>
  withDatabase(async ({ sql }) => {
    const { proposalId } = await proposed(sql, "KeyError", NOON);
    const who = "cannot decide on a proposal: p_author must say who decides";
    for (const nobody of [null, "", "  "]) {
      const error = await refusal(sql`select accept_code_fix(${proposalId}, null, ${nobody})`);
      assert.equal(error.message, who);
    }
    await sql`select reject_code_fix(${proposalId}, null, 'ann')`;
    const error = await refusal(sql`select accept_code_fix(${proposalId}, null, 'bob')`);
    assert.equal(error.code, "SD204");
    assert.match(error.message, /^cannot decide on proposal \d+: it is rejected by ann since 20/);
    const unknown = await refusal(sql`select reject_code_fix(0, null, 'bob')`);
    assert.equal(unknown.code, "SD010");
    assert.match(unknown.message, /proposal 0: there is no such proposal/);
  }));

Deno.test("a person fixes, ignores and opens a cause; a proposal that waited is superseded", () =>
  withDatabase(async ({ sql }) => {
    for (const status of ["fixed", "ignored", "open"]) {
      const { causeId, proposalId } = await proposed(sql, `${status}Error`, NOON);
      const answer = await value(
        sql,
        "code_monitor.set_failure_status($1, $2, 'because', 'ann', $3)",
        [
          causeId,
          status,
          after(9),
        ],
      );
      assert.deepEqual(answer, { cause_id: causeId, was: "proposed", status });
      const row = await cause(sql, `${status}Error`);
      assert.deepEqual([row.status, row.status_changed_by, row.status_reason], [
        status,
        "ann",
        "because",
      ]);
      assert.equal(row.fix_requests, status === "open" ? 0 : 1);
      assert.equal((await proposal(sql, proposalId)).status, "superseded");
    }
    const { id } = await cause(sql, "openError");
    assert.match(
      (await refusal(sql`select set_code_failure_status(${id}, 'proposed', null, 'ann')`)).message,
      /p_status must be open, fixed or ignored, got proposed/,
    );
    assert.match(
      (await refusal(sql`select set_code_failure_status(${id}, 'open', null, '')`)).message,
      /p_author must say who/,
    );
    const unknown = await refusal(sql`select set_code_failure_status(0, 'open', null, 'ann')`);
    assert.equal(unknown.code, "SD011");
    assert.match(unknown.message, /cause 0: there is no such cause/);
  }));

Deno.test("a cause has at most one proposal that is asked for or waits", () =>
  withDatabase(async ({ sql }) => {
    const { causeId } = await proposed(sql, "KeyError", NOON);
    const error = await refusal(sql`
      insert into code_fix_proposals (cause_id, request_id, model, reserved_tokens, asked_until)
      values (${causeId}, gen_random_uuid(), 'm', 1, now())`);
    assert.match(error.message, /code_fix_proposals_one_at_once_key/);
  }));
