import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

const MINUTE = { job: "job", when: "2026-03-02 12:00 UTC", now: "2026-03-02T12:01:00Z" };
const RUN = {
  ...MINUTE,
  kind: "run",
  origin: "cron",
  attempt: 1,
  max_attempts: 3,
  earlier: [],
  by_hand: [],
};

/** Facts, as scheduler.explain_facts gives them, and the sentence that they make. */
const cases: [facts: Record<string, unknown>, sentence: string][] = [
  [
    { ...RUN, status: "completed", meaning: "it ran to its end", duration_ms: 1540 },
    "job ran at 2026-03-02 12:00 UTC: it ran to its end, in 1.5 s on attempt 1 of 3.",
  ],
  [
    {
      ...RUN,
      status: "completed",
      meaning: "it ran to its end",
      origin: "enqueued",
      attempt: 2,
      earlier: [{ attempt: 1, verdict: "lost" }],
      by_hand: ["ok", "running"],
    },
    "job was enqueued and ran at 2026-03-02 12:00 UTC: it ran to its end on attempt 2 of 3 " +
    "(attempt 1: lost). It was also run by hand then: ok, running.",
  ],
  [
    {
      ...RUN,
      status: "running",
      max_attempts: 1,
      started_at: "2026-03-02T12:00:10Z",
      heartbeat_at: "2026-03-02T12:00:55Z",
    },
    "job is running for 2026-03-02 12:00 UTC since 50 s on its only attempt; its last heartbeat was 5 s ago.",
  ],
  [
    {
      ...RUN,
      status: "queued",
      waits: "for the next pulse",
      attempt: 4,
      max_attempts: 4,
      earlier: [
        { attempt: 1, verdict: "lost", error_message: "no answer\n came" },
        { attempt: 2, verdict: "misconfigured", error_message: "Vault has no secret" },
        { attempt: 3, verdict: "misconfigured", error_message: "Vault has no secret" },
      ],
    },
    "job has not run for 2026-03-02 12:00 UTC yet: attempt 4 of 4 waits for the next pulse " +
    "(attempt 1: lost: no answer came, attempt 2: misconfigured, attempt 3: misconfigured: Vault has no secret).",
  ],
  [
    { ...RUN, status: "queued", waits: "for the next pulse" },
    "job has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits for the next pulse.",
  ],
  [
    {
      ...RUN,
      status: "failed",
      origin: "manual",
      max_attempts: 1,
      meaning: "the job itself failed",
      error_message: "no disk",
      remedy: "mend the job",
      again: "call it again",
    },
    "job was run by hand and failed at 2026-03-02 12:00 UTC on its only attempt: the job itself failed " +
    "(no disk). What to do: mend the job. Then call it again.",
  ],
  [
    {
      ...RUN,
      status: "failed",
      verdict: "lost",
      meaning: "no answer",
      error_message: "no answer",
      remedy: "nothing",
      again: "select x",
    },
    "job failed at 2026-03-02 12:00 UTC on attempt 1 of 3: no answer. What to do: nothing. To run it again: select x.",
  ],
  [
    { ...RUN, status: "skipped", skip_reason: "why" },
    "job was skipped at 2026-03-02 12:00 UTC: why.",
  ],
  [
    { ...RUN, status: "cancelled", error_message: "cancelled by ann: why" },
    "job was cancelled at 2026-03-02 12:00 UTC by ann: why.",
  ],
  [
    { ...MINUTE, kind: "disabled" },
    "job does not run at 2026-03-02 12:00 UTC: it is disabled; register it with enabled => true.",
  ],
  [
    {
      ...MINUTE,
      kind: "to_come",
      wait_seconds: 5400,
      note: "will be skipped: paused by ann: move",
    },
    "job is due at 2026-03-02 12:00 UTC, in 90 minutes, and will be skipped: paused by ann: move.",
  ],
  [
    { ...MINUTE, kind: "not_recorded", pulse_age_seconds: null, error: null },
    "job was due at 2026-03-02 12:00 UTC and is not in the ledger yet: " +
    "neither pg_cron nor the pulse has looked at it; the last pulse was never.",
  ],
  [
    { job: "nope", kind: "unknown_job", jobs: ["a", "b"] },
    "There is no job named 'nope'; the jobs are: a, b.",
  ],
];

t.ledgerTest("explain_sentence() makes one sentence of the facts alone", async ({ sql }) => {
  for (const [facts, sentence] of cases) {
    assert.equal(await t.value(sql, "scheduler.explain_sentence($1)", [facts]), sentence);
  }
});

t.ledgerTest(
  "explain_json() has the facts that a page draws, and the sentence",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 1 });
    const id = await t.dispatch(sql, "job", t.NOON);
    await t.begin(sql, id!, t.after(1));
    await t.finish(sql, id!, "failed", t.after(3));
    const told = await t.value(sql, "scheduler.explain_json('job', $1, $2)", [
      t.NOON,
      t.after(4),
    ]);
    assert.deepEqual([told.job, told.kind, told.status, told.verdict], [
      "job",
      "run",
      "failed",
      "job_error",
    ]);
    assert.equal(told.run_id, id);
    assert.equal(told.meaning, "the job itself failed");
    assert.match(told.again, /^select scheduler\.retry_run/);
    assert.equal(
      told.sentence,
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.NOON, t.after(4)]),
    );
  },
);
