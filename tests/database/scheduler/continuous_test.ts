// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

/** Registers a continuous job and lets the first pulse start it. */
async function begin(sql: Sql, values: Record<string, unknown> = {}): Promise<string> {
  await t.value(
    sql,
    `scheduler.register_job(${
      [
        "name => 'job'",
        "schedule => '@continuous'",
        ...Object.keys(values).map((key, i) => `${key} => $${i + 1}`),
      ]
        .join(", ")
    })`,
    Object.values(values),
  );
  await t.pulse(sql, t.NOON);
  return await alive(sql);
}

/** The one run that waits or is under way. */
async function alive(sql: Sql): Promise<string> {
  const found = (await t.runs(sql, "job")).filter((row) => row.completed_at === null);
  assert.equal(found.length, 1, "exactly one run waits or is under way");
  return found[0]!.id;
}

async function complete(sql: Sql, id: string, now: Date, result = "{}"): Promise<void> {
  await t.begin(sql, id, now);
  await t.value(sql, "scheduler.finish_run($1, 'completed', $2::jsonb, p_now => $3)", [
    id,
    JSON.parse(result),
    now,
  ]);
}

t.ledgerTest(
  "the first pulse starts a continuous job, and as a run ends the next is sent with it",
  async ({ sql }) => {
    const first = await begin(sql);
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched continuous 1"]);
    await complete(sql, first, t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), [
      "completed continuous 1 ok",
      "dispatched continuous 1",
    ]);
    const next = await t.run(sql, await alive(sql));
    assert.deepEqual([next.scheduled_for, next.interval_from], [t.after(1), t.NOON]);
    assert.equal((await t.requests(sql)).length, 2);
  },
);

t.ledgerTest("an idle one is asked again after its idle time", async ({ sql }) => {
  await complete(sql, await begin(sql, { idle_seconds: 45 }), t.after(1), '{"idle": true}');
  const next = await t.run(sql, await alive(sql));
  assert.deepEqual([next.status, next.run_after, next.waiting.for], [
    "queued",
    t.after(1.75),
    "idle",
  ]);
  assert.match(
    await t.value(sql, "scheduler.explain('job', null, $1)", [t.after(1.5)]),
    /waits until 12:01:45, as the/,
  );
  await t.pulse(sql, t.after(1.7));
  assert.equal((await t.run(sql, next.id)).status, "queued");
  await t.pulse(sql, t.after(1.75));
  assert.equal((await t.run(sql, next.id)).status, "dispatched");
});

t.ledgerTest(
  "a failing one is tried again for ever, after waits that grow to the cap",
  async ({ sql }) => {
    let id = await begin(sql, { backoff_base_seconds: 10, backoff_cap_seconds: 60 });
    let now = t.NOON;
    for (let failures = 1; failures <= 40; failures++) {
      await t.begin(sql, id, now);
      await t.finish(sql, id, "failed", now);
      const next = await t.run(sql, await alive(sql));
      const wait = (next.run_after - now.getTime()) / 1000;
      assert.equal(next.failures, failures);
      assert.ok(
        wait >= 1 && wait <= Math.min(60, 10 * 2 ** (failures - 1)),
        `${failures}: ${wait} s`,
      );
      now = new Date(next.run_after.getTime() + 1);
      await t.pulse(sql, now);
      assert.equal((await t.run(sql, next.id)).status, "dispatched");
      id = next.id;
    }
    await complete(sql, id, now);
    assert.equal((await t.run(sql, await alive(sql))).failures, 0);
  },
);

t.ledgerTest(
  "one that dies is followed as well: no answer, a stopped heartbeat, an error answer",
  async ({ sql }) => {
    const lost = await begin(sql, { timeout_seconds: 100 });
    await sql`delete from net.http_request_queue`;
    await t.pulse(sql, t.after(10));
    assert.equal((await t.run(sql, lost)).verdict, "lost");
    await t.pulse(sql, t.after(20));
    const stalled = await alive(sql);
    await t.begin(sql, stalled, t.after(20));
    await t.pulse(sql, t.after(30));
    assert.equal((await t.run(sql, stalled)).verdict, "stalled");
    await t.pulse(sql, t.after(40));
    const refused = await alive(sql);
    await t.answer(sql, refused, { status: 503 }, t.after(40));
    await t.pulse(sql, t.after(41));
    assert.equal((await t.run(sql, refused)).verdict, "boot_error");
    assert.equal((await t.run(sql, await alive(sql))).failures, 3);
  },
);

t.ledgerTest(
  "a pause ends with the run that is under way; resume and its end start the next",
  async ({ sql }) => {
    const first = await begin(sql);
    await sql`select scheduler.pause('job', 'night', 'Ada', ${t.after(60)}, ${t.NOON})`;
    await complete(sql, first, t.after(1));
    await t.pulse(sql, t.after(30));
    assert.deepEqual(await t.summary(sql, "job"), ["completed continuous 1 ok_unanswered"]);
    await t.pulse(sql, t.after(60));
    const second = await alive(sql);
    await sql`select scheduler.pause('job', 'day', 'Ada', null, ${t.after(61)})`;
    await complete(sql, second, t.after(62));
    await t.pulse(sql, t.after(63));
    assert.equal((await t.runs(sql, "job")).length, 2);
    assert.match(
      await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [t.after(64)]),
      /runs again with the next pulse/,
    );
    await t.pulse(sql, t.after(64));
    assert.equal((await t.run(sql, await alive(sql))).status, "dispatched");
  },
);

t.ledgerTest(
  "the idle time and the wait after a failure count from the end of the run, also over a pause",
  async ({ sql }) => {
    let id = await begin(sql, {
      idle_seconds: 3600,
      backoff_base_seconds: 3600,
      backoff_cap_seconds: 3600,
    });
    for (const end of ["idle", "failed"]) {
      const now = new Date((await t.run(sql, id)).dispatched_at.getTime() + 1000);
      await sql`select scheduler.pause('job', 'night', 'Ada', ${t.after(90, now)}, ${now})`;
      if (end === "idle") await complete(sql, id, now, '{"idle": true}');
      else {
        await t.begin(sql, id, now);
        await t.finish(sql, id, "failed", now);
      }
      await t.pulse(sql, t.after(90, now));
      id = await alive(sql);
      assert.equal((await t.run(sql, id)).status, "dispatched", end);
    }
  },
);

t.ledgerTest(
  "it starts again when somebody deleted or cancelled its run, and ends when it is disabled",
  async ({ sql }) => {
    await begin(sql);
    await sql`delete from scheduler_runs`;
    await t.pulse(sql, t.after(2));
    const second = await alive(sql);
    await sql`select scheduler.cancel_run(${second}, 'why', 'Ada', ${t.after(3)})`;
    const third = await alive(sql);
    assert.notEqual(third, second);
    await sql`select scheduler.register_job('job', '@continuous', enabled => false)`;
    await complete(sql, third, t.after(4));
    await t.pulse(sql, t.after(5));
    assert.equal((await t.runs(sql, "job")).filter((row) => row.completed_at === null).length, 0);
  },
);

t.ledgerTest("two ends, two pulses and two dispatches at once give one run", async (db) => {
  const first = await begin(db.sql);
  await t.begin(db.sql, first, t.NOON);
  const others = Array.from({ length: 8 }, () => t.impatient(db));
  await Promise.all(
    others.map((sql, i) =>
      i % 2 === 0 ? t.finish(sql, first, "completed", t.after(1)) : t.pulse(sql, t.after(1))
    ),
  );
  await Promise.all(others.map((sql) => t.pulse(sql, t.after(1.1))));
  assert.equal((await t.runs(db.sql, "job")).length, 2);
  await alive(db.sql);
});

t.ledgerTest("what contradicts a continuous job is refused by both names", async ({ sql }) => {
  for (
    const [values, message] of [
      [
        { overlap_policy: "allow" },
        /schedule => '@continuous' and overlap_policy contradict each other/,
      ],
      [{ jitter_seconds: 5 }, /schedule => '@continuous' and jitter_seconds contradict each other/],
      [
        { target: "https://x.test/", receipt: "response" },
        /schedule => '@continuous' and receipt contradict/,
      ],
    ] as const
  ) await assert.rejects(begin(sql, values), message);
});

t.ledgerTest(
  "an occurrence of its dependency gives it no run, also where somebody holds its row",
  async ({ sql, connect }) => {
    await t.register(sql, "root");
    await sql`select scheduler.register_job('job', '@continuous', depends_on => '{root}')`;
    await t.pulse(sql, t.after(-0.1));
    await connect("postgres").begin(async (holder) => {
      await holder`select from scheduler_jobs where name = 'job' for no key update`;
      await t.dispatch(sql, "root");
    });
    await t.pulse(sql, t.after(0.1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched continuous 1"]);
  },
);

t.ledgerTest("the end of a call by hand sends the next run", async ({ sql }) => {
  await sql`select scheduler.register_job('job', '@continuous')`;
  await sql`select scheduler.pause('job', 'a move', 'Ada', null, ${t.NOON})`;
  const call = await t.value(sql, "scheduler.run_now('job', 'Ada', null, $1)", [t.NOON]);
  await sql`select scheduler.resume('job', 'Ada', ${t.after(0.05)})`;
  await t.pulse(sql, t.after(0.1));
  await complete(sql, call, t.after(0.2));
  assert.deepEqual(await t.summary(sql, "job"), [
    "completed manual 1 ok",
    "dispatched continuous 1",
  ]);
});

t.ledgerTest("the end of a run from before it was continuous sends the next", async ({ sql }) => {
  await sql`select scheduler.register_job('job', null)`;
  await sql`select scheduler.enqueue_runs('job', '[{}]', null, ${t.NOON})`;
  const enqueued = await alive(sql);
  await begin(sql);
  assert.equal(await alive(sql), enqueued);
  await complete(sql, enqueued, t.after(0.2));
  assert.deepEqual(await t.summary(sql, "job"), [
    "completed enqueued 1 ok",
    "dispatched continuous 1",
  ]);
});

t.ledgerTest("what waits is cancelled when it is not continuous any more", async ({ sql }) => {
  await complete(sql, await begin(sql, { idle_seconds: 3600 }), t.after(0.1), '{"idle": true}');
  await t.register(sql, "job", { schedule: "0 12 * * *" }, t.after(24 * 60));
  assert.deepEqual(await t.summary(sql, "job"), [
    "completed continuous 1 ok",
    "cancelled continuous 1",
  ]);
});

t.ledgerTest("after cancel_queued the next pulse starts it", async ({ sql }) => {
  await complete(sql, await begin(sql, { idle_seconds: 3600 }), t.after(0.1), '{"idle": true}');
  await sql`select scheduler.cancel_queued('job', 'a mistake', 'Ada', ${t.after(0.2)})`;
  await t.pulse(sql, t.after(0.3));
  assert.equal((await t.run(sql, await alive(sql))).status, "dispatched");
});

t.ledgerTest(
  "a continuous job takes no enqueued runs, and only it has an idle time",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "@continuous" });
    await assert.rejects(
      sql`select scheduler.enqueue_runs('job', '[{}]')`,
      { code: "22023", message: /cannot enqueue runs of job: it is continuous/ },
    );
    await assert.rejects(
      t.register(sql, "other", { idle_seconds: 5 }),
      /idle_seconds and schedule contradict each other: only a continuous job/,
    );
  },
);

t.ledgerTest("explain and next_runs say what keeps a continuous job", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "@continuous" });
  await sql`select scheduler.pause('job', 'a leak', 'Ada', p_now => ${t.NOON})`;
  const because = "waits because the job is paused by Ada: a leak";
  const [next] = await sql`select * from scheduler.next_runs('job', 1, ${t.after(1)})`;
  assert.match(JSON.stringify(next), new RegExp(`is continuous: its next run ${because}`));
  const told = await t.value(sql, "scheduler.explain('job', $1, $1)", [t.after(30 * 24 * 60)]);
  assert.match(told, new RegExp(`one run after the other; now it ${because}`));
});

t.ledgerTest("a continuous job that waits after failures says so", async ({ sql }) => {
  await sql`select scheduler.register_job('job', '@continuous', backoff_base_seconds => 3600,
    backoff_cap_seconds => 3600)`;
  await t.pulse(sql, t.NOON);
  const asked = (minute: number) => [t.after(minute)];
  const fail = async (minute: number) => {
    await sql`update scheduler_runs set run_after = null where status = 'queued'`;
    await t.pulse(sql, t.after(minute));
    const [live] = (await t.runs(sql, "job")).filter((row) => row.status === "dispatched");
    await t.begin(sql, live!.id, t.after(minute));
    await t.finish(sql, live!.id, "failed", t.after(minute));
    // As long as may be.
    await sql`update scheduler_runs set run_after = ${
      t.after(minute + 60)
    } where status = 'queued'`;
  };
  const explain = (minute: number) =>
    t.value(sql, "scheduler.explain('job', null, $1)", asked(minute));
  await fail(0);
  assert.match(
    await explain(1),
    /waits for the first pulse after 13:00:00, as the run before it failed: job_error: it broke\.$/,
  );
  await fail(2);
  await fail(3);
  assert.match(
    await explain(4),
    /waits for the first pulse after 13:03:00, as 3 runs before it failed in a row, the last: job_error: it broke\.$/,
  );
  const [row] = await sql`select note from scheduler.next_runs('job', 1, ${t.after(4)})`;
  assert.match(
    row!.note,
    /^is continuous: its next run waits for the first pulse after 13:03:00, as 3 runs/,
  );
});

t.ledgerTest(
  "a job that becomes continuous begins at once, whatever of it waits",
  async ({ sql }) => {
    const daily = {
      schedule: "0 12 * * *",
      backoff_base_seconds: 86_400,
      backoff_cap_seconds: 86_400,
    };
    await t.register(sql, "job", daily);
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.NOON);
    assert.equal((await t.summary(sql, "job"))[1], "queued retry 2");
    // By the real clock, which registering asks, nothing is due.
    await sql`update scheduler_jobs set next_run_at = '2100-01-01Z'`;
    await sql`select scheduler.register_job('job', '@continuous')`;
    await sql`update scheduler.pulse_state set last_mended_at = ${t.after(0.1)}`;
    await t.pulse(sql, t.after(0.2));
    assert.deepEqual((await t.summary(sql, "job")).slice(1).sort(), [
      "cancelled retry 2",
      "dispatched continuous 1",
    ]);
  },
);
