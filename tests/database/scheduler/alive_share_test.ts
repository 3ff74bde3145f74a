import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

/** Runs of a continuous job with an idle time of a minute: begin and end in minutes, then what is special. */
const cases: [string, [number, number | null, string?][], number][] = [
  ["no run", [], 0],
  ["one run over all of it", [[-10, 110]], 1],
  ["half of it", [[0, 50]], 0.5],
  ["a hand-over of 3 s", [[0, 50], [50.05, 100]], 1],
  ["a hand-over of 30 s", [[0, 50], [50.5, 100]], 0.995],
  ["an idle time and the wait for the pulse", [[0, 48.8, "idle"], [50, 100]], 1],
  ["an idle minute as planned", [[0, 49, "idle"], [50, 100]], 1],
  ["an idle time that lasts longer", [[0, 49, "idle"], [60, 100]], 0.9],
  ["a heartbeat that stopped at 20", [[0, 50, "stalled"], [50, 100]], 0.7],
  ["a run that is under way, with its last heartbeat at 80", [[0, null]], 0.82],
];

for (const [name, lives, share] of cases) {
  t.ledgerTest(`alive_share() of ${name} is ${share}`, async ({ sql }) => {
    await sql`select scheduler.register_job('job', '@continuous', idle_seconds => 60)`;
    await sql`update scheduler_jobs set created_at = ${t.after(-100)}`;
    for (const [from, to, special] of lives) {
      await sql`
        insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, started_at, heartbeat_at,
          completed_at, verdict, result)
        values ('job', 'job', ${
        to === null ? "running" : special === "stalled" ? "failed" : "completed"
      }, 'continuous',
          ${t.after(from)}, ${t.after(from)}, ${t.after(special === "stalled" ? 20 : 80)},
          ${to === null ? null : t.after(to)}, ${
        to === null ? null : special === "stalled" ? "stalled" : "ok"
      },
          ${sql.json({ idle: special === "idle" })})`;
    }
    // The heartbeat's timeout of 120 s is the end of a run that is under way.
    await sql`update scheduler_settings set value = '120' where key = 'scheduler.heartbeat_timeout_seconds'`;
    const [row] = await sql`select scheduler.alive_share('job', ${t.NOON}, ${
      t.after(100)
    })::float as share`;
    assert.equal(row!.share, share);
  });
}

t.ledgerTest("alive_share() is of continuous jobs and of ranges that are some", async ({ sql }) => {
  await t.register(sql, "clock");
  await sql`select scheduler.register_job('job', '@continuous')`;
  await assert.rejects(
    sql`select scheduler.alive_share('clock', now() - interval '1 h', now())`,
    /it is not continuous/,
  );
  await assert.rejects(
    sql`select scheduler.alive_share('job', now(), now())`,
    /from must be a moment before to/,
  );
  await assert.rejects(
    sql`select scheduler.alive_share('moon', now(), now())`,
    /there is no job named 'moon'/,
  );
});

t.ledgerTest(
  "alive_share() is of the time in which the job was registered and nobody had stopped it",
  async ({ sql }) => {
    await sql`select scheduler.register_group('g')`;
    await sql`select scheduler.register_job('job', '@continuous', group_name => 'g')`;
    await sql`update scheduler_jobs set created_at = ${t.NOON}`;
    const share = async (from: number, to: number) =>
      (await sql`select scheduler.alive_share('job', ${t.after(from)}, ${
        t.after(to)
      })::float as share`)[0]!.share;
    const ran = (from: number, to: number) =>
      sql`
      insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, started_at, heartbeat_at,
        completed_at, verdict)
      values ('job', 'job', 'completed', 'continuous', ${t.after(from)}, ${t.after(from)}, ${
        t.after(from)
      },
        ${t.after(to)}, 'ok')`;
    const verb = (call: string, minute: number) =>
      t.value(sql, `scheduler.${call}`, [t.after(minute)]);
    assert.equal(await share(-20, -10), null, "it was not there");
    assert.equal(await share(-20, 20), 0);
    await ran(0, 20);
    assert.equal(await share(-20, 20), 1);
    // Ten minutes each of a pause, of one with an end, of the group's pause, and of an incident with its ramp.
    await verb("pause('job', 'why', 'ann', null, $1)", 20);
    await verb("resume('job', 'ann', $1)", 30);
    await verb(`pause('job', 'why', 'ann', '${t.after(40).toISOString()}', $1)`, 30);
    await verb("pause_group('g', 'why', 'ann', null, $1)", 40);
    await verb("resume_group('g', 'ann', $1)", 50);
    await verb("start_incident('why', 'ann', p_now => $1)", 50);
    await verb("end_incident('ann', 300, $1)", 55);
    await ran(60, 80);
    assert.equal(await share(0, 80), 1);
    assert.equal(await share(25, 60), null, "it was stopped all the time");
    assert.equal(await share(0, 100), 0.66667);
    await verb("pause('job', 'why', 'ann', null, $1)", 80);
    assert.equal(await share(0, 100), 1, "it still is");
  },
);
