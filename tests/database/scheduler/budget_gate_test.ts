// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "a run waits until the budgets of its job have their tokens free, and says so",
  async ({ sql }) => {
    await sql`select scheduler.register_budget('api', 5, '15 minutes')`;
    await t.register(sql, "poller", { schedule: "0 * * * *", budgets: { api: 3 } });
    await t.value(sql, "scheduler.take_tokens('api', 4, 'other', $1)", [t.after(-5)]);
    await t.dispatch(sql, "poller");
    const [row] = await t.runs(sql, "poller");
    assert.deepEqual([row!.status, row!.waiting.for, row!.waiting.name], [
      "queued",
      "budget",
      "api",
    ]);
    assert.match(
      await t.value(sql, "scheduler.explain('poller', null, $1)", [t.after(1)]),
      /waits for tokens of the budget api, from 12:10:00 on/,
    );
    await t.pulse(sql, t.after(9.9));
    assert.deepEqual(await t.summary(sql, "poller"), ["queued cron 1"]);
    await t.pulse(sql, t.after(10));
    assert.deepEqual(await t.summary(sql, "poller"), ["dispatched cron 1"]);
    const [budget] = await sql`select tokens_left from scheduler.budget_states(${
      t.after(10)
    }) where budget = 'api'`
      .catch(() => [undefined]);
    assert.ok(
      budget === undefined || budget.tokens_left === 5,
      "dispatch takes no token of a function's",
    );
  },
);

t.ledgerTest(
  "for a URL the dispatch takes the tokens, and sends no more than there are",
  async ({ sql }) => {
    await sql`select scheduler.register_budget('api', 3, '15 minutes')`;
    await sql`select scheduler.register_job('calls', null, target => 'https://api.test/', overlap_policy => 'allow',
      max_attempts => 1, budgets => '{"api": 1}')`;
    await sql`select scheduler.enqueue_runs('calls', '[{}, {}, {}, {}, {}]', null, ${t.NOON})`;
    const sent = async () =>
      (await sql`select from scheduler_runs where dispatched_at is not null`).length;
    assert.equal(await sent(), 3);
    await t.pulse(sql, t.after(14));
    assert.equal(await sent(), 3);
    await t.pulse(sql, t.after(15.1));
    assert.equal(
      (await sql`select from scheduler_runs where dispatched_at > ${t.after(14)}`).length,
      2,
    );
  },
);

t.ledgerTest(
  "a deferred run goes on in a run of its own: attempt + 1, no failure, the same payload and interval",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 2, payload: { n: 1 } });
    let id = (await t.dispatch(sql, "job"))!;
    for (let attempt = 1; attempt <= 5; attempt++) {
      await t.begin(sql, id, t.after(attempt * 10));
      await t.value(
        sql,
        `scheduler.finish_run($1, 'deferred', '{"done": 7}', null, '{"budget": "api"}', true, $2, $3)`,
        [id, t.after(attempt * 10 + 9), t.after(attempt * 10 + 1)],
      );
      const ended = await t.run(sql, id);
      assert.deepEqual([ended.status, ended.verdict, ended.result], ["deferred", "deferred", {
        done: 7,
      }]);
      const [next] = await sql`select * from scheduler_runs where completed_at is null`;
      assert.deepEqual(
        [
          next!.status,
          next!.trigger,
          next!.attempt,
          next!.failures,
          next!.payload,
          next!.run_after,
          next!.waiting.name,
        ],
        ["queued", "deferred", attempt + 1, 0, { n: 1 }, t.after(attempt * 10 + 9), "api"],
      );
      assert.deepEqual(next!.interval_from, ended.interval_from);
      await t.pulse(sql, t.after(attempt * 10 + 8));
      assert.equal((await t.run(sql, next!.id)).status, "queued");
      await t.pulse(sql, t.after(attempt * 10 + 9));
      assert.equal((await t.run(sql, next!.id)).status, "dispatched");
      id = next!.id;
    }
    // Only failures count as attempts: of two both are left.
    await t.begin(sql, id, t.after(60));
    await t.finish(sql, id, "failed", t.after(60));
    const [retry] =
      await sql`select trigger, failures from scheduler_runs where completed_at is null`;
    assert.deepEqual({ ...retry }, { trigger: "retry", failures: 1 });
    const [counters] =
      await sql`select deferred from scheduler.run_counters where job_name = 'job'`;
    assert.equal(Number(counters!.deferred), 5);
  },
);

t.ledgerTest(
  "a call by hand that is deferred has no continuation, and one that must say when is refused",
  async ({ sql }) => {
    await t.register(sql, "job");
    const begun = await t.value(sql, "scheduler.begin_manual_run('job', 'job', null, 'me', $1)", [
      t.NOON,
    ]);
    await assert.rejects(
      sql`select scheduler.finish_run(${begun.run_id}, 'deferred')`,
      /one that is deferred must say from when it goes on, got null/,
    );
    await sql`select scheduler.finish_run(${begun.run_id}, 'deferred', p_resume_at => ${
      t.after(5)
    }, p_now => ${t.NOON})`;
    assert.deepEqual(await t.summary(sql, "job"), ["deferred manual 1"]);
  },
);

t.ledgerTest("budgets of a job that cannot be are refused by name and figure", async ({ sql }) => {
  await sql`select scheduler.register_budget('api', 5, '15 minutes')`;
  for (
    const [budgets, message] of [
      [{ moon: 1 }, /there is no budget named 'moon': register it/],
      [{ api: 6 }, /budgets: the tokens of api must be from 1 to 5, got 6/],
      [{ api: 0 }, /must be from 1 to 5, got 0/],
      [{ api: "1" }, /must be from 1 to 5, got "1"/],
      [{ api: 1.5 }, /must be from 1 to 5, got 1.5/],
      [[1], /budgets must be a JSON object/],
    ] as const
  ) await assert.rejects(t.register(sql, "job", { budgets }), message);
});
