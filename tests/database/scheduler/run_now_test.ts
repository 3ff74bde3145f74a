import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const runNow = "scheduler.run_now($1, 'ann', $2, $3)";

t.ledgerTest(
  "run_now sends at once, also a paused or disabled job, and leaves the schedule alone",
  async ({ sql }) => {
    await t.register(sql, "off", { enabled: false, payload: { depth: 1 } });
    await t.register(sql, "paused", { payload: { depth: 1 } });
    await sql`select scheduler.pause('paused', 'r', 'a', null, ${t.after(-1)})`;
    const cursors = () => sql`select name, next_run_at from scheduler_jobs order by name`;
    const before = [...await cursors()];
    await t.value(sql, runNow, ["off", null, t.after(0.3)]);
    await t.value(sql, runNow, ["paused", { depth: 9 }, t.after(0.3)]);
    for (const name of ["off", "paused"]) {
      assert.deepEqual(await t.summary(sql, name), ["dispatched manual 1"]);
      assert.deepEqual((await t.runs(sql, name))[0]!.scheduled_for, t.after(0.3));
    }
    assert.deepEqual((await t.requests(sql)).map((request) => request.body), [{ depth: 1 }, {
      depth: 9,
    }]);
    assert.deepEqual([...await cursors()], before);
  },
);

t.ledgerTest("run_now is refused while a run holds the lock, and says which", async ({ sql }) => {
  await t.register(sql, "job");
  const id = await t.dispatch(sql, "job");
  const error = await refusal(t.value(sql, runNow, ["job", null, t.after(0.5)]));
  assert.equal(error.code, "SD101");
  assert.match(error.message, new RegExp(`run ${id} has been under way since 2026-03-02`));
  assert.match(error.hint!, /release_lock\('job'/);
  assert.equal((await t.runs(sql, "job")).length, 1);
});

t.ledgerTest("a failed run_now is retried like any other", async ({ sql }) => {
  await t.register(sql, "job");
  const id = await t.value(sql, runNow, ["job", { depth: 3 }, t.after(0.5)]);
  await t.begin(sql, id, t.after(0.5));
  await t.finish(sql, id, "failed", t.after(0.5));
  assert.deepEqual(await t.summary(sql, "job"), ["failed manual 1 job_error", "queued retry 2"]);
  assert.deepEqual((await t.runs(sql, "job"))[1]!.payload, { depth: 3 });
});

t.ledgerTest("run_now refuses an unknown job and a payload that is no object", async ({ sql }) => {
  await t.register(sql, "job");
  const unknown = await refusal(t.value(sql, runNow, ["nobody", null, t.NOON]));
  assert.equal(unknown.code, "SD001");
  assert.equal(unknown.hint, "the jobs are: job");
  for (const payload of ["[]", '"text"', "1", "null", "true"]) {
    const error = await refusal(sql.unsafe(`select scheduler.run_now('job', 'ann', '${payload}')`));
    assert.equal(error.code, "22023");
    assert.match(error.message, /payload must be a JSON object/);
  }
  assert.deepEqual(await t.runs(sql, "job"), []);
});

t.ledgerTest("run_now asks who it is, and says so in the activity", async ({ sql }) => {
  await t.register(sql, "job");
  for (const author of ["null", "''", "' '"]) {
    const error = await refusal(sql.unsafe(`select scheduler.run_now('job', ${author})`));
    assert.deepEqual([error.code, error.message], [
      "22023",
      "cannot run job: author must be given",
    ]);
    assert.equal(error.hint, "select scheduler.run_now('job', 'who')");
  }
  const id = await t.value(sql, "scheduler.run_now('job', ' ann ', null, $1)", [t.NOON]);
  const [line] = await sql`select source, message, details from scheduler_activity`;
  assert.deepEqual({ ...line }, {
    source: "job",
    message: "a run was asked for by ann",
    details: { run_id: id },
  });
});

t.ledgerTest("run_now of a disabled job says that its limit is reached", async ({ sql }) => {
  await t.register(sql, "job", {
    overlap_policy: "allow",
    parallel_limit: 1,
    enabled: false,
  });
  await sql`select scheduler.run_now('job', 'ann', null, ${t.NOON})`;
  await assert.rejects(
    async () => await sql`select scheduler.run_now('job', 'ann', null, ${t.after(0.01)})`,
    { code: "SD101", message: /as many runs as may be are under way, and it is disabled/ },
  );
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched manual 1"]);
});

for (const how of ["run_now", "a call of the function"] as const) {
  t.ledgerTest(
    `what may go after the answers that ${how} has read goes with the next pulse`,
    async ({ sql }) => {
      await sql`
      select scheduler.register_job('job', null, overlap_policy => 'allow', parallel_limit => 2, max_attempts => 1)`;
      await sql`select scheduler.enqueue_runs('job', '[{}, {}, {}]', null, ${t.NOON})`;
      await t.pulse(sql, t.NOON);
      for (const { id } of (await t.runs(sql, "job")).slice(0, 2)) {
        await t.answer(sql, id, { status: 404 }, t.after(0.05));
      }
      if (how === "run_now") await t.value(sql, runNow, ["job", null, t.after(0.1)]);
      else await sql`select scheduler.begin_manual_run('job', 'job', null, '', ${t.after(0.1)})`;
      await t.pulse(sql, t.after(0.2));
      assert.equal((await t.summary(sql, "job"))[2], "dispatched enqueued 1");
    },
  );
}
