// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

async function holidays(sql: Sql): Promise<void> {
  await sql`select scheduler.register_calendar('holidays', 'Days off')`;
  await sql`select scheduler.add_calendar_span('holidays', 'Day of the Moon', 'Ada', '2026-03-02')`;
}

t.ledgerTest(
  "an occurrence in a span is skipped with the span's label, in the job's own time zone",
  async ({ sql }) => {
    await holidays(sql);
    // In Tokyo the day ends at 15:00 UTC.
    for (const [name, zone] of [["london", "UTC"], ["tokyo", "Asia/Tokyo"]]) {
      await t.register(sql, name!, {
        schedule: "*/30 * * * *",
        time_zone: zone,
        calendars: ["holidays"],
      }, t.after(150));
    }
    for (const minutes of [150, 180]) {
      await t.dispatch(sql, "london", t.after(minutes));
      await t.dispatch(sql, "tokyo", t.after(minutes));
    }
    assert.deepEqual(await t.summary(sql, "london"), ["skipped cron 1", "skipped cron 1"]);
    assert.deepEqual(await t.summary(sql, "tokyo"), ["skipped cron 1", "dispatched cron 1"]);
    const [first] = await t.runs(sql, "london");
    assert.deepEqual([first!.skip_kind, first!.skip_reason], [
      "calendar",
      "calendar: Day of the Moon (holidays)",
    ]);
    assert.match(
      await t.value(sql, "scheduler.explain('london', $1, $2)", [t.after(150), t.after(200)]),
      /was skipped at 2026-03-02 14:30 UTC: calendar: Day of the Moon \(holidays\)/,
    );
  },
);

t.ledgerTest(
  "after an outage the newest occurrence outside of the spans is caught up",
  async ({ sql }) => {
    await sql`select scheduler.register_calendar('freeze')`;
    await sql`select scheduler.add_calendar_span('freeze', 'Release', 'Ada', '2026-03-02 13:00', '2026-03-02 15:00')`;
    await t.register(sql, "job", { schedule: "0 * * * *", calendars: ["freeze"] });
    await t.pulse(sql, t.after(210));
    assert.deepEqual(
      (await t.runs(sql, "job")).map((
        row,
      ) => [row.scheduled_for.getUTCHours(), row.status, row.skip_kind]),
      [[12, "missed", "misfire_once"], [13, "skipped", "calendar"], [14, "skipped", "calendar"], [
        15,
        "dispatched",
        null,
      ]],
    );
  },
);

t.ledgerTest("what has no schedule waits for the end of the span", async ({ sql }) => {
  await holidays(sql);
  await sql`select scheduler.register_job('asked', null, calendars => '{holidays}')`;
  await sql`select scheduler.enqueue_runs('asked', '[{}]', null, ${t.NOON})`;
  const [row] = await t.runs(sql, "asked");
  assert.deepEqual([row!.status, row!.waiting.for, row!.waiting.name], [
    "queued",
    "calendar",
    "holidays",
  ]);
  await t.pulse(sql, t.after(719));
  assert.deepEqual(await t.summary(sql, "asked"), ["queued enqueued 1"]);
  await t.pulse(sql, t.after(720));
  assert.deepEqual(await t.summary(sql, "asked"), ["dispatched enqueued 1"]);
});

t.ledgerTest(
  "a span that is removed lets what waits go; next_runs says what will be skipped",
  async ({ sql }) => {
    await holidays(sql);
    await t.register(sql, "job", { schedule: "0 13 * * *", calendars: ["holidays"] }, t.after(60));
    const [next] = await sql`select note from scheduler.next_runs('job', 1, ${t.NOON})`;
    assert.equal(next!.note, "will be skipped: calendar: Day of the Moon (holidays)");
    assert.match(
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.after(60), t.NOON]),
      /and will be skipped: calendar: Day of the Moon/,
    );
    await sql`select scheduler.register_job('asked', null, calendars => '{holidays}')`;
    await sql`select scheduler.enqueue_runs('asked', '[{}]', null, ${t.NOON})`;
    assert.equal(
      await t.value(sql, "scheduler.remove_calendar_span('holidays', '2026-03-02', 'Ada', $1)", [
        t.after(1),
      ]),
      true,
    );
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "asked"), ["dispatched enqueued 1"]);
    const audit = await sql`select verb, subject, reason, before, after from scheduler_audit
        where verb like '%span' order by id`;
    assert.deepEqual(
      audit.map((
        row,
      ) => [row.verb, row.subject, row.reason, row.before !== null, row.after !== null]),
      [
        ["add_calendar_span", "holidays", "Day of the Moon", false, true],
        ["remove_calendar_span", "holidays", "Day of the Moon", true, false],
      ],
    );
  },
);

t.ledgerTest("unknown calendars and spans that cannot be are refused", async ({ sql }) => {
  await assert.rejects(
    t.register(sql, "job", { calendars: ["moon"] }),
    /cannot register the job job: there is no calendar named 'moon'/,
  );
  await assert.rejects(sql`select scheduler.add_calendar_span('moon', 'x', 'Ada', '2026-03-02')`, {
    code: "SD013",
  });
  await sql`select scheduler.register_calendar('moon')`;
  await assert.rejects(
    sql`select scheduler.add_calendar_span('moon', 'x', 'Ada', '2026-03-02', '2026-03-02')`,
    /from must be a local time before to/,
  );
  await assert.rejects(
    sql`select scheduler.add_calendar_span('moon', 'x', 'Ada', '-infinity', 'infinity')`,
    /from must be a local time before to/,
  );
  await assert.rejects(
    sql`select scheduler.add_calendar_span('moon', '', 'Ada', '2026-03-02')`,
    /label and author/,
  );
  await assert.rejects(sql`select scheduler.register_calendar('Moon')`, /name must be 1 to 63/);
});

t.ledgerTest("a calendar goes with its spans, unless a job has it", async ({ sql }) => {
  await holidays(sql);
  await t.register(sql, "job", { calendars: ["holidays"] });
  await assert.rejects(
    sql`select scheduler.unregister_calendar('holidays')`,
    { code: "SD205", message: "cannot take the calendar holidays out: it has jobs: job" },
  );
  await t.register(sql, "job");
  await sql`select scheduler.unregister_calendar('holidays')`;
  assert.deepEqual([...await sql`select from scheduler_calendar_spans`], []);
  await assert.rejects(sql`select scheduler.unregister_calendar('holidays')`, { code: "SD013" });
});
