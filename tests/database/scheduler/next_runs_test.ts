import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "next_runs gives instants and local times, and says what a pause will skip",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "30 1 * * *", time_zone: "America/New_York" });
    await t.register(sql, "off", { enabled: false });
    await sql`select scheduler.pause('job', 'moving', 'Ada', ${new Date(
      "2026-03-08T00:00Z",
    )}, ${t.NOON})`;
    const rows = await sql`
    select job_name, run_at, local_time::text, time_zone, note
    from scheduler.next_runs(null, 2, ${new Date("2026-03-07T00:00:00Z")})`;
    assert.deepEqual([...rows], [
      {
        job_name: "job",
        run_at: new Date("2026-03-07T06:30:00Z"),
        local_time: "2026-03-07 01:30:00",
        time_zone: "America/New_York",
        note: "will be skipped: paused by Ada: moving (until 2026-03-07 19:00:00 America/New_York)",
      },
      {
        job_name: "job",
        run_at: new Date("2026-03-08T06:30:00Z"),
        local_time: "2026-03-08 01:30:00",
        time_zone: "America/New_York",
        note: null,
      },
    ]);
  },
);

t.ledgerTest("next_runs refuses an unknown job and a count out of range", async ({ sql }) => {
  await t.register(sql, "job");
  const refused = async (name: string, count: number | null) =>
    (await refusal(sql.unsafe("select scheduler.next_runs($1, $2)", [name, count]))).code;
  assert.equal(await refused("nobody", 1), "SD001");
  for (const count of [0, 1001, null]) assert.equal(await refused("job", count), "22023");
  assert.equal((await sql`select * from scheduler.next_runs('job', 1000)`).length, 1000);
});

t.ledgerTest("next_runs lists the next runs of all jobs in order of time", async ({ sql }) => {
  const jobs = {
    "every-20": "*/20 * * * *",
    "every-30": "*/30 * * * *",
    "at-25": "25 * * * *",
    "a-month": "0 0 1 * *",
  };
  for (const [name, schedule] of Object.entries(jobs)) await t.register(sql, name, { schedule });
  await sql`select scheduler.register_job('on-call', null)`;
  const next = async (count: number) =>
    (await sql`select job_name, run_at from scheduler.next_runs(null, ${count}, ${t.NOON})`)
      .map((row) => `${row.run_at?.toISOString().slice(5, 16) ?? "-"} ${row.job_name}`);
  assert.deepEqual(await next(7), [
    "03-02T12:20 every-20",
    "03-02T12:25 at-25",
    "03-02T12:30 every-30",
    "03-02T12:40 every-20",
    "03-02T13:00 every-20",
    "03-02T13:00 every-30",
    "03-02T13:20 every-20",
    "- on-call",
  ]);
  assert.deepEqual(await next(1), ["03-02T12:20 every-20", "- on-call"]);
  const many = await next(1000);
  assert.equal(many.length, 1001);
  assert.deepEqual(
    many.slice(0, -1),
    many.slice(0, -1).sort((a, b) => a.slice(0, 11) < b.slice(0, 11) ? -1 : 0),
  );
});

t.ledgerTest("next_runs of a disabled job says that it is", async ({ sql }) => {
  await t.register(sql, "off", { enabled: false });
  const rows = await sql`select job_name, run_at, note from scheduler.next_runs('off')`;
  assert.deepEqual([...rows], [
    { job_name: "off", run_at: null, note: "is disabled: register it with enabled => true" },
  ]);
  assert.deepEqual([...await sql`select * from scheduler.next_runs()`], []);
});

t.ledgerTest("next_runs says until when an ended incident still skips", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "30 seconds" });
  await sql`select scheduler.register_job('service', '@continuous')`;
  await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
  await sql`select scheduler.end_incident('Ada', 300, ${t.after(1)})`;
  const rows = await sql`select job_name, note from scheduler.next_runs(null, 1, ${t.after(1)})`;
  assert.deepEqual(rows.map((row) => row.note), [
    null,
    "is continuous: its next run waits because an incident was called by Ada: a leak (until 2026-03-02 12:06:00 UTC)",
  ]);
  await sql`update scheduler_jobs set stopped_until = ${t.after(6)} where name = 'job'`;
  const [row] = await sql`select note from scheduler.next_runs('job', 1, ${t.after(1)})`;
  assert.equal(
    row!.note,
    "will be skipped: an incident was called by Ada: a leak (until 2026-03-02 12:06:00 UTC)",
  );
});

t.ledgerTest("next_runs names the dependencies that will be waited for", async ({ sql }) => {
  await t.register(
    sql,
    "fixtures",
    { schedule: "0 6 * * *", max_attempts: 1 },
    t.after(18 * 60),
  );
  await t.register(sql, "results", { schedule: "0 * * * *", depends_on: ["fixtures"] }, t.NOON);
  const note = async (hours: number) =>
    (await sql`select note from scheduler.next_runs('results', 1, ${t.after(hours * 60)})`)[0]!
      .note;
  assert.equal(await note(2), null, "fixtures was never due");
  assert.equal(await note(17.5), "waits for fixtures", "its occurrence of 6 comes before");
  const due = t.after(18 * 60);
  const id = await t.start(sql, "fixtures", due);
  assert.equal(await note(18.5), "waits for fixtures", "it is under way");
  await t.begin(sql, id, due, "fixtures");
  await t.finish(sql, id, "failed", t.after(1, due));
  assert.equal(await note(18.5), "will be skipped unless a run completes of fixtures");
  await t.register(sql, "results", {
    schedule: "0 * * * *",
    depends_on: ["fixtures"],
    on_dependency_failure: "run",
  }, t.NOON);
  assert.equal(await note(18.5), null);
});
