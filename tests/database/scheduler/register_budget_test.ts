import assert from "node:assert/strict";
import { readSamples } from "../../support/exposed-metrics.ts";
import { refusal } from "../../support/refusal.ts";
import { moveClock } from "../../support/clock.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("a budget that cannot be meant is refused, with what is right", async ({ sql }) => {
  for (
    const [args, message] of [
      [
        "'Api', 1, '1 s'",
        "cannot register a budget: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, got 'Api'",
      ],
      [
        "null, 1, '1 s'",
        "cannot register a budget: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, got null",
      ],
      [
        "'api', 0, '1 s'",
        "cannot register the budget api: tokens must be from 1 to 1000000000, got 0",
      ],
      [
        "'api', null, '1 s'",
        "cannot register the budget api: tokens must be from 1 to 1000000000, got null",
      ],
      [
        "'api', 1, '0.5 s'",
        "cannot register the budget api: per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got '00:00:00.5'",
      ],
      [
        "'api', 1, '1 month'",
        "cannot register the budget api: per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got '1 mon'",
      ],
      [
        "'api', 1, '367 days'",
        "cannot register the budget api: per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got '367 days'",
      ],
      [
        "'api', 1, '-1 s'",
        "cannot register the budget api: per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got '-00:00:01'",
      ],
      [
        "'api', 1, null",
        "cannot register the budget api: per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got null",
      ],
      [
        "'api', 1, '1 s', 'open'",
        "cannot register the budget api: window_kind must be 'sliding' or 'fixed', got 'open'",
      ],
      [
        "'api', 1, '1 s', 'fixed', null",
        "cannot register the budget api: description must be a text, got null",
      ],
    ]
  ) {
    const error = await refusal(sql.unsafe(`select scheduler.register_budget(${args})`));
    assert.deepEqual([error.code, error.message], ["22023", message]);
  }
  assert.equal((await sql`select from scheduler_budgets`).length, 0);
});

const left = async (sql: Parameters<typeof t.value>[0], now: Date) =>
  await t.value(sql, "(select tokens_left from scheduler.budget_states($1))", [now]);

t.ledgerTest(
  "a budget that is registered again has the new limit, and what was taken stays taken",
  async ({ sql }) => {
    for (const kind of ["sliding", "fixed"]) {
      const register = (tokens: number) =>
        sql`select scheduler.register_budget('api', ${tokens}, '900', ${kind}, 'reads')`;
      await register(10);
      await sql`select scheduler.take_tokens('api', 6, null, ${t.NOON})`;
      await register(20);
      assert.equal(await left(sql, t.after(1)), 14, kind);
      await register(8);
      assert.equal(await left(sql, t.after(1)), 2, kind);
      await register(5);
      assert.equal(await left(sql, t.after(1)), 0, kind);
      assert.equal(await left(sql, t.after(15)), 5, kind);
      const [row] = await sql`select per_seconds, description from scheduler_budgets`;
      assert.deepEqual({ ...row }, { per_seconds: 900, description: "reads" });
      await sql`select scheduler.unregister_budget('api')`;
    }
  },
);

t.ledgerTest("an operator can refill a budget, which leaves a line", async ({ sql }) => {
  await sql`select scheduler.register_budget('api', 10, '15 minutes')`;
  await sql`select scheduler.take_tokens('api', 6, null, ${t.NOON})`;
  await sql`select scheduler.refill_budget('api', ' ann ', ${t.NOON})`;
  assert.equal(await left(sql, t.after(1)), 10);
  const [line] = await sql`select source, message from scheduler_activity`;
  assert.deepEqual({ ...line }, { source: "api", message: "the budget was refilled by ann" });
  const error = await refusal(sql`select scheduler.refill_budget('api', ' ')`);
  assert.deepEqual([error.code, error.message], [
    "22023",
    "cannot refill api: author must be given",
  ]);
});

t.ledgerTest("a report is checked, and answered with what is left", async ({ sql }) => {
  await sql`select scheduler.register_budget('api', 10, '15 minutes')`;
  for (
    const [args, message] of [
      ["-1, null", "left must be from 0 on, got -1"],
      ["null, null", "left must be from 0 on, got null"],
      ["1, 'infinity'", "resets_at must be a moment or null, got infinity"],
      ["1, '-infinity'", "resets_at must be a moment or null, got -infinity"],
    ]
  ) {
    const error = await refusal(sql.unsafe(`select scheduler.report_budget('api', ${args})`));
    assert.deepEqual([error.code, error.message], [
      "22023",
      `cannot report of the budget api: ${message}`,
    ]);
  }
  const report = (given: number, seconds: number) =>
    t.value(sql, "scheduler.report_budget('api', $1, $2, $3)", [
      given,
      t.after(5),
      t.after(seconds / 60),
    ]);
  assert.equal(await report(4, 0), 4);
  assert.equal(await report(4, 1), 4);
  assert.equal(await report(9, 2), 4);
  assert.equal(await report(3, 3), 3);
  assert.equal(await left(sql, t.after(5)), 10);
});

t.ledgerTest("a scrape shows limit, left and reserved of each budget", async ({ sql }) => {
  await sql`select scheduler.register_budget('api', 10, '15 minutes')`;
  await sql`select scheduler.register_budget('other', 5, '1 hour', 'fixed')`;
  await sql`select scheduler.take_tokens('api', 3, null, ${t.NOON})`;
  await sql`select scheduler.reserve_tokens('api', 4, ${t.after(10)}, 'sweep', ${t.NOON})`;
  const of = async (now: Date) =>
    Object.fromEntries(
      [...await readSamples(sql, now)].filter(([series]) => series.includes("budget")),
    );
  assert.deepEqual(await of(t.after(1)), {
    'scheduler_budget_tokens{budget="api"}': 10,
    'scheduler_budget_tokens{budget="other"}': 5,
    'scheduler_budget_left{budget="api"}': 7,
    'scheduler_budget_left{budget="other"}': 5,
    'scheduler_budget_reserved{budget="api"}': 4,
    'scheduler_budget_reserved{budget="other"}': 0,
  });
  assert.equal((await of(t.after(11)))['scheduler_budget_reserved{budget="api"}'], 0);
});

t.ledgerTest(
  "a function takes, reserves and reports for the job of its run, by the clock of the database",
  async (db) => {
    const { sql } = db;
    await t.register(sql, "sweep");
    const run = await t.start(sql, "sweep");
    const service = db.connect("service_role");
    await sql`select scheduler.register_budget('api', 10, '1 minute')`;
    await moveClock(sql, t.NOON);
    await service`select scheduler_reserve_tokens(${run}, 'api', 9, ${t.after(0.5)})`;
    const take = async (tokens: number, of = run) =>
      (await service`select scheduler_take_tokens(${of}, 'api', ${tokens}) as answer`)[0]!.answer;
    assert.deepEqual(await take(8), { granted: true, left: 2 });
    const [kept] = await sql`select job_name, tokens_left from scheduler.budget_reservations`;
    assert.deepEqual({ ...kept }, { job_name: "sweep", tokens_left: 1 });
    await service`select scheduler_report_budget('api', 1)`;
    assert.deepEqual(await take(2), {
      granted: false,
      from: "2026-03-02T12:01:00+00:00",
      wait_ms: 60_000,
    });
    await moveClock(sql, t.after(1));
    assert.deepEqual(await take(2), { granted: true, left: 8 });
    const nobody = crypto.randomUUID();
    for (
      const call of [
        take(1, nobody),
        service`select scheduler_reserve_tokens(${nobody}, 'api', 1, ${t.after(9)})`,
      ]
    ) {
      const error = await refusal(call);
      assert.deepEqual([error.code, error.message], ["SD002", `there is no run ${nobody}`]);
    }
  },
);

for (
  const [how, call] of [
    ["refilled", "scheduler.refill_budget('api', 'ann', $1)"],
    [
      "registered with more",
      "scheduler.register_budget('api', 2, '1 hour') where $1::timestamptz is not null",
    ],
  ] as const
) {
  t.ledgerTest(
    `what waits for tokens goes with the next pulse after the budget was ${how}`,
    async ({ sql }) => {
      await sql`select scheduler.register_budget('api', 1, '1 hour')`;
      await sql`select scheduler.register_job('job', null, budgets => '{"api": 1}')`;
      await t.pulse(sql, t.NOON);
      await sql`select scheduler.take_tokens('api', 1, null, ${t.NOON})`;
      await sql`select scheduler.enqueue_runs('job', '[{}]', null, ${t.after(0.1)})`;
      await t.pulse(sql, t.after(0.2));
      assert.deepEqual(await t.summary(sql, "job"), ["queued enqueued 1"]);
      await sql.unsafe(`select ${call}`, [t.after(0.3)]);
      await t.pulse(sql, t.after(0.4));
      assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
      const audited = await sql`select verb, subject_type, subject, author from scheduler_audit
        where verb not like 'register%'`;
      assert.deepEqual(
        [...audited],
        how === "refilled"
          ? [{ verb: "refill_budget", subject_type: "budget", subject: "api", author: "ann" }]
          : [],
      );
    },
  );
}

t.ledgerTest(
  "a budget that jobs need is neither taken out nor made smaller than they need",
  async ({ sql }) => {
    await sql`select scheduler.register_budget('api', 5, '1 minute')`;
    await t.register(sql, "job", { budgets: { api: 3 } });
    await t.register(sql, "other", { budgets: { api: 2 } });
    await assert.rejects(
      sql`select scheduler.unregister_budget('api')`,
      { code: "SD205", message: "cannot take the budget api out: it has jobs: job, other" },
    );
    await assert.rejects(
      sql`select scheduler.register_budget('api', 2, '1 minute')`,
      /cannot register the budget api: tokens must be at least 3, which the job job needs at once, got 2/,
    );
    await sql`select scheduler.register_budget('api', 3, '1 minute')`;
    await t.register(sql, "job");
    await t.register(sql, "other");
    await sql`select scheduler.unregister_budget('api')`;
  },
);
