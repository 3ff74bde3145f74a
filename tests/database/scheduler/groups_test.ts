import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { seededRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const at = (minutes: number) => t.after(minutes);
const ENQUEUED = { schedule: null, overlap_policy: "allow", group_name: "g" };

const group = (sql: Sql, limit: number | null, name = "g") =>
  sql`select scheduler.register_group(${name}, parallel_limit => ${limit})`;

const enqueue = (sql: Sql, job: string, count: number, now: Date = t.NOON, priority = 0) =>
  t.value(sql, "scheduler.enqueue_runs($1, $2::jsonb, null, $3)", [
    job,
    Array(count).fill({ priority }),
    now,
  ]);

const underWay = async (sql: Sql): Promise<Row[]> => [
  ...await sql`
    select * from scheduler_runs where status in ('dispatched', 'running') order by dispatched_at, scheduled_for`,
];

const names = async (sql: Sql) => (await underWay(sql)).map((row) => row.job_name).sort();

async function complete(sql: Sql, run: Row, now: Date): Promise<void> {
  await t.begin(sql, run.id, now, run.function_name);
  await t.finish(sql, run.id, "completed", now);
}

t.ledgerTest(
  "no more runs of a group than its limit are under way, and the rest says so",
  async ({ sql }) => {
    await group(sql, 2);
    for (const name of ["a", "b", "c"]) {
      await t.register(sql, name, { schedule: "0 * * * *", group_name: "g" });
    }
    await t.dispatch(sql, "a");
    assert.deepEqual(await names(sql), ["a", "b"]);
    const [c] = await t.runs(sql, "c");
    assert.deepEqual([c!.status, c!.waiting.for, c!.waiting.name], ["queued", "group", "g"]);
    assert.equal(
      await t.value(sql, "scheduler.explain('c', $1, $1)", [t.NOON]),
      "c has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits for one of the runs of the group g to end.",
    );
    await sql.begin(async (transaction) => {
      await t.begin(transaction, (await t.runs(sql, "a"))[0]!.id, at(1), "a");
      await t.finish(transaction, (await t.runs(sql, "a"))[0]!.id, "failed", at(1));
      assert.deepEqual(await t.summary(transaction, "c"), ["dispatched cron 1"]);
    });
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("a freed slot goes to the highest priority, whichever job has it", async ({ sql }) => {
  await group(sql, 1);
  for (const name of ["a", "b", "c", "d"]) await t.register(sql, name, ENQUEUED);
  await enqueue(sql, "a", 2);
  await enqueue(sql, "b", 1, at(0.1), 5);
  await enqueue(sql, "c", 1, at(0.2), 9);
  await enqueue(sql, "d", 1, at(0.3), -3);
  const order: string[] = [];
  for (let [next] = await underWay(sql); next; [next] = await underWay(sql)) {
    order.push(next.job_name);
    await complete(sql, next, at(1));
  }
  assert.equal(order.join(""), "acbad");
});

t.ledgerTest("a group that is resumed sends by priority, whichever job has it", async ({ sql }) => {
  await group(sql, 3);
  for (const name of ["a", "b"]) await t.register(sql, name, ENQUEUED);
  await sql`select scheduler.pause_group('g', 'why', 'ann', p_now => ${t.NOON})`;
  await enqueue(sql, "a", 4);
  await enqueue(sql, "b", 1, at(0.1), 10);
  await enqueue(sql, "b", 1, at(0.2), 5);
  await enqueue(sql, "b", 1, at(0.3), -5);
  await sql`select scheduler.resume_group('g', 'ann', ${at(1)})`;
  assert.deepEqual(await names(sql), ["a", "b", "b"]);
  const left =
    await sql`select distinct waiting ->> 'for' as waits from scheduler_runs where status = 'queued'`;
  assert.deepEqual(left.map((row) => row.waits), ["group"]);
  await t.assertInvariants(sql);
});

t.ledgerTest("slots that are free at once go by priority in a pulse, too", async ({ sql }) => {
  await group(sql, 1);
  for (const name of ["a", "b", "z"]) {
    await t.register(sql, name, { ...ENQUEUED, priority_ages_after_seconds: 12 });
  }
  await enqueue(sql, "a", 4);
  await enqueue(sql, "z", 1, at(0.1), 2);
  await enqueue(sql, "b", 1, at(0.1), -1);
  await group(sql, 3);
  await t.pulse(sql, at(0.3));
  assert.deepEqual(await names(sql), ["a", "a", "z"]);
  await group(sql, 4);
  // What has waited for three steps goes before what came with two, also when that one asks.
  await enqueue(sql, "z", 1, at(0.6), 2);
  assert.deepEqual(await names(sql), ["a", "a", "a", "z"]);
  await t.assertInvariants(sql);
});

t.ledgerTest("occurrences that come due together take slots by priority", async ({ sql }) => {
  await group(sql, 2);
  for (const [index, name] of ["a", "b", "c", "z"].entries()) {
    await t.register(sql, name, { schedule: "0 * * * *", group_name: "g", priority: index });
  }
  await t.dispatch(sql, "a");
  assert.deepEqual(await names(sql), ["c", "z"]);
  for (const name of ["a", "b"]) {
    const [run] = await t.runs(sql, name);
    assert.deepEqual([run!.status, run!.waiting?.for], ["queued", "group"], name);
  }
  for (const run of await underWay(sql)) await complete(sql, run, at(1));
  for (const run of await underWay(sql)) await complete(sql, run, at(2));
  // The same where the pulse finds them.
  await t.pulse(sql, at(60.2));
  assert.deepEqual(await names(sql), ["c", "z"]);
  await t.assertInvariants(sql);
});

t.ledgerTest(
  "what follows a run and what waited for its slot go by priority together",
  async ({ sql }) => {
    await group(sql, 1);
    await t.register(sql, "root", { schedule: "0 * * * *", group_name: "g" });
    await t.register(sql, "waits", ENQUEUED);
    for (const [index, name] of ["x", "y"].entries()) {
      await t.register(sql, name, {
        schedule: null,
        depends_on: ["root"],
        group_name: "g",
        priority: index + 1,
      });
    }
    await t.dispatch(sql, "root");
    await enqueue(sql, "waits", 1);
    const order: string[] = [];
    for (let [next] = await underWay(sql); next; [next] = await underWay(sql)) {
      order.push(next.job_name);
      await complete(sql, next, at(1));
    }
    assert.deepEqual(order, ["root", "y", "x", "waits"]);
  },
);

t.ledgerTest(
  "a job of a group that cannot be looked at is named, and the others are sent",
  async (db) => {
    const sql = t.impatient(db);
    await group(sql, 2);
    await sql`select scheduler.register_calendar('days')`;
    await t.register(sql, "a", { ...ENQUEUED, calendars: ["days"], priority: 5 });
    await t.register(sql, "b", ENQUEUED);
    await sql`select scheduler.pause_group('g', 'why', 'ann', null, ${t.NOON})`;
    for (const name of ["a", "b"]) await enqueue(sql, name, 1);
    await sql`select scheduler.add_calendar_span('days', 'off', 'ann', '2030-01-01')`;
    await sql`update scheduler_groups set paused_at = null, pause_reason = null, paused_by = null`;
    await sql`update scheduler_jobs set group_paused_at = null`;
    await db.admin`update public.scheduler_jobs set time_zone = 'Mars/Base' where name = 'a'`;
    const report = await t.pulse(sql, at(1));
    assert.deepEqual(Object.keys(report.errors), ["a"]);
    assert.deepEqual(await names(sql), ["b"]);
  },
);

t.ledgerTest(
  "an occurrence is skipped for a retry that goes in the same pulse",
  async ({ sql }) => {
    await group(sql, 2);
    await t.register(sql, "a", { schedule: "0 * * * *", group_name: "g", max_attempts: 2 });
    const id = (await t.dispatch(sql, "a"))!;
    await t.begin(sql, id, t.NOON, "a");
    await t.finish(sql, id, "failed", t.NOON);
    await sql`update scheduler_runs set run_after = ${at(60)} where status = 'queued'`;
    await t.pulse(sql, at(60.1));
    assert.deepEqual(await t.summary(sql, "a"), [
      "failed cron 1 job_error",
      "dispatched retry 2",
      "skipped cron 1",
    ]);
    assert.equal((await t.runs(sql, "a")).at(-1)!.skip_kind, "overlap");
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("calls by hand take slots as well", async ({ sql }) => {
  await group(sql, 1);
  await t.register(sql, "a", ENQUEUED);
  await t.register(sql, "b", ENQUEUED);
  const first = await t.value(sql, "scheduler.run_now('a', 'ann', null, $1)", [t.NOON]);
  const waits = await t.value(sql, "scheduler.run_now('b', 'ann', null, $1)", [at(1)]);
  assert.equal((await t.run(sql, waits)).waiting.for, "group");
  const refused = await t.value(sql, "scheduler.begin_manual_run('b', null, null, '', $1)", [
    at(1),
  ]);
  assert.deepEqual([refused.begun, refused.reason, refused.run_id], [false, "busy", first]);
  await complete(sql, await t.run(sql, first), at(2));
  assert.equal((await t.run(sql, waits)).status, "dispatched");
});

t.ledgerTest("a lower limit holds from the moment on, as runs end", async ({ sql }) => {
  await group(sql, 5);
  await t.register(sql, "a", ENQUEUED);
  await enqueue(sql, "a", 12);
  assert.equal((await underWay(sql)).length, 5);
  await group(sql, 2);
  const counts: number[] = [];
  for (let minute = 1; minute <= 6; minute++) {
    // The oldest first: its slot is one of those that stay.
    await complete(sql, (await underWay(sql))[0]!, at(minute));
    counts.push((await underWay(sql)).length);
  }
  assert.deepEqual(counts, [4, 3, 2, 2, 2, 2]);
  assert.equal((await sql`select from scheduler.group_slots`).length, 2);
});

/** Two jobs with a run each in the group g, of which the limit is one since. */
async function overTheLimit(sql: Sql, each = 1): Promise<Row[]> {
  await group(sql, 2 * each);
  for (const name of ["a", "c"]) {
    await t.register(sql, name, ENQUEUED);
    await enqueue(sql, name, each, at(name === "a" ? 0 : 0.1));
  }
  await group(sql, 1);
  return await underWay(sql);
}

t.ledgerTest(
  "a slot that comes free beside a run over the limit is not given away",
  async ({ sql }) => {
    const [first, second] = await overTheLimit(sql);
    await complete(sql, first!, at(1));
    assert.equal(await t.value(sql, "scheduler.has_free_slot('g')"), false);
    assert.equal(await t.value(sql, "scheduler.take_slot('g', $1)", [crypto.randomUUID()]), false);
    await complete(sql, second!, at(1));
    assert.equal(await t.value(sql, "scheduler.has_free_slot('g')"), true);
  },
);

t.ledgerTest(
  "of a group over its limit two runs that end at once give both their slots back",
  async (db) => {
    const [first, second] = await overTheLimit(db.sql);
    const one = await db.sql.reserve();
    await one`begin`;
    await complete(one, first!, at(1));
    await complete(t.impatient(db), second!, at(1));
    await one`commit`;
    one.release();
    await enqueue(db.sql, "a", 1, at(2));
    assert.deepEqual(await names(db.sql), ["a"]);
    await t.assertInvariants(db.sql);
  },
);

t.ledgerTest(
  "of a group over its limit transactions that end several runs do not wait for each other",
  async (db) => {
    const [a1, a2, c1, c2] = await overTheLimit(db.sql, 2);
    const transactions = [t.impatient(db), t.impatient(db)];
    const [one, two] = await Promise.all(transactions.map((sql) => sql.reserve()));
    for (const sql of [one!, two!]) await sql`begin`;
    await complete(one!, a1!, at(1));
    await complete(two!, c1!, at(1));
    await complete(one!, a2!, at(1));
    await complete(two!, c2!, at(1));
    for (const sql of [one!, two!]) {
      await sql`commit`;
      sql.release();
    }
    await enqueue(db.sql, "a", 2, at(2));
    assert.deepEqual(await names(db.sql), ["a"]);
    await t.assertInvariants(db.sql);
  },
);

t.ledgerTest("a higher limit, or none, lets more go with the next pulse", async ({ sql }) => {
  await group(sql, 1);
  await t.register(sql, "a", ENQUEUED);
  await t.register(sql, "b", ENQUEUED);
  await enqueue(sql, "a", 3);
  await enqueue(sql, "b", 3);
  assert.equal((await underWay(sql)).length, 1);
  await group(sql, 4);
  await t.pulse(sql, at(0.3));
  assert.equal((await underWay(sql)).length, 4);
  await group(sql, null);
  await t.pulse(sql, at(0.6));
  assert.equal((await underWay(sql)).length, 6);
  assert.equal((await sql`select from scheduler.group_slots`).length, 0);
});

t.ledgerTest("a limit that comes while more runs are under way counts them", async ({ sql }) => {
  await group(sql, null);
  await t.register(sql, "a", ENQUEUED);
  await enqueue(sql, "a", 4);
  await group(sql, 2);
  await enqueue(sql, "a", 4, at(1));
  const counts: number[] = [];
  for (let minute = 1; minute <= 6; minute++) {
    await complete(sql, (await underWay(sql))[0]!, at(minute));
    counts.push((await underWay(sql)).length);
  }
  assert.deepEqual(counts, [3, 2, 2, 2, 2, 2]);
});

t.ledgerTest(
  "a job that changes its group while its runs are under way takes them along",
  async ({ sql }) => {
    await group(sql, 2);
    await group(sql, 2, "h");
    await t.register(sql, "a", ENQUEUED);
    await t.register(sql, "b", ENQUEUED);
    await t.register(sql, "c", { ...ENQUEUED, group_name: "h" });
    await enqueue(sql, "a", 2);
    await enqueue(sql, "b", 2);
    await enqueue(sql, "c", 4);
    assert.deepEqual(await names(sql), ["a", "a", "c", "c"]);
    await t.register(sql, "a", { ...ENQUEUED, group_name: "h" });
    // Without the look at all that waits, once a minute.
    await sql`update scheduler.pulse_state set last_mended_at = ${at(1)}`;
    await t.pulse(sql, at(1));
    assert.deepEqual(
      await names(sql),
      ["a", "a", "b", "b", "c", "c"],
      "b has the slots that a left",
    );
    // Of h four are under way and two may be: its next run goes when the third has ended.
    const ofH = async () => (await underWay(sql)).filter((row) => row.job_name !== "b");
    const counts: number[] = [];
    for (let minute = 2; minute <= 5; minute++) {
      await complete(sql, (await ofH())[0]!, at(minute));
      counts.push((await ofH()).length);
    }
    assert.deepEqual(counts, [3, 2, 2, 2]);
  },
);

t.ledgerTest("the slots of a job that is taken out go to others", async ({ sql }) => {
  await group(sql, 1);
  await t.register(sql, "a", ENQUEUED);
  await t.register(sql, "b", ENQUEUED);
  await enqueue(sql, "a", 1);
  await enqueue(sql, "b", 1);
  await sql`select scheduler.unregister_job('a')`;
  await t.pulse(sql, at(1));
  assert.equal((await t.runs(sql, "b"))[0]!.status, "dispatched");
});

t.ledgerTest(
  "a request that cannot be made gives its slot back, and many do not exhaust the stack",
  async (db) => {
    const sql = t.impatient(db);
    await group(sql, 1);
    await t.register(sql, "a", { ...ENQUEUED, max_attempts: 1 });
    await t.register(sql, "b", { ...ENQUEUED, max_attempts: 1 });
    await enqueue(sql, "a", 1);
    await enqueue(sql, "b", 150);
    await enqueue(sql, "a", 150);
    await t.setSecret(sql, "cron_secret", null);
    await complete(sql, (await underWay(sql))[0]!, at(1));
    for (let n = 0; n < 300 && (await t.pulse(sql, at(1))).more; n++);
    const rows =
      await sql`select status, count(*)::int as count from scheduler_runs group by 1 order by 2`;
    assert.deepEqual(rows.map((row) => [row.status, row.count]), [["completed", 1], [
      "failed",
      300,
    ]]);
    assert.equal((await sql`select from scheduler.group_slots where run_id is not null`).length, 0);
  },
);

t.ledgerTest(
  "a pulse ends in time, however many runs of a group come to their end as they are sent",
  async ({ sql, admin }) => {
    await group(sql, 1);
    await t.register(sql, "a", { ...ENQUEUED, max_attempts: 1 });
    await t.register(sql, "b", { ...ENQUEUED, max_attempts: 1 });
    await enqueue(sql, "a", 1);
    await enqueue(sql, "b", 5);
    await t.setSecret(sql, "cron_secret", null);
    await admin`update scheduler.group_slots set run_id = null`;
    await sql`select scheduler.wake_waiting(${at(1)})`;
    const failed = async () =>
      (await sql`select from scheduler_runs where status = 'failed'`).length;
    for (let pulses = 1; pulses <= 5; pulses++) {
      const told = await t.value(sql, "scheduler.attend_jobs($1, 0)", [at(1)]);
      assert.equal(await failed(), pulses, "without time it looks at one run");
      assert.equal(told.more, pulses < 5, `after ${pulses} pulses`);
    }
  },
);

t.ledgerTest(
  "a pulse with time tries 100 runs of a job, and says that there are more",
  async ({ sql, admin }) => {
    await group(sql, 1);
    await t.register(sql, "a", { ...ENQUEUED, max_attempts: 1 });
    await enqueue(sql, "a", 103);
    await t.setSecret(sql, "cron_secret", null);
    await admin`update scheduler.group_slots set run_id = null`;
    await sql`select scheduler.wake_waiting(${at(1)})`;
    const pulse = () => t.value(sql, "scheduler.attend_jobs($1, 60000)", [at(1)]);
    const failed = async () =>
      (await sql`select from scheduler_runs where status = 'failed'`).length;
    assert.deepEqual([(await pulse()).more, await failed()], [true, 100]);
    assert.deepEqual(
      [(await pulse()).more, await failed()],
      [false, 102],
      "the first one is under way",
    );
  },
);

t.ledgerTest(
  "a lock that expired is taken over once, also where its end frees a slot of the group",
  async ({ sql }) => {
    await group(sql, 2);
    await t.register(sql, "a", { schedule: null, group_name: "g", max_attempts: 1 });
    await enqueue(sql, "a", 1);
    const [first] = await underWay(sql);
    await enqueue(sql, "a", 1, at(0.1));
    await t.begin(sql, first!.id, at(0.2), "a");
    // As if the pulse had stood still for long: nobody has judged the run.
    await sql`update scheduler_locks set expires_at = ${at(1)}`;
    const requests = (await t.requests(sql)).length;
    await sql`select scheduler.send_queued(jobs, ${
      at(1)
    }) from scheduler_jobs as jobs where name = 'a'`;
    assert.equal((await t.requests(sql)).length, requests + 1);
    assert.deepEqual((await t.runs(sql, "a")).map((row) => row.status), ["failed", "dispatched"]);
    await t.assertInvariants(sql);
  },
);

// Pauses.

t.ledgerTest(
  "pausing a group pauses its jobs, whose occurrences are skipped and say so",
  async ({ sql }) => {
    await group(sql, null);
    await t.register(sql, "a", { schedule: "0 * * * *", group_name: "g" });
    await t.register(sql, "b", ENQUEUED);
    await t.register(sql, "c", { schedule: "0 * * * *" });
    assert.equal(
      await t.value(sql, "scheduler.pause_group('g', 'a move', 'ann', null, $1)", [at(-1)]),
      "the group g is paused until somebody resumes it, with 2 jobs",
    );
    await t.dispatch(sql, "a");
    await enqueue(sql, "b", 1);
    assert.deepEqual(await names(sql), ["c"]);
    const [a] = await t.runs(sql, "a");
    assert.deepEqual([a!.skip_kind, a!.skip_reason], [
      "group_paused",
      "the group g is paused by ann: a move",
    ]);
    assert.equal((await t.runs(sql, "b"))[0]!.waiting.for, "group_paused");
    assert.match(
      await t.value(sql, "scheduler.explain('b', null, $1)", [t.NOON]),
      /waits because the group g is paused by ann: a move/,
    );
    assert.equal(
      await t.value(sql, "scheduler.resume_group('g', 'bob', $1)", [at(1)]),
      "the group g runs again, with 2 jobs",
    );
    await t.pulse(sql, at(1));
    assert.deepEqual(await names(sql), ["b", "c"]);
    const audit = await sql`select author, verb, subject_type, subject, reason from scheduler_audit
        where verb not like 'register%' order by id`;
    assert.deepEqual(audit.map((row) => Object.values(row)), [
      ["ann", "pause_group", "group", "g", "a move"],
      ["bob", "resume_group", "group", "g", null],
    ]);
  },
);

t.ledgerTest("a job's own pause is another one, in either order", async ({ sql }) => {
  await group(sql, null);
  await t.register(sql, "a", ENQUEUED);
  await t.register(sql, "b", ENQUEUED);
  const verbs = {
    pause: () => t.value(sql, "scheduler.pause('a', 'its own', 'ann', null, $1)", [t.NOON]),
    resume: () => t.value(sql, "scheduler.resume('a', 'ann', $1)", [at(1)]),
    pauseGroup: () => t.value(sql, "scheduler.pause_group('g', 'all', 'bob', null, $1)", [t.NOON]),
    resumeGroup: () => t.value(sql, "scheduler.resume_group('g', 'bob', $1)", [at(1)]),
  };
  const stop = (job: string) =>
    t.value(
      sql,
      "(select scheduler.stop_kind(jobs, $2) from scheduler_jobs as jobs where name = $1)",
      [
        job,
        at(2),
      ],
    );
  await verbs.pause();
  await verbs.pauseGroup();
  assert.deepEqual([await stop("a"), await stop("b")], ["paused", "group_paused"]);
  await verbs.resumeGroup();
  assert.deepEqual([await stop("a"), await stop("b")], ["paused", null]);
  await verbs.pauseGroup();
  assert.equal(
    await verbs.resume(),
    "a is not paused any more, but does not run: the group g is paused by bob: all",
  );
  assert.deepEqual([await stop("a"), await stop("b")], ["group_paused", "group_paused"]);
  await verbs.resumeGroup();
  assert.deepEqual([await stop("a"), await stop("b")], [null, null]);
  assert.equal(await verbs.resumeGroup(), "the group g was not paused");
});

t.ledgerTest(
  "a pause with an end ends by itself, and jobs that join or leave follow",
  async ({ sql }) => {
    await group(sql, null);
    await t.register(sql, "a", ENQUEUED);
    await t.register(sql, "b", { ...ENQUEUED, group_name: null });
    await t.value(sql, "scheduler.pause_group('g', 'why', 'ann', $2, $1)", [at(-1), at(10)]);
    await t.register(sql, "b", ENQUEUED);
    await t.register(sql, "new", ENQUEUED);
    for (const job of ["a", "b", "new"]) await enqueue(sql, job, 1);
    await t.pulse(sql, at(9));
    assert.deepEqual(await names(sql), []);
    await t.register(sql, "b", { ...ENQUEUED, group_name: null });
    await t.pulse(sql, at(9.5));
    assert.deepEqual(await names(sql), ["b"], "it left the group");
    await sql`update scheduler.pulse_state set last_mended_at = ${at(10)}`;
    await t.pulse(sql, at(10));
    assert.deepEqual(await names(sql), ["a", "b", "new"]);
  },
);

t.ledgerTest("wrong arguments are refused and named", async ({ sql }) => {
  await group(sql, null);
  const refused = async (statement: string) => {
    const error = await refusal(sql.unsafe(`select scheduler.${statement}`));
    return `${error.code} ${error.message}`;
  };
  assert.equal(
    await refused("register_group('Über')"),
    "22023 cannot register the group Über: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, got 'Über'",
  );
  assert.equal(
    await refused("register_group('g', parallel_limit => 0)"),
    "22023 cannot register the group g: parallel_limit must be from 1 to 1000, got 0",
  );
  assert.equal(
    await refused("register_group('g', key_limit => 1001)"),
    "22023 cannot register the group g: key_limit must be from 1 to 1000, got 1001",
  );
  assert.equal(
    await refused("pause_group('x', 'why', 'ann')"),
    "SD014 there is no group named 'x'",
  );
  assert.equal(await refused("resume_group('x', 'ann')"), "SD014 there is no group named 'x'");
  assert.equal(
    await refused("pause_group('g', '', 'ann')"),
    "22023 cannot pause the group g: reason and author must be given",
  );
  assert.match(
    await refused("pause_group('g', 'why', 'ann', '2020-01-01Z')"),
    /^22023 cannot pause the group g: until must be in the future, got /,
  );
  assert.equal(
    await refused("resume_group('g', ' ')"),
    "22023 cannot resume the group g: author must be given",
  );
  assert.equal(
    await refused("register_job('a', null, group_name => 'x')"),
    "22023 cannot register the job a: there is no group named 'x': register it with scheduler.register_group",
  );
});

t.ledgerTest("a group that has jobs stays in the registry", async ({ sql }) => {
  await group(sql, 3);
  await t.register(sql, "a", ENQUEUED);
  await t.register(sql, "b", ENQUEUED);
  const error = await refusal(sql`select scheduler.unregister_group('g')`);
  assert.deepEqual([error.code, error.message, error.hint], [
    "SD205",
    "cannot take the group g out: it has jobs: a, b",
    "register them with another group_name, or none",
  ]);
  for (const name of ["a", "b"]) await t.register(sql, name, { ...ENQUEUED, group_name: null });
  await sql`select scheduler.unregister_group('g')`;
  assert.equal((await refusal(sql`select scheduler.unregister_group('g')`)).code, "SD014");
});

t.ledgerTest(
  "many connections at once never pass the limit, and leave no slot unused",
  async (db) => {
    const { sql } = db;
    const LIMIT = 3;
    const jobs = ["a", "b", "c", "d"];
    await group(sql, LIMIT);
    for (const name of jobs) {
      await t.register(sql, name, {
        schedule: "* * * * *",
        overlap_policy: name === "a" ? "queue" : "allow",
        group_name: "g",
        max_attempts: 2,
        backoff_base_seconds: 1,
        timeout_seconds: 86400,
      });
    }
    // Written in the transaction that sends or ends a run, so that it shows what held at each moment.
    await db.admin.unsafe(`
    create table public.seen (id bigint generated always as identity, under_way bigint);
    grant all on public.seen to postgres;
    create function public.note_slots() returns trigger language plpgsql security definer as $$
    begin
      insert into public.seen (under_way)
        select count(*) from public.scheduler_runs where status in ('dispatched', 'running');
      return null;
    end; $$;
    create trigger note_slots after update of status on public.scheduler_runs
      for each row when (new.status = 'dispatched') execute function public.note_slots();`);
    let minute = 0;
    const seeds = seededRandom(20260303);
    await Promise.all(Array.from({ length: 8 }, async () => {
      const connection = t.impatient(db);
      const random = seededRandom(seeds.whole(1, 1e9));
      for (let round = 0; round < 40; round++) {
        const now = at(minute += 0.05);
        const [live] = await connection`
        select * from scheduler_runs where status in ('dispatched', 'running') order by random() limit 1`;
        const verb = random.pick([
          "dispatch",
          "enqueue",
          "end",
          "end",
          "end",
          "end",
          "pulse",
          "cancel",
        ]);
        if (verb === "dispatch") await t.dispatch(connection, random.pick(jobs), now);
        else if (verb === "enqueue") await enqueue(connection as Sql, random.pick(jobs), 2, now);
        else if (verb === "pulse") await t.pulse(connection, now);
        else if (live && verb === "cancel") {
          await connection`select scheduler.cancel_run(${live.id}, 'why', 'ann', ${now})`;
        } else if (live) {
          await t.begin(connection, live.id, now, live.function_name);
          await t.finish(connection, live.id, random.pick(["completed", "failed"]), now);
        }
      }
    }));
    const [most] =
      await sql`select max(under_way)::int as most, count(*)::int as sent from public.seen`;
    assert.equal(most!.most, LIMIT);
    assert.ok(most!.sent > 50, `${most!.sent} were sent`);
    await t.pulse(sql, at(minute + 1));
    await t.pulse(sql, at(minute + 2));
    const [row] = await sql`
    select count(*) filter (where status = 'queued' and run_after is null)::int as waiting,
      count(*) filter (where status in ('dispatched', 'running'))::int as under_way from scheduler_runs`;
    assert.ok(row!.under_way === LIMIT || row!.waiting === 0, JSON.stringify(row));
    const slots = await sql`
    select from scheduler.group_slots as slots full join (
      select id from scheduler_runs where status in ('dispatched', 'running')) as runs on runs.id = slots.run_id
    where runs.id is null and slots.run_id is not null or slots.slot is null`;
    assert.equal(
      slots.length,
      0,
      "each run that is under way has its slot, and no other run has one",
    );
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("what waits says that its group is paused, unless its job is", async ({ sql }) => {
  await sql`select scheduler.register_group('g')`;
  for (const name of ["own", "groups"]) {
    await sql`select scheduler.register_job(${name}, null, group_name => 'g', parallel_limit => 1, overlap_policy => 'allow')`;
    await sql`select scheduler.enqueue_runs(${name}, '[{}, {}]', null, ${t.NOON})`;
  }
  await sql`select scheduler.pause('own', 'night', 'Ada', null, ${t.NOON})`;
  await sql`select scheduler.pause_group('g', 'night', 'Ada', ${t.after(60)}, ${t.after(1)})`;
  const rows = await sql`
    select job_name, waiting ->> 'for' as waits, (waiting ->> 'until')::timestamptz as until from scheduler_runs
    where status = 'queued' order by job_name`;
  assert.deepEqual(rows.map((row) => [row.job_name, row.waits, row.until]), [
    ["groups", "group_paused", t.after(60)],
    ["own", "paused", null],
  ]);
});

t.ledgerTest("a group's limit of a key is at most its limit of runs", async ({ sql }) => {
  await assert.rejects(
    sql`select scheduler.register_group('oracle', parallel_limit => 2, key_limit => 5)`,
    /key_limit and parallel_limit contradict each other/,
  );
});
