import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "explain without a time speaks of the latest run of any status",
  async ({ sql }) => {
    const explain = () => t.value(sql, "scheduler.explain('job', null, $1)", [t.after(10)]);
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    assert.match(await explain(), /^job was not due at 2026-03-02 12:10 UTC/);
    await sql`select scheduler.dispatch('job', ${t.NOON})`;
    assert.match(await explain(), /^job was sent for 2026-03-02 12:00 UTC/);
    await sql`update scheduler_runs set created_at = created_at - interval '1 minute'`;
    await sql`select scheduler.release_lock('job', 'make room', 'ann', ${t.after(1)})`;
    await sql`select scheduler.run_now('job', 'ann', null, ${t.after(5)})`;
    assert.match(await explain(), /^job was sent for 2026-03-02 12:05 UTC/);
  },
);

t.ledgerTest(
  "explain does not hide a run by hand behind the occurrence of its minute",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *", overlap_policy: "allow" });
    await t.dispatch(sql, "job");
    await sql`select scheduler.run_now('job', 'ann', null, ${t.after(0.5)})`;
    assert.match(
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.NOON, t.after(0.6)]),
      /^job was sent for 2026-03-02 12:00 UTC .* It was also run by hand then: dispatched\.$/,
    );
  },
);

t.ledgerTest(
  "explain without a time is about the newest occurrence, also among rows that were written together",
  async ({ sql }) => {
    await t.register(sql, "job", {}, t.after(-3));
    await t.dispatch(sql, "job");
    assert.match(
      await t.value(sql, "scheduler.explain('job', null, $1)", [t.after(0.1)]),
      /^job was sent for 2026-03-02 12:00 UTC/,
    );
  },
);

t.ledgerTest(
  "a job that is registered in the minute of an occurrence, but after it, is due first at the next one",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "* * * * *" });
    const at = new Date(t.NOON.getTime() + 30_000);
    await sql`update scheduler_jobs set created_at = ${at}, next_run_at = ${t.after(1)}`;
    assert.equal(
      await t.value(sql, "scheduler.explain('job', null, $1)", [at]),
      "job was not due at 2026-03-02 12:00 UTC: its schedule is '* * * * *' in UTC; it was registered at " +
        "2026-03-02 12:00 UTC and is due first at 2026-03-02 12:01 UTC.",
    );
  },
);

t.ledgerTest("explain without a time tells of older runs that wait", async ({ sql }) => {
  await t.register(sql, "job", { schedule: null, overlap_policy: "queue" });
  await sql`select scheduler.enqueue_runs('job', '[{}]', ${t.after(60)}, ${t.NOON})`;
  const explain = (at: Date | null) =>
    t.value(sql, "scheduler.explain('job', $1, $2)", [at, t.after(6)]);
  // Rows of one transaction have one created_at; these were made by two.
  await sql`update scheduler_runs set created_at = created_at - interval '1 minute'`;
  const id = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(5)]);
  assert.doesNotMatch(await explain(null), /older/, "the newest is not over");
  await t.begin(sql, id, t.after(5));
  await t.finish(sql, id, "completed", t.after(5.5));
  const told =
    / An older run of it, for 2026-03-02 12:00 UTC, waits for the first pulse after 13:00:00\.$/;
  assert.match(await explain(null), told);
  assert.doesNotMatch(await explain(t.after(5)), /older/, "a time was asked for");
  await sql`select scheduler.enqueue_runs('job', '[{}, {}]', ${t.after(70)}, ${t.after(1)})`;
  await sql`update scheduler_runs set created_at = created_at - interval '1 minute' where status = 'queued'`;
  assert.match(
    await explain(null),
    / 3 older runs of it wait; the first, for 2026-03-02 12:00 UTC, waits for the first pulse after 13:00:00\.$/,
  );
  const [row] = await sql`select scheduler.explain_json('job', null, ${
    t.after(6)
  }) -> 'others_waiting' as others`;
  assert.equal(row!.others.count, 3);
});
