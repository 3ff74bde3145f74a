import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

type Facts = Record<string, unknown>;

/** For each rule of a job: its threshold, and facts for which it holds and for which it does not. */
const JOB_RULES: Record<string, { threshold: number; holds: Facts[]; not: Facts[] }> = {
  failed: {
    threshold: 1,
    holds: [{ failed_in_row: 1 }, { failed_in_row: 2, is_retrying: true }],
    not: [{ failed_in_row: 0 }, { failed_in_row: 1, is_retrying: true }, {
      failed_in_row: 5,
      continuous: true,
    }],
  },
  failing: {
    threshold: 3,
    holds: [{ failed_in_row: 3 }, { failed_in_row: 9, continuous: true }],
    not: [{ failed_in_row: 2 }, {}],
  },
  missed: { threshold: 1, holds: [{ missed_in_row: 1 }], not: [{ missed_in_row: 0 }, {}] },
  late: {
    threshold: 3600,
    holds: [{ waiting_seconds: 3601 }],
    not: [{ waiting_seconds: 3600 }, { waiting_seconds: null }],
  },
  overdue: {
    threshold: 600,
    holds: [{ overdue_seconds: 601 }],
    not: [{ overdue_seconds: 600 }, { overdue_seconds: -60 }, {}],
  },
  continuous_down: { threshold: 1, holds: [{ is_down: true }], not: [{ is_down: false }, {}] },
  breaker_open: {
    threshold: 1,
    holds: [{ breaker_state: "open" }, { breaker_state: "half-open" }],
    not: [{ breaker_state: "closed" }, {}],
  },
  dependency_timeout: {
    threshold: 1,
    holds: [{ dependency_timed_out: true }],
    not: [{ dependency_timed_out: false }],
  },
  long_running: {
    threshold: 3,
    holds: [{ running_seconds: 61, usual_seconds: 1 }, {
      running_seconds: 301,
      usual_seconds: 100,
    }],
    not: [
      { running_seconds: 60, usual_seconds: 1 },
      { running_seconds: 300, usual_seconds: 100 },
      { running_seconds: 9999 },
      { usual_seconds: 1 },
    ],
  },
  outgrows: {
    threshold: 14,
    holds: [{ outgrows_in_days: 14 }, { outgrows_in_days: 0 }, { outgrows_in_days: -1 }],
    not: [{ outgrows_in_days: 15 }, {}],
  },
  pulse_errors: { threshold: 1, holds: [{ pulse_error: "it broke" }], not: [{}] },
};

t.ledgerTest("each rule of a job holds for these facts and not for those", async ({ sql }) => {
  const holds = async (rule: string, threshold: number, facts: Facts) =>
    (await sql`
      select scheduler.job_rule_holds(${rule}, ${threshold}, jsonb_populate_record(null::scheduler.alert_facts, ${
      sql.json({ job_name: "a", continuous: false, is_retrying: false, ...facts } as never)
    })) as holds`)[0]!.holds;
  for (const [rule, { threshold, holds: yes, not }] of Object.entries(JOB_RULES)) {
    for (const facts of yes) {
      assert.equal(await holds(rule, threshold, facts), true, `${rule} ${JSON.stringify(facts)}`);
    }
    for (const facts of not) {
      assert.equal(await holds(rule, threshold, facts), false, `${rule} ${JSON.stringify(facts)}`);
    }
  }
  const rules = (await sql`select rule from scheduler_alert_rules order by rule`).map((row) =>
    row.rule
  );
  assert.deepEqual([...Object.keys(JOB_RULES), "budget_exhausted", "queue_still"].sort(), rules);
});

t.ledgerTest(
  "a budget is exhausted below its share, a small one when none is left",
  async ({ sql }) => {
    for (
      const [percent, tokens, left, holds] of [
        [5, 100, 5, false],
        [5, 100, 4, true],
        [5, 10, 1, false],
        [5, 10, 0, true],
        [0, 10, 0, true],
        [0, 10, 1, false],
      ] as const
    ) {
      const is = await t.value(sql, "scheduler.budget_rule_holds($1, $2, $3)", [
        percent,
        tokens,
        left,
      ]);
      assert.equal(is, holds, `${left} of ${tokens} at ${percent} %`);
    }
  },
);

t.ledgerTest("pg_net stands still while requests wait and no answer comes", async ({ sql }) => {
  const at = (seconds: number | null) => seconds === null ? null : t.after(seconds / 60);
  for (
    const [since, queued, answered, now, expected] of [
      [null, false, null, 100, null],
      [50, false, 60, 100, null],
      [null, true, null, 100, 100],
      // An answer of before the requests says nothing of them.
      [null, true, 20, 100, 100],
      [50, true, 20, 100, 50],
      [50, true, 70, 100, 70],
      // A clock that went back.
      [500, true, null, 100, 100],
    ] as const
  ) {
    const is = await t.value(sql, "scheduler.still_since($1, $2, $3, $4)", [
      at(since),
      queued,
      at(answered),
      at(now),
    ]);
    assert.deepEqual(is, at(expected), JSON.stringify([since, queued, answered, now]));
  }
  for (const [since, holds] of [[null, false], [0, false], [-120, false], [-121, true]] as const) {
    const is = await t.value(sql, "scheduler.queue_rule_holds(120, $1, $2)", [at(since), at(0)]);
    assert.equal(is, holds, `${since}`);
  }
});

t.ledgerTest("a rule is changed by a verb that leaves a row in the audit log", async ({ sql }) => {
  await sql`select scheduler.set_alert_rule('late', 'a slow house', 'Ada', 60, p_enabled => false)`;
  const [rule] = await sql`select * from scheduler_alert_rules where rule = 'late'`;
  assert.deepEqual([rule!.threshold, rule!.severity, rule!.enabled], ["60", "warning", false]);
  const [audit] = await sql`select * from scheduler_audit where verb = 'set_alert_rule'`;
  assert.deepEqual([audit!.subject, audit!.before.threshold, audit!.after.threshold], [
    "late",
    3600,
    60,
  ]);
  for (
    const [call, fault] of [
      ["'nothing', 'why', 'who'", /there is none of that name/],
      ["'late', 'why', 'who', p_severity => 'loud'", /severity must be/],
      ["'late', 'why', 'who', -1", /threshold must be/],
      ["'late', 'why', 'who', p_for_seconds => 100000", /for_seconds from 0/],
      ["'late', ' ', 'who'", /reason and author must be given/],
    ] as const
  ) {
    const error = await refusal(sql.unsafe(`select scheduler.set_alert_rule(${call})`));
    assert.equal(error.code, "22023");
    assert.match(error.message, fault);
  }
});
