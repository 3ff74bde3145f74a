import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { cause, collect, failures, proposed, traceback } from "../../support/code-failures.ts";
import { refusal } from "../../support/refusal.ts";
import { after, NOON, untilBlocked } from "../../support/scheduler.ts";

Deno.test("a step gives each failed execution its cause and counts it once", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError", { count: 4 });
    await failures(sql, "IndexError", { count: 2, at: after(-10) });
    const found = await collect(sql, NOON);
    const [key, index] = [await cause(sql, "KeyError"), await cause(sql, "IndexError")];
    assert.deepEqual(found, {
      failures: 6,
      causes: found.causes,
      new_causes: found.causes,
      reopened_causes: [],
      more: false,
    });
    assert.deepEqual(found.causes.sort(), [key.id, index.id].sort());
    assert.deepEqual([key.occurrences, key.status, key.fix_requests], [4, "open", 0]);
    assert.deepEqual(key.first_seen_at, new Date("2026-03-02T11:00:00Z"));
    assert.deepEqual(key.last_seen_at, new Date("2026-03-02T11:00:03Z"));

    const again = await collect(sql, after(120));
    assert.deepEqual([again.failures, again.causes], [0, []]);
    await failures(sql, "KeyError", { at: after(60) });
    const later = await collect(sql, after(120));
    assert.deepEqual([later.failures, later.causes, later.new_causes], [1, [key.id], []]);
    assert.equal((await cause(sql, "KeyError")).occurrences, 5);
  }));

Deno.test("a step collects the oldest failures, up to its limit, and says whether there are more", () =>
  withDatabase(async ({ sql }) => {
    await failures(sql, "KeyError", { count: 5 });
    for (const [failed, more] of [[2, true], [2, true], [1, false], [0, false]]) {
      const found = await collect(sql, NOON, 2);
      assert.deepEqual([found.failures, found.more], [failed, more]);
    }
    assert.match(
      (await refusal(sql`select collect_code_failures(0)`)).message,
      /p_max_rows must be from 1 to 5000, got 0/,
    );
  }));

Deno.test("only failed executions are collected: not those that timed out, were cancelled or are running", () =>
  withDatabase(async ({ sql }) => {
    for (const status of ["timed_out", "cancelled", "running", "queued", "completed"]) {
      const over = ["timed_out", "cancelled", "completed"].includes(status);
      await sql`
        insert into eliza_python_executions (code, status, exit_code, traceback, started_at, finished_at)
        values ('x', ${status}, ${status === "completed" ? 0 : null}, ${traceback("E")}, now(),
          ${over ? NOON : null})`;
    }
    assert.equal((await collect(sql, NOON)).failures, 0);
  }));

Deno.test("a failure whose transaction commits late is found", () =>
  withDatabase(async ({ sql, connect }) => {
    const writer = connect();
    const release = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const late = writer.begin(async (transaction) => {
      await failures(transaction as never, "KeyError", { at: after(-60) });
      written.resolve();
      await release.promise;
    });
    await written.promise;
    await failures(sql, "IndexError", { at: after(-1) });
    assert.equal((await collect(sql, NOON)).failures, 1);
    release.resolve();
    await late;
    assert.equal((await collect(sql, after(120))).failures, 1);
    assert.equal((await cause(sql, "KeyError")).occurrences, 1);
  }));

Deno.test("two collectors at once share the failures, and a new cause of both is one cause", () =>
  withDatabase(async ({ sql, connect }) => {
    await failures(sql, "KeyError", { count: 6 });
    const [first, second] = [connect(), connect()];
    const [{ pid }] = await second`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
    let other!: Promise<{ failures: number; new_causes: number[] }>;
    await first.begin(async (transaction) => {
      const found = await collect(transaction as never, NOON, 3);
      assert.deepEqual([found.failures, found.new_causes.length], [3, 1]);
      // It takes the other three, and has to know whether the cause is there.
      other = collect(second, NOON, 3) as never;
      await untilBlocked(sql, pid);
    });
    const found = await other;
    assert.deepEqual([found.failures, found.new_causes], [3, []]);
    assert.equal((await cause(sql, "KeyError")).occurrences, 6);
    const [row] = await sql`select count(*)::int as causes from code_failure_causes`;
    assert.equal(row!.causes, 1);
  }));

Deno.test("a failure after the fix reopens its cause, a failure before it does not", () =>
  withDatabase(async ({ sql }) => {
    const { causeId, proposalId } = await proposed(sql, "KeyError", NOON);
    await sql`select code_monitor.accept_fix(${proposalId}, null, 'ann', ${after(30)})`;

    await failures(sql, "KeyError", { at: after(29) });
    const before = await collect(sql, after(120));
    assert.deepEqual([before.causes, before.reopened_causes], [[causeId], []]);
    assert.equal((await cause(sql, "KeyError")).status, "fixed");

    await failures(sql, "KeyError", { at: after(31), count: 2 });
    const found = await collect(sql, after(120));
    assert.deepEqual([found.reopened_causes, found.new_causes], [[causeId], []]);
    const row = await cause(sql, "KeyError");
    assert.deepEqual([row.status, row.reopened_count, row.fix_requests], ["open", 1, 0]);
    assert.deepEqual(row.status_changed_at, after(120));
  }));

Deno.test("failures of an ignored cause, and of one that has a proposal, are only counted", () =>
  withDatabase(async ({ sql }) => {
    const { causeId } = await proposed(sql, "KeyError", NOON);
    await failures(sql, "KeyError", { at: after(5) });
    await collect(sql, after(10));
    assert.equal((await cause(sql, "KeyError")).status, "proposed");
    await sql`select code_monitor.set_failure_status(${causeId}, 'ignored', null, 'ann', ${
      after(20)
    })`;
    await failures(sql, "KeyError", { at: after(25) });
    assert.deepEqual((await collect(sql, after(30))).reopened_causes, []);
    const row = await cause(sql, "KeyError");
    assert.deepEqual([row.status, row.occurrences, row.reopened_count], ["ignored", 3, 0]);
  }));

Deno.test("a step does not read failures that were collected before", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into eliza_python_executions (code, status, exit_code, traceback, finished_at)
      select 'x', 'failed', 1, 'E: ' || n, ${NOON}::timestamptz - n * interval '1 minute' from generate_series(1, 2000) n`;
    while ((await collect(sql, NOON)).more);
    await sql`analyze eliza_python_executions`;
    const plan = await sql`explain select id from eliza_python_executions
      where status = 'failed' and cause_id is null order by finished_at limit 500`;
    assert.match(JSON.stringify(plan), /eliza_python_executions_uncollected_idx/);
    const [row] =
      await sql`select pg_relation_size('eliza_python_executions_uncollected_idx') as size,
      (select count(*)::int from code_failure_causes) as causes`;
    assert.equal(row!.causes, 1);
  }));

Deno.test("an execution that cannot be read is counted as unreadable and named; others are collected", () =>
  withDatabase(async ({ sql, admin }) => {
    await failures(sql, "KeyError", { count: 2 });
    await failures(sql, "OddError", { at: after(-7200) });
    await admin`alter function code_monitor.failure_cause(text, text, text, integer) rename to real_failure_cause`;
    await admin.unsafe(`
      create function code_monitor.failure_cause(p_traceback text, p_stderr text, p_error_type text, p_exit_code integer,
        out error_type text, out normalized_traceback text, out fingerprint text)
      language plpgsql as $$
      begin
        if p_traceback like '%OddError%' then
          raise exception 'invalid regular expression';
        end if;
        select * into error_type, normalized_traceback, fingerprint
          from code_monitor.real_failure_cause(p_traceback, p_stderr, p_error_type, p_exit_code);
      end $$`);
    const found = await collect(sql, NOON);
    assert.deepEqual([found.failures, found.causes.length], [3, 2]);
    assert.equal((await cause(sql, "KeyError")).occurrences, 2);
    assert.equal((await cause(sql, "unreadable")).occurrences, 1);
    const [line] = await sql`select source, severity, message from scheduler_activity`;
    assert.deepEqual([line!.source, line!.severity], ["code-monitor-daemon", "warning"]);
    assert.match(
      line!.message,
      /^cannot tell why execution .* failed: error P0001$/,
    );
    assert.equal((await collect(sql, NOON)).failures, 0);
  }));
