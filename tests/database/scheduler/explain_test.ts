import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const explain = (sql: Sql, now: Date, at: Date = t.NOON, name = "job"): Promise<string> =>
  t.value(sql, "scheduler.explain($1, $2, $3)", [name, at, now]);

const noon = { schedule: "0 12 * * *" };

t.ledgerTest(
  "explain: no such job, not due, disabled, still to come, registered later",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * mon", time_zone: "Europe/Berlin" });
    assert.equal(
      await explain(sql, t.NOON, t.NOON, "nobody"),
      "There is no job named 'nobody'; the jobs are: job.",
    );
    assert.equal(
      await explain(sql, t.NOON),
      "job was not due at 2026-03-02 13:00 Europe/Berlin: its schedule is '0 12 * * mon' in Europe/Berlin; " +
        "before that it is due at 2026-03-02 12:00 Europe/Berlin, after that at 2026-03-09 12:00 Europe/Berlin.",
    );
    await t.register(sql, "job", noon);
    assert.equal(
      await explain(sql, t.after(-90), t.after(0.5)),
      "job is due at 2026-03-02 12:00 UTC, in 90 minutes.",
    );
    await sql`select scheduler.pause('job', 'moving', 'Ada', null, ${t.after(-90)})`;
    assert.equal(
      await explain(sql, t.after(-90)),
      "job is due at 2026-03-02 12:00 UTC, in 90 minutes, and will be skipped: paused by Ada: moving.",
    );
    await sql`update scheduler_jobs set created_at = ${t.after(30)}`;
    assert.equal(
      await explain(sql, t.after(60)),
      "job did not run at 2026-03-02 12:00 UTC: it was registered only at 2026-03-02 12:30 UTC.",
    );
    await sql`update scheduler_jobs set created_at = ${t.after(-30)}, enabled = false`;
    assert.equal(
      await explain(sql, t.after(60)),
      "job does not run at 2026-03-02 12:00 UTC: it is disabled; register it with enabled => true.",
    );
  },
);

t.ledgerTest(
  "explain: an occurrence was due and not recorded, or its row is gone",
  async ({ sql }) => {
    await t.register(sql, "job", noon);
    assert.equal(
      await explain(sql, t.after(5)),
      "job was due at 2026-03-02 12:00 UTC and is not in the ledger yet: neither pg_cron nor the pulse " +
        "has looked at it; the last pulse was never.",
    );
    await sql`update scheduler.pulse_state set last_pulse_at = ${
      t.after(4)
    }, errors = '{"job": "no such zone"}'`;
    assert.match(
      await explain(sql, t.after(5)),
      /the last pulse was 60 s ago, and says: no such zone\.$/,
    );
    await t.dispatch(sql, "job");
    await sql`delete from scheduler_runs`;
    assert.equal(
      await explain(sql, t.after(5)),
      "job has no row for 2026-03-02 12:00 UTC: it was registered with other times then, or the row was pruned " +
        "(successes after 14 days, failures after 90).",
    );
  },
);

t.ledgerTest("explain: the life of a run that fails, is retried and completes", async ({ sql }) => {
  await t.register(sql, "job", noon);
  const id = (await t.dispatch(sql, "job"))!;
  assert.equal(
    await explain(sql, t.NOON),
    "job was sent for 2026-03-02 12:00 UTC at 12:00:00 on attempt 1 of 3 and has not begun yet; " +
      "without a receipt it is judged at 12:01:00.",
  );
  await t.begin(sql, id, t.after(0.1));
  await t.heartbeat(sql, id, t.after(0.5));
  assert.equal(
    await explain(sql, t.after(0.6)),
    "job is running for 2026-03-02 12:00 UTC since 30 s on attempt 1 of 3; its last heartbeat was 6 s ago.",
  );
  await t.finish(sql, id, "failed", t.after(1));
  await sql`update scheduler_runs set run_after = ${t.after(1.5)} where status = 'queued'`;
  assert.equal(
    await explain(sql, t.after(1)),
    "job has not run for 2026-03-02 12:00 UTC yet: attempt 2 of 3 waits for the first pulse after 12:01:30 (attempt 1: job_error: it broke).",
  );
  assert.match(
    await explain(sql, t.after(2)),
    /waits for the next pulse \(attempt 1: job_error: it broke\)\.$/,
  );
  await t.pulse(sql, t.after(2));
  const retry = (await t.runs(sql, "job"))[1]!.id;
  await t.begin(sql, retry, t.after(2));
  await t.finish(sql, retry, "completed", t.after(2.02));
  assert.equal(
    await explain(sql, t.after(3)),
    "job ran at 2026-03-02 12:00 UTC: it ran to its end, in 1.2 s on attempt 2 of 3 (attempt 1: job_error: it broke).",
  );
});

t.ledgerTest("explain says why an earlier attempt failed", async ({ sql }) => {
  await t.register(sql, "job", { max_attempts: 3 });
  await t.setSecret(sql, "project_url", null);
  await t.dispatch(sql, "job");
  assert.match(
    await explain(sql, t.NOON),
    /attempt 2 of 3 waits .* \(attempt 1: misconfigured: Vault has no secret named project_url: .+\)\.$/,
  );
});

t.ledgerTest("explain: failed for good, by hand, cancelled", async ({ sql }) => {
  await t.register(sql, "job", { ...noon, max_attempts: 1 });
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "failed", t.NOON);
  assert.equal(
    await explain(sql, t.after(1)),
    "job failed at 2026-03-02 12:00 UTC on its only attempt: the job itself failed (it broke). " +
      "What to do: read error_message and error_detail, and mend the job. " +
      `To run it again: select scheduler.retry_run('${id}', '<your name>').`,
  );
  const manual = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(7.5)]);
  await sql`update scheduler_runs set created_at = ${t.after(7.5)} where id = ${manual}`;
  await sql`select scheduler.release_lock('job', 'wrong payload', 'ann', ${t.after(8)})`;
  assert.equal(
    await explain(sql, t.after(9), t.after(7)),
    "job was cancelled at 2026-03-02 12:07 UTC: its lock was released by ann: wrong payload.",
  );
  await sql`
    update scheduler_runs set status = 'completed', verdict = 'ok', duration_ms = 1500 where id = ${manual}`;
  assert.equal(
    await explain(sql, t.after(9), t.after(7)),
    "job was run by hand at 2026-03-02 12:07 UTC: it ran to its end, in 1.5 s on its only attempt.",
  );
});

t.ledgerTest("explain: skipped, missed, caught up, waiting", async ({ sql }) => {
  const hourly = { schedule: "0 * * * *" };
  await t.register(sql, "job", { ...hourly, overlap_policy: "queue", timeout_seconds: 86_400 });
  await t.pulse(sql, t.after(60 + 30));
  assert.equal(
    await explain(sql, t.after(95)),
    "job was missed at 2026-03-02 12:00 UTC: nothing fired it at its time (misfire policy once: made up for by a later run). " +
      "What to do: was the database down, or does pg_cron stand still? See the runbook.",
  );
  const caughtUp = (await t.runs(sql, "job"))[1]!.id;
  await t.begin(sql, caughtUp, t.after(91));
  await sql`update scheduler_locks set expires_at = ${t.after(500)}`;
  for (const minute of [120, 180]) {
    await t.heartbeat(sql, caughtUp, t.after(minute - 0.5));
    await t.dispatch(sql, "job", t.after(minute));
  }
  assert.equal(
    await explain(sql, t.after(181), t.after(120)),
    "job has not run for 2026-03-02 14:00 UTC yet: attempt 1 of 3 waits for the run before it to end.",
  );
  assert.equal(
    await explain(sql, t.after(181), t.after(180)),
    `job was skipped at 2026-03-02 15:00 UTC: queue full: run ${caughtUp} was at work and another one was waiting.`,
  );
  await t.finish(sql, caughtUp, "completed", t.after(181));
  assert.match(
    await explain(sql, t.after(181), t.after(60)),
    /^job was caught up at 2026-03-02 13:00 UTC: it ran to its end/,
  );
});

t.ledgerTest("explain answers for any moment there is", async ({ sql }) => {
  await t.register(sql, "job");
  const ask = (at: string) =>
    sql.unsafe("select scheduler.explain('job', $1::text::timestamptz) as said", [at]);
  for (const at of ["3999-01-01 BC", "0044-03-15 BC", "1970-01-01", "9999-12-31", "199999-12-31"]) {
    assert.match((await ask(at))[0]!.said, /^job .*\.$/);
  }
  for (const at of ["infinity", "-infinity", "4713-01-01 BC", "294276-12-31"]) {
    const error = await refusal(ask(at));
    assert.equal(error.code, "22023");
    assert.match(error.message, /^cannot explain job: at must be a moment, got -?(infinity|[0-9])/);
  }
});

t.ledgerTest("explain: nothing of a job is due before it was registered", async ({ sql }) => {
  await t.register(sql, "job", noon);
  await sql`update scheduler_jobs set created_at = ${t.after(-30)}`;
  assert.equal(
    await explain(sql, t.after(-20), t.after(-24 * 60)),
    "job did not run at 2026-03-01 12:00 UTC: it was registered only at 2026-03-02 11:30 UTC.",
  );
  assert.equal(
    await explain(sql, t.after(-20), t.after(-25)),
    "job was not due at 2026-03-02 11:35 UTC: its schedule is '0 12 * * *' in UTC; " +
      "it was registered at 2026-03-02 11:30 UTC and is due first at 2026-03-02 12:00 UTC.",
  );
  assert.match(
    await explain(sql, t.after(-20), t.after(-10)),
    /^job is not due at 2026-03-02 11:50 UTC/,
  );
  for (const values of [{ enabled: false }, { schedule: null }]) {
    await sql`update scheduler_jobs set cron_entry = null, next_run_at = null`;
    await sql`update scheduler_jobs set ${sql(values)}`;
    assert.match(
      await explain(sql, t.after(-20), t.after(-24 * 60)),
      /^job did not run at 2026-03-01 12:00 UTC: it was registered only at/,
    );
  }
});

t.ledgerTest(
  "explain: a run that says nothing of when it began has no duration",
  async ({ sql }) => {
    await t.register(sql, "job", { ...noon, target: "https://hook.example.test/" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, id, { status: 200 }, t.after(0.5));
    await t.pulse(sql, t.after(1));
    assert.equal(
      await explain(sql, t.after(2)),
      "job ran at 2026-03-02 12:00 UTC: it ran to its end on attempt 1 of 3.",
    );
  },
);

t.ledgerTest(
  "explain: what to do about a failure fits what brought the run about",
  async ({ sql }) => {
    const fail = async (run: string, at: Date) => {
      await t.begin(sql, run, at);
      await t.finish(sql, run, "failed", at, false);
    };
    const values = { ...noon, overlap_policy: "allow", misfire_grace_seconds: 0, max_attempts: 2 };
    await t.register(sql, "job", values, t.after(-24 * 60));
    await t.pulse(sql, t.after(-60));
    const [caughtUp] = await t.runs(sql, "job");
    await fail(caughtUp!.id, t.after(-60));
    const again = (id: string) =>
      ` To run it again: select scheduler.retry_run('${id}', '<your name>').`;
    const said = await explain(sql, t.NOON, t.after(-24 * 60));
    assert.match(said, /^job was caught up and failed at 2026-03-01 12:00 UTC/);
    assert.ok(said.endsWith(again(caughtUp!.id)), said);

    await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.after(-50)]);
    const [, enqueued] = await t.runs(sql, "job");
    await fail(enqueued!.id, t.after(-50));
    assert.match(
      await explain(sql, t.NOON, t.after(-50)),
      /^job was enqueued and failed at/,
    );

    const called = await t.value(sql, "scheduler.begin_manual_run('job', null, null, 'me', $1)", [
      t.after(-40),
    ]);
    await t.finish(sql, called.run_id, "failed", t.after(-40));
    assert.equal(
      await explain(sql, t.NOON, t.after(-40)),
      "job was run by hand and failed at 2026-03-02 11:20 UTC on its only attempt: the job itself failed (it broke). " +
        "What to do: read error_message and error_detail, and mend the job. Then call it again.",
    );

    const byHand = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(5.3)]);
    await t.begin(sql, byHand, t.after(5.3));
    await t.finish(sql, byHand, "failed", t.after(5.4));
    await t.pulse(sql, t.after(20));
    const retry = (await t.runs(sql, "job")).find((row) => row.trigger === "retry")!;
    await fail(retry.id, t.after(20));
    const retried = await explain(sql, t.after(21), t.after(5));
    assert.match(
      retried,
      /^job was run by hand and failed at 2026-03-02 12:05 UTC on attempt 2 of 2 \(attempt 1: job_error: it broke\): /,
    );
    assert.ok(retried.endsWith(again(retry.id)), retried);
    await sql`select scheduler.unregister_job('job')`;
    assert.doesNotMatch(await explain(sql, t.after(21), t.after(5)), /retry_run/);
  },
);

t.ledgerTest(
  "explain speaks of the occurrence, not of a retry by hand in its minute",
  async ({ sql }) => {
    await t.register(sql, "job", { ...noon, overlap_policy: "allow", max_attempts: 2 });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "completed", t.NOON);
    const byHand = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(0.3)]);
    await t.begin(sql, byHand, t.after(0.3));
    await t.finish(sql, byHand, "failed", t.after(0.4));
    assert.equal(
      await explain(sql, t.after(1)),
      "job ran at 2026-03-02 12:00 UTC: it ran to its end, in 0.0 s on attempt 1 of 2. It was also run by hand then: job_error.",
    );
  },
);

t.ledgerTest("explain: a payload that was refused is not tried once more", async ({ sql }) => {
  const refuse = async (id: string, at: Date) => {
    await t.answer(sql, id, { status: 400 }, at);
    await t.pulse(sql, at);
  };
  await t.register(sql, "job", noon);
  await refuse((await t.dispatch(sql, "job"))!, t.after(0.2));
  assert.match(
    await explain(sql, t.after(1)),
    /register the job again with a right one\. Then: select scheduler\.run_now\('job', 'who'\)\.$/,
  );
  const byHand = await t.value(sql, "scheduler.run_now('job', 'ann', '{\"a\": 1}', $1)", [
    t.after(5),
  ]);
  await refuse(byHand, t.after(5.2));
  assert.match(await explain(sql, t.after(6), t.after(5)), /again with a right one\.$/);
});

t.ledgerTest("explain: an occurrence that was missed with many others", async ({ sql }) => {
  await t.register(sql, "job", { misfire_policy: "skip" });
  await t.pulse(sql, t.after(3000));
  const gap = (await t.runs(sql, "job")).find((row) => row.occurrences > 1)!;
  const sentence =
    `job missed ${gap.occurrences.toLocaleString("en")} occurrences from 2026-03-02 12:00 UTC to ` +
    `${
      gap.scheduled_until.toISOString().slice(0, 16).replace("T", " ")
    } UTC: nothing fired it at its time, misfire policy skip. ` +
    `They have one row, ${gap.id}. What to do: was the database down, or does pg_cron stand still? See the runbook.`;
  for (const minute of [0, 1, 1234]) {
    assert.equal(await explain(sql, t.after(3000), t.after(minute)), sentence);
  }
  const error = await refusal(t.value(sql, "scheduler.retry_run($1, 'Ada')", [gap.id]));
  assert.equal(error.code, "SD202");
  assert.match(error.message, /its row stands for [0-9],[0-9]{3} occurrences$/);
});

t.ledgerTest(
  "explain: what to do about a failure of a URL speaks of no function",
  async ({ sql }) => {
    await t.register(sql, "job", {
      ...noon,
      target: "https://hook.example.test/",
      overlap_policy: "allow",
    });
    const advice = async (answer: t.Answer, at: Date) => {
      const id = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [at]);
      await sql`update scheduler_runs set max_attempts = 1 where id = ${id}`;
      await t.answer(sql, id, answer, at);
      await t.pulse(sql, at);
      return (await explain(sql, at, at)).split("What to do: ")[1]!;
    };
    for (const [index, status] of [400, 401, 403, 404, 429, 500, 503, 504, 546].entries()) {
      assert.doesNotMatch(
        await advice({ status }, t.after(-60 + index)),
        /CRON_SECRET|supabase|function|boot|schedules/,
        String(status),
      );
    }
    assert.match(
      await advice({ error: "Couldn't resolve host name" }, t.after(-10)),
      /^check the host of the URL; response_error has the reason\. To run it again: /,
    );
  },
);
