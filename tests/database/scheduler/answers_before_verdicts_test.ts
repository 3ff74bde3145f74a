// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

// Entries of one minute start together: a dispatch may come before the pulse that would have read the answer.
const cases: [string, Record<string, unknown>, t.Answer, string[]][] = [
  ["not deployed", { max_attempts: 1 }, { status: 404 }, ["failed cron 1 not_found"]],
  ["a wrong secret", { max_attempts: 1 }, { status: 401 }, ["failed cron 1 unauthorized"]],
  [
    "a URL that answers 200",
    { target: "https://example.test/", timeout_seconds: 5 },
    { status: 200 },
    ["completed cron 1 ok"],
  ],
];
for (const [name, values, answer, first] of cases) {
  t.ledgerTest(`${name}: dispatch hears the answer before it judges or skips`, async ({ sql }) => {
    await t.register(sql, "job", values);
    const id = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, id, answer, t.after(1 / 60));
    await t.dispatch(sql, "job", t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), [...first, "dispatched cron 1"]);
    assert.equal((await t.requests(sql)).length, 1, "what answered is not sent again");
  });

  t.ledgerTest(`${name}: also when nobody looked until it seems lost`, async ({ sql }) => {
    await t.register(sql, "job", values);
    const id = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, id, answer, t.after(1 / 60));
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual((await t.summary(sql, "job"))[0], first[0]);
    assert.deepEqual((await t.summary(sql, "job")).at(-1), "dispatched cron 1");
  });
}

t.ledgerTest(
  "a run that completed keeps its 202, though its job is held at every pulse",
  async (db) => {
    const { sql } = db;
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.answer(sql, id, { status: 202, headers: { "x-run-id": id } }, t.after(0.01));
    await t.finish(sql, id, "completed", t.after(0.02));
    const other = t.impatient(db);
    await sql.begin(async (transaction) => {
      await transaction`select from scheduler_jobs for update`;
      for (const minutes of [0.1, 5, 10]) await t.pulse(other, t.after(minutes));
    });
    const row = await t.run(sql, id);
    assert.deepEqual([row.verdict, row.response_status], ["ok", 202]);
  },
);

t.ledgerTest("an unread answer is not given up, however old it is", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "completed", t.after(0.02));
  await t.answer(sql, id, { status: 202 }, t.after(0.01));
  await sql`select scheduler.close_unanswered(${t.after(60)})`;
  assert.deepEqual((await t.run(sql, id)).verdict, "ok");
  await t.pulse(sql, t.after(60));
  assert.deepEqual((await t.run(sql, id)).response_status, 202);
});

t.ledgerTest(
  "a request that pg_net sent twice does not contradict the run, whichever is read first",
  async ({ sql }) => {
    for (const readFirst of [true, false]) {
      const name = readFirst ? "read-first" : "read-last";
      await t.register(sql, name, { schedule: "0 12 * * *" });
      const id = await t.start(sql, name);
      await t.begin(sql, id, t.NOON, name);
      const content = `{"error": {"code": "run_refused", "message": "Cannot begin run ${id}"}}`;
      await t.answer(sql, id, { status: 409, headers: { "x-run-id": id }, content }, t.after(0.01));
      if (readFirst) await t.pulse(sql, t.after(0.1));
      await t.finish(sql, id, "completed", t.after(0.2));
      await t.pulse(sql, t.after(0.3));
      assert.equal((await t.run(sql, id)).verdict, "ok_unanswered");
    }
  },
);

t.ledgerTest("jobs that are due together leave in one transaction, up to 200", async ({ sql }) => {
  for (let job = 0; job < 203; job++) {
    await t.register(sql, `job-${job}`, { schedule: "0 12 * * *" });
  }
  const first = (await t.dispatch(sql, "job-7"))!;
  assert.equal((await t.run(sql, first)).job_name, "job-7");
  assert.equal((await t.requests(sql)).length, 200);
  assert.ok(await t.start(sql, "job-202"));
  await t.pulse(sql, t.after(0.1));
  assert.equal((await t.requests(sql)).length, 203);
  const [left] = await sql`select count(*)::int as runs from scheduler_runs where attempt = 1`;
  assert.equal(left!.runs, 203);
});

t.ledgerTest(
  "a dispatch takes along jobs whose rows are free, and waits for its own",
  async (db) => {
    await t.register(db.sql, "mine");
    await t.register(db.sql, "held");
    await t.register(db.sql, "free");
    const other = t.impatient(db);
    await db.sql.begin(async (transaction) => {
      await transaction`select from scheduler_jobs where name = 'held' for update`;
      assert.ok(await t.dispatch(other, "mine"));
    });
    assert.deepEqual(await t.summary(db.sql, "held"), []);
    assert.deepEqual(await t.summary(db.sql, "free"), ["dispatched cron 1"]);
    assert.ok(await t.dispatch(other, "held"));
  },
);

t.ledgerTest(
  "the occurrence of a minute waits behind a late run that the pulse started a moment before",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/2 * * * *" }, t.after(-2));
    await t.pulse(sql, t.after(-0.001));
    const [late] = await t.runs(sql, "job");
    await t.begin(sql, late!.id, t.after(-0.001));
    await t.dispatch(sql, "job");
    assert.deepEqual(await t.summary(sql, "job"), ["running catch_up 1", "queued cron 1"]);
    await t.heartbeat(sql, late!.id, t.after(1.9));
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual((await t.summary(sql, "job")).at(-1), "skipped cron 1", "one waits already");
    await t.finish(sql, late!.id, "completed", t.after(2.2));
    assert.deepEqual((await t.summary(sql, "job"))[1], "dispatched cron 1");
  },
);

t.ledgerTest(
  "an occurrence waits behind a run that the pulse started in its own minute, but late",
  async ({ sql }) => {
    // The server came up 13 seconds after the minute, and the pulse beat 10 seconds later.
    await t.register(sql, "job");
    await t.pulse(sql, t.after(23 / 60));
    const [late] = await t.runs(sql, "job");
    await t.begin(sql, late!.id, t.after(23 / 60));
    await t.dispatch(sql, "job", t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), ["running catch_up 1", "queued cron 1"]);
    await t.finish(sql, late!.id, "completed", t.after(78 / 60));
    // The one that waited was fired in time: the next one is turned away behind it.
    const [, waited] = await t.runs(sql, "job");
    await t.begin(sql, waited!.id, t.after(78 / 60));
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual(await t.summary(sql, "job"), [
      "completed catch_up 1 ok",
      "running cron 1",
      "skipped cron 1",
    ]);
  },
);

t.ledgerTest(
  "with misfire policy all every late occurrence within the grace runs, one after the other",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_policy: "all" }, t.after(-3));
    await t.dispatch(sql, "job");
    assert.deepEqual(await t.summary(sql, "job"), [
      "dispatched catch_up 1",
      "queued catch_up 1",
      "queued catch_up 1",
      "queued cron 1",
    ]);
    for (const row of await t.runs(sql, "job")) {
      await t.begin(sql, row.id, t.after(0.1));
      await t.finish(sql, row.id, "completed", t.after(0.2));
    }
    assert.ok((await t.runs(sql, "job")).every((row) => row.status === "completed"));
  },
);

t.ledgerTest("a heartbeat that stopped long before the deadline is stalled", async ({ sql }) => {
  await t.register(sql, "job", { max_attempts: 1, timeout_seconds: 600, schedule: "0 12 * * *" });
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.heartbeat(sql, id, t.after(2));
  // Nothing beat for an hour: the deadline is long over, and so was the heartbeat before it.
  await t.pulse(sql, t.after(60));
  assert.equal((await t.run(sql, id)).verdict, "stalled");
});

t.ledgerTest("a call by hand is not busy behind a request that was refused", async ({ sql }) => {
  const hands: [string, (now: Date) => Promise<unknown>][] = [
    ["run_now", (now) => t.value(sql, "scheduler.run_now('run_now', 'ann', null, $1)", [now])],
    ["by-hand", async (now) => {
      const begun = await t.value(
        sql,
        "scheduler.begin_manual_run('by-hand', null, '{}', '', $1)",
        [now],
      );
      assert.equal(begun.begun, true);
    }],
  ];
  for (const [name, call] of hands) {
    await t.register(sql, name, { schedule: "0 12 * * *", max_attempts: 1 });
    const id = await t.start(sql, name);
    await t.answer(sql, id, { status: 404 }, t.after(0.01));
    await call(t.after(0.02));
    assert.equal((await t.run(sql, id)).verdict, "not_found");
  }
});

t.ledgerTest("cancel_run leaves a run that was answered as it is", async ({ sql }) => {
  await t.register(sql, "url", { target: "https://example.test/", schedule: "0 12 * * *" });
  const id = (await t.dispatch(sql, "url"))!;
  await t.answer(sql, id, { status: 200 }, t.after(0.01));
  const said = await t.value(sql, "scheduler.cancel_run($1, 'why', 'Ada', $2)", [
    id,
    t.after(0.02),
  ]);
  assert.match(said, /is over already: completed \(ok\)/);
});

t.ledgerTest(
  "a registration with other times reads the answers before it records what came due",
  async ({ sql }) => {
    const [clock] = await sql`
      select date_trunc('minute', now()) - interval '1 minute' as at, extract(minute from now())::integer as minute`;
    // Its next occurrence is this minute, and not another one if that ends while the test runs.
    await t.register(
      sql,
      "job",
      { schedule: `${clock!.minute} * * * *`, max_attempts: 1 },
      clock!.at,
    );
    const id = await t.dispatch(sql, "job", clock!.at);
    await t.answer(sql, id!, { status: 404 }, t.after(0.01, clock!.at));
    await sql`select scheduler.register_job('job', '30 4 * * *')`;
    // Whether the second one counts as caught up depends on how old this minute is.
    const rows = await t.runs(sql, "job");
    assert.deepEqual(rows.map(({ status, verdict }) => [status, verdict]), [
      ["failed", "not_found"],
      ["dispatched", null],
    ]);
  },
);

t.ledgerTest(
  "a dispatch takes no late jobs along: their own entries or the pulse record them",
  async ({ sql }) => {
    await t.register(sql, "job");
    await t.register(sql, "late", {}, t.after(-4));
    await t.register(sql, "outage", {}, t.after(-525_600));
    await t.dispatch(sql, "job");
    assert.equal((await t.runs(sql, "late")).length, 5);
    assert.equal((await t.runs(sql, "outage")).length, 0);
    await t.dispatch(sql, "outage");
    assert.equal((await t.runs(sql, "outage")).at(-1)!.status, "dispatched");
  },
);
