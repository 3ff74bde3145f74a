// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "jitter is the same at every look, less than its limit, and spread",
  async ({ sql }) => {
    const rows = await sql`
    select extract(epoch from scheduler.jitter('job', ${t.NOON}::timestamptz + n * interval '1 minute', 60))::float
        as jitter,
      extract(epoch from scheduler.jitter('job', ${t.NOON}::timestamptz + n * interval '1 minute', 60))::float as again,
      extract(epoch from scheduler.jitter('other', ${t.NOON}::timestamptz + n * interval '1 minute', 60))::float as other
    from generate_series(1, 1000) as n`;
    const values = rows.map((row) => row.jitter as number);
    assert.ok(values.every((value) => value >= 0 && value < 60));
    assert.ok(rows.every((row) => row.jitter === row.again));
    assert.ok(rows.filter((row) => row.jitter === row.other).length < 5);
    for (let tenth = 0; tenth < 10; tenth++) {
      const inside = values.filter((value) => Math.floor(value / 6) === tenth).length;
      assert.ok(inside > 60 && inside < 145, `${inside} of 1,000 in tenth ${tenth}`);
    }
  },
);

t.ledgerTest(
  "an occurrence with jitter has its row at once, and leaves when its jitter is over",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/10 * * * *", jitter_seconds: 50 });
    await t.dispatch(sql, "job");
    const [row] = await t.runs(sql, "job");
    const jitter = await t.value(
      sql,
      "extract(epoch from scheduler.jitter('job', $1, 50))::float",
      [t.NOON],
    );
    assert.deepEqual(
      [row!.status, row!.waiting.for, row!.run_after.getTime()],
      ["queued", "jitter", t.NOON.getTime() + Math.floor(jitter * 1000)],
    );
    const [next] = await sql`select note from scheduler.next_runs('job', 1, ${t.after(-1)})`;
    assert.equal(next!.note, `is sent ${jitter.toFixed(1)} s later`);
    await t.pulse(sql, new Date(t.NOON.getTime() + jitter * 1000 - 1000));
    assert.deepEqual(await t.summary(sql, "job"), ["queued cron 1"]);
    await t.pulse(sql, new Date(t.NOON.getTime() + jitter * 1000 + 1000));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  },
);

t.ledgerTest(
  "an occurrence that comes due while the one before it waits for its jitter is an overlap",
  async ({ sql }) => {
    await t.register(sql, "job", { jitter_seconds: 250 });
    const waits = async (minute: number) =>
      await t.value(sql, "extract(epoch from scheduler.jitter('job', $1, 250))::float", [
        t.after(minute),
      ]) as number;
    // The first minute whose jitter outlasts the next.
    let minute = 0;
    while (await waits(minute) < 61) minute++;
    await sql`update scheduler_jobs set next_run_at = ${t.after(minute)}`;
    await t.dispatch(sql, "job", t.after(minute));
    await t.dispatch(sql, "job", t.after(minute + 1));
    const [first, second] = await t.runs(sql, "job");
    assert.equal(first!.status, "queued");
    assert.deepEqual([second!.skip_kind, second!.stands_for], ["overlap", first!.id]);
  },
);

t.ledgerTest(
  "jitter that makes an occurrence late before it is sent is refused",
  async ({ sql }) => {
    await assert.rejects(
      t.register(sql, "job", { jitter_seconds: 300, misfire_grace_seconds: 120 }),
      /jitter_seconds and misfire_grace_seconds contradict each other/,
    );
    await assert.rejects(
      sql`select scheduler.register_job('asked', null, jitter_seconds => 5)`,
      /schedule => null and jitter_seconds contradict each other/,
    );
  },
);

t.ledgerTest("jitter is shorter than an interval in seconds", async ({ sql }) => {
  await assert.rejects(
    t.register(sql, "job", { schedule: "10 seconds", jitter_seconds: 10 }),
    /jitter_seconds and schedule contradict each other: a run would be sent after the next occurrence/,
  );
  await assert.rejects(
    t.register(sql, "job", { schedule: " 010seconds", jitter_seconds: 10 }),
    /jitter_seconds and schedule contradict each other/,
  );
  await t.register(sql, "job", { schedule: "10 seconds", jitter_seconds: 9 });
});
