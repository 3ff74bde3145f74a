import assert from "node:assert/strict";
import { batchTest } from "../../support/daily-batch.ts";

const DAY = ["2026-07-01T00:00Z", "2026-07-02T00:00Z"];

batchTest(
  "the faults an audit found in the old entries are gone: overlaps, EDT/EST pairs, all-day entries without work",
  async ({ sql }) => {
    const audited = (await Deno.readTextFile(
      new URL("../../support/schedules/daily-batch-audited.tsv", import.meta.url),
    )).split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) =>
      line.split("\t")
    );
    assert.equal(audited.length, 9);
    const entries = await sql`
    select name, schedule, time_zone, function_name, cron_entry, run_if from scheduler_jobs
    where function_name in ('daily-batch-trigger', 'batch-reconciler') order by name`;
    for (const [name] of audited) {
      assert.ok(!entries.some((entry) => entry.name === name), `${name} is gone`);
    }
    // The old ones named one local time by a UTC entry for summer and one for winter; ours name it in its zone.
    for (const entry of entries) {
      assert.doesNotMatch(entry.name, /-(edt|est)$/);
      if (entry.time_zone === "UTC") {
        assert.ok(entry.run_if, `${entry.name} asks before it costs anything`);
      }
    }
    // No two entries of a function do the same work in the same minute.
    const triggers = entries.filter((entry) => entry.function_name === "daily-batch-trigger");
    assert.deepEqual(
      triggers.map(({ name, schedule, time_zone, cron_entry, run_if }) => [
        name,
        schedule,
        time_zone,
        cron_entry,
        run_if,
      ]),
      [
        [
          "daily-batch-trigger",
          "*/15 3-5 * * *",
          "America/New_York",
          "*/15 7-10 * * *",
          "batches.daily_is_due",
        ],
        [
          "daily-batch-trigger-zones",
          "*/15 * * * *",
          "UTC",
          "*/15 * * * *",
          "batches.zoned_is_due",
        ],
      ],
    );
    const payloads = await sql`
    select payload from scheduler_jobs where function_name = 'daily-batch-trigger' order by name`;
    assert.deepEqual(payloads.map((row) => row.payload), [{}, { zones: true }]);

    const fired = async (schedules: string[][]) => {
      const minutes = await sql<{ count: number }[]>`
      select count(*)::int from jsonb_array_elements(${sql.json(schedules)}) as entry,
        scheduler.occurrences(entry ->> 0, entry ->> 1, ${DAY[0]!}, ${DAY[1]!})`;
      return minutes[0]!.count;
    };
    const before = await fired(
      audited.filter((entry) => entry[3] === "daily-batch-trigger").map((
        entry,
      ) => [entry[1]!, entry[2]!]),
    );
    assert.equal(before, 389, "requests a day, all but one of them for nothing");
    // Ours fire for organizations that are due, and once for the platform.
    await sql`update scheduler_jobs set next_run_at = ${DAY[
      0
    ]!} where function_name = 'daily-batch-trigger'`;
    let sent = 0;
    for (let at = Date.parse(DAY[0]!); at < Date.parse(DAY[1]!); at += 15 * 60_000) {
      const now = new Date(at);
      for (const zones of [false, true]) {
        const name = zones ? "daily-batch-trigger-zones" : "daily-batch-trigger";
        const [row] = await sql`select scheduler.dispatch(${name}, ${now}) as run`;
        if (row!.run === null) continue;
        sent++;
        await sql`select scheduler.begin_run(${row!.run}, 'daily-batch-trigger', 'test', ${now})`;
        await sql`select batches.trigger_daily(p_zones => ${zones}, p_now => ${now})`;
        await sql`select scheduler.finish_run(${row!.run}, 'completed', p_now => ${now})`;
      }
    }
    assert.equal(sent, 1);
  },
);
