import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { begin, cause, claim, collect, failures, record } from "../../support/code-failures.ts";
import { refusal } from "../../support/refusal.ts";
import { after, NOON, untilBlocked, value } from "../../support/scheduler.ts";
import type { Sql } from "postgres";

/** Three causes, the KeyError seen last. */
async function threeCauses(sql: Sql): Promise<void> {
  await failures(sql, "IndexError", { at: after(-30) });
  await failures(sql, "ValueError", { at: after(-20) });
  await failures(sql, "KeyError", { at: after(-10) });
  await collect(sql, NOON);
}

const setting = (sql: Sql, key: string, value: unknown) =>
  sql`update scheduler_settings set value = ${sql.json(value as never)} where key = ${key}`;

Deno.test("causes with the fewest requests are claimed first, then those seen last, each once a run", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    const claimed = [];
    for (let n = 0; n < 3; n++) claimed.push(await claim(sql, NOON, NOON));
    assert.deepEqual(claimed.map((row) => row.error_type), [
      "KeyError",
      "ValueError",
      "IndexError",
    ]);
    assert.deepEqual(await claim(sql, NOON, NOON), { claimed: false });
    const row = await cause(sql, "KeyError");
    assert.equal(row.fix_requests, 1);
    assert.equal(row.fix_request_id, claimed[0]!.request_id);
  }));

Deno.test("a cause has one claim at a time; it ends after five minutes and stays counted", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    assert.equal((await claim(sql, NOON, NOON)).claimed, true);
    assert.equal((await claim(sql, after(1), after(4))).claimed, false);
    assert.equal((await claim(sql, after(1), after(5))).attempt, 2);
  }));

Deno.test("two claims at once never get the same cause", () =>
  withDatabase(async ({ sql, connect }) => {
    await threeCauses(sql);
    const other = connect();
    await sql.begin(async (transaction) => {
      const first = await claim(transaction as never, NOON, NOON);
      const second = await claim(other, NOON, NOON);
      assert.deepEqual([first.error_type, second.error_type], ["KeyError", "ValueError"]);
    });
  }));

Deno.test("a cause has fixes_per_cause requests, and all of them again when it is reopened", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    const { id } = await cause(sql, "KeyError");
    for (let n = 0; n < 3; n++) {
      assert.equal((await claim(sql, after(n * 10), after(n * 10))).attempt, n + 1);
    }
    assert.equal((await claim(sql, after(60), after(60))).claimed, false);
    assert.deepEqual(await begin(sql, id, after(60)), {
      begun: false,
      reason: "cause_cap",
      fix_requests: 3,
    });
    assert.equal(
      (await value(sql, "code_monitor.state($1)", [after(60)])).exhausted_causes,
      1,
    );
    await sql`select set_code_failure_status(${id}, 'open', null, 'ann')`;
    assert.equal((await claim(sql, after(70), after(70))).attempt, 1);
  }));

Deno.test("only the request that holds a claim gives it back, counted or not", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    const { cause_id: id, request_id } = await claim(sql, NOON, NOON);
    const stranger = crypto.randomUUID();
    assert.equal(await value(sql, "release_code_fix($1, $2, false)", [id, stranger]), false);
    assert.equal(await value(sql, "release_code_fix($1, $2, false)", [id, request_id]), true);
    const row = await cause(sql, "KeyError");
    assert.deepEqual([row.fix_requests, row.fix_request_id], [0, null]);
    assert.equal((await claim(sql, NOON, after(1))).claimed, false, "not twice in a run");
    const again = await claim(sql, after(1), after(1));
    await value(sql, "release_code_fix($1, $2, true)", [id, again.request_id]);
    assert.equal((await cause(sql, "KeyError")).fix_requests, 1);
  }));

Deno.test("a cause without executions is not claimed", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    await sql`delete from eliza_python_executions`;
    assert.equal((await claim(sql, NOON, NOON)).claimed, false);
    const { id } = await cause(sql, "KeyError");
    assert.equal((await value(sql, "read_code_failure($1)", [id])).execution, null);
    assert.equal(await value(sql, "read_code_failure(0)"), null);
  }));

Deno.test("a fix is begun once: by the request that claimed it, or by a person's call, which counts", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    const { cause_id: id, request_id: requestId } = await claim(sql, NOON, NOON);
    const refused = { begun: false, reason: "asked_already" };
    assert.deepEqual(await begin(sql, id, NOON), refused, "somebody else has the claim");
    assert.equal((await begin(sql, id, NOON, { requestId })).begun, true);
    assert.deepEqual(await begin(sql, id, NOON, { requestId }), refused, "delivered twice");
    assert.equal((await cause(sql, "KeyError")).fix_requests, 1);

    const { id: own } = await cause(sql, "IndexError");
    assert.equal((await begin(sql, own, NOON)).begun, true);
    assert.deepEqual(await begin(sql, own, NOON), refused);
    assert.equal((await cause(sql, "IndexError")).fix_requests, 1);
    assert.deepEqual(await begin(sql, 0, NOON), { begun: false, reason: "unknown_cause" });
    await sql`select set_code_failure_status(${own}, 'ignored', null, 'ann')`;
    const closed = { begun: false, reason: "not_open", status: "ignored" };
    assert.deepEqual(await begin(sql, own, NOON), closed);
  }));

Deno.test("tokens of the day: open questions count with their reserve, answered ones with their use", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    await setting(sql, "code_fixer.daily_tokens", 1000);
    const [key, index] = [(await cause(sql, "KeyError")).id, (await cause(sql, "IndexError")).id];
    const asked = await begin(sql, key, NOON, { tokens: 900 });
    assert.deepEqual(await begin(sql, index, NOON, { tokens: 101 }), {
      begun: false,
      reason: "daily_cap",
      setting: "code_fixer.daily_tokens",
      used: 900,
      needed: 101,
      cap: 1000,
    });
    assert.equal((await cause(sql, "IndexError")).fix_requests, 0, "not counted");
    await record(sql, asked.proposal_id, NOON, { error: "garbage", tokens: [300, 100] });
    assert.equal((await begin(sql, index, NOON, { tokens: 600 })).begun, true);
    assert.equal((await begin(sql, key, NOON, { tokens: 1 })).used, 1000);
    assert.equal((await begin(sql, key, after(12 * 60), { tokens: 1 })).begun, true, "tomorrow");
  }));

Deno.test("the day's cost, where prices are known", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    await setting(sql, "code_fixer.daily_cost_usd", 0.05);
    const [key, index] = [(await cause(sql, "KeyError")).id, (await cause(sql, "IndexError")).id];
    const asked = await begin(sql, key, NOON, { costUsd: 0.04 });
    const refused = await begin(sql, index, NOON, { costUsd: 0.011 });
    assert.deepEqual([refused.reason, refused.setting, refused.used], [
      "daily_cap",
      "code_fixer.daily_cost_usd",
      0.04,
    ]);
    await record(sql, asked.proposal_id, NOON, { costUsd: 0.01 });
    assert.equal((await begin(sql, index, NOON, { costUsd: 0.04 })).begun, true);
  }));

Deno.test("two fixes that begin at once cannot both reserve the last tokens of the day", () =>
  withDatabase(async ({ sql, connect }) => {
    await threeCauses(sql);
    await setting(sql, "code_fixer.daily_tokens", 1000);
    const [key, index] = [(await cause(sql, "KeyError")).id, (await cause(sql, "IndexError")).id];
    const other = connect();
    const [{ pid }] = await other`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
    let second!: ReturnType<typeof begin>;
    await sql.begin(async (transaction) => {
      assert.equal((await begin(transaction as never, key, NOON, { tokens: 600 })).begun, true);
      second = begin(other, index, NOON, { tokens: 600 });
      await untilBlocked(sql, pid);
    });
    assert.equal((await second).reason, "daily_cap");
  }));

Deno.test("an answer that does not say its use counts with its reserve", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    await setting(sql, "code_fixer.daily_tokens", 1000);
    const { id } = await cause(sql, "KeyError");
    const asked = await begin(sql, id, NOON, { tokens: 900 });
    await record(sql, asked.proposal_id, NOON, { error: "no answer in time", tokens: null });
    assert.equal((await begin(sql, id, NOON, { tokens: 200 })).used, 900);
  }));

Deno.test("the question of a fixer that died fails after five minutes; its reserve counts for the day", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    await setting(sql, "code_fixer.daily_tokens", 1000);
    const { id } = await cause(sql, "KeyError");
    const dead = await begin(sql, id, NOON, { tokens: 900 });
    const { id: index } = await cause(sql, "IndexError");
    assert.deepEqual((await begin(sql, id, after(4), { tokens: 100 })).reason, "asked_already");
    const refused = await begin(sql, index, after(5), { tokens: 101 });
    assert.deepEqual([refused.reason, refused.used], ["daily_cap", 900]);
    assert.equal((await begin(sql, id, after(5), { tokens: 100 })).begun, true);
    const [row] = await sql`select * from code_fix_proposals where id = ${dead.proposal_id}`;
    assert.deepEqual([row!.status, row!.error_message, row!.usage_unknown], [
      "failed",
      "whoever asked the model did not come back",
      true,
    ]);
    assert.deepEqual(await record(sql, dead.proposal_id, after(6)), {
      recorded: false,
      reason: "it is failed",
    });
    assert.equal((await claim(sql, after(6), after(6))).error_type, "ValueError");
  }));

Deno.test("an answer that comes while its question is being ended is refused at once", () =>
  withDatabase(async ({ sql, connect }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    const { id } = await cause(sql, "KeyError");
    const asked = await begin(sql, id, NOON);
    const other = connect("postgres", { connection: { lock_timeout: 1000 } });
    await sql.begin(async (transaction) => {
      await transaction`select code_monitor.expire_fixes(${after(5)})`;
      const answer = await record(other, asked.proposal_id, after(5));
      assert.deepEqual(answer, {
        recorded: false,
        reason: "there is no such proposal, or it is being ended",
      });
    });
  }));

Deno.test("an answer ends the claim: a proposal waits, a failure leaves the cause open", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    const outcomes: Record<string, unknown>[] = [];
    for (
      const [type, answer] of [
        ["KeyError", {}],
        ["ValueError", { error: "garbage" }],
        ["IndexError", { error: "the key was refused", tokens: null, counts: false }],
      ] as const
    ) {
      const { id } = await cause(sql, type);
      const { proposal_id } = await begin(sql, id, NOON);
      await record(sql, proposal_id, after(1), answer as never);
      const { status, fix_requests, fix_request_id } = await cause(sql, type);
      outcomes.push({ status, fix_requests, fix_request_id });
    }
    assert.deepEqual(outcomes, [
      { status: "proposed", fix_requests: 1, fix_request_id: null },
      { status: "open", fix_requests: 1, fix_request_id: null },
      { status: "open", fix_requests: 0, fix_request_id: null },
    ]);
    const { id } = await cause(sql, "KeyError");
    assert.equal((await begin(sql, id, after(2))).reason, "not_open");
    const statuses = await sql`select status from code_fix_proposals order by id`;
    assert.deepEqual(statuses.map((row) => row.status), ["pending", "failed", "failed"]);
  }));

Deno.test("a proposal for a cause that was closed meanwhile is superseded", () =>
  withDatabase(async ({ sql }) => {
    await threeCauses(sql);
    const { id } = await cause(sql, "KeyError");
    const { proposal_id } = await begin(sql, id, NOON);
    await sql`select set_code_failure_status(${id}, 'fixed', null, 'ann')`;
    assert.equal((await record(sql, proposal_id, after(1))).status, "superseded");
    assert.equal((await cause(sql, "KeyError")).status, "fixed");
  }));

Deno.test("the GitHub token is reported as api_key_health has it, the worst of several", () =>
  withDatabase(async ({ sql }) => {
    const token = async () => (await value(sql, "code_monitor.state($1)", [NOON])).github_token;
    assert.equal(await token(), null);
    await sql`insert into api_key_health (provider, status) values ('github', 'valid'), ('openai', 'invalid')`;
    assert.equal((await token()).status, "valid");
    await sql`insert into api_key_health (provider, key_name, status) values ('github', 'bot', 'expiring')`;
    assert.equal((await token()).status, "expiring");
    await sql`update api_key_health set expires_at = ${after(-1)} where key_name = 'bot'`;
    assert.equal((await token()).status, "invalid", "it has expired since it was checked");
  }));

Deno.test("a cost that is not a number is refused by its name, and does not use up the budget of the day", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError");
    await collect(sql, NOON);
    const { id } = await cause(sql, "KeyError");
    for (const costUsd of [NaN, Infinity, -1]) {
      const { code, message } = await refusal(begin(sql, id, NOON, { costUsd }));
      assert.equal(code, "22023");
      assert.match(
        message,
        /p_reserved_cost_usd null or from 0 to 1000000, got 1000 and (NaN|Infinity|-1)$/,
      );
    }
    const { proposal_id } = await begin(sql, id, NOON, { costUsd: 0.1 });
    for (const costUsd of [NaN, Infinity, -1]) {
      const { code, message } = await refusal(record(sql, proposal_id, NOON, { costUsd }));
      assert.equal(code, "22023");
      assert.match(message, /^cannot record a fix: p_cost_usd must be from 0 to 1000000, got/);
    }
    for (const confidence of ["NaN", "1.5"]) {
      assert.match(
        (await refusal(
          sql`select record_code_fix(${proposal_id}, 'd', 'r', ${confidence}, null, 1, 1, 0.1, false)`,
        )).message,
        /^cannot record a fix: p_confidence must be from 0 to 1, got/,
      );
    }
    assert.equal((await record(sql, proposal_id, NOON, { costUsd: 0.1 })).recorded, true);
  }));
