import assert from "node:assert/strict";
import type { Entry } from "../../../cli/audit/entry.ts";
import { brief, callEntry, listEntry, NOW, of, post, sqlEntry } from "../../support/audit.ts";

const briefs = (rule: string, entries: Entry[]) => of(rule, entries).map(brief);

Deno.test("the same work at the same times is found, however its SQL is written", () => {
  assert.deepEqual(
    briefs("same-work-same-times", [
      sqlEntry("a", "0 5 * * *", "select  nightly() -- the batch"),
      sqlEntry("b", "0 05 * * *", "SELECT nightly();"),
    ]),
    ["same-work-same-times, proven: a, b"],
  );
});

Deno.test("payloads that differ in who asks are likely the same work, others are not", () => {
  const with_ = (name: string, body: string) =>
    sqlEntry(name, "0 5 * * *", post("batch", `, body := '${body}'::jsonb`));
  assert.deepEqual(
    briefs("same-work-same-times", [
      with_("a", '{"source": "cron-a", "mode": "all"}'),
      with_("b", '{"mode": "all"}'),
    ]),
    ["same-work-same-times, likely: a, b"],
  );
  assert.deepEqual(
    briefs("same-work-same-times", [with_("a", '{"mode": "all"}'), with_("b", '{"mode": "one"}')]),
    [],
  );
  const elsewhere = sqlEntry("b", "0 5 * * *", post("batch").replace("abc.", "xyz."));
  const here = sqlEntry("a", "0 5 * * *", post("batch"));
  assert.deepEqual(briefs("same-work-same-times", [here, elsewhere]), []);
});

Deno.test("a schedule that covers another's is found, also in another zone; one that never meets it is not", () => {
  const wide = listEntry("wide", "*/5 * * * *", "batch");
  const within = (schedule: string, zone = "UTC") =>
    listEntry("narrow", schedule, "batch", { zone });
  for (const narrow of [within("*/15 * * * *"), within("0 3 * * *", "America/New_York")]) {
    assert.deepEqual(briefs("same-work-covered", [wide, narrow]), [
      "same-work-covered, proven: wide, narrow",
    ]);
  }
  for (const none of [within("2-59/5 * * * *"), listEntry("narrow", "*/15 * * * *", "other")]) {
    assert.deepEqual(of("same-work-covered", [wide, none]), []);
    assert.deepEqual(of("same-work-overlaps", [wide, none]), []);
  }
  const seconds = callEntry("batch", "30 seconds");
  const hourly = callEntry("batch", "7 * * * *", { name: "hourly" });
  assert.deepEqual(briefs("same-work-covered", [hourly, seconds]), [
    "same-work-covered, proven: batch, hourly",
  ]);
});

Deno.test("schedules that meet at times overlap", () => {
  const found = of("same-work-overlaps", [
    listEntry("a", "*/4 * * * *", "batch"),
    listEntry("b", "*/6 * * * *", "batch"),
  ]);
  assert.deepEqual(found.map(brief), ["same-work-overlaps, proven: a, b"]);
  assert.match(found[0]!.evidence[0]!, / meet 43,800 times a year$/);
});

Deno.test("an entry that is switched off, or of a list that is not in force, does the same work as none", () => {
  const other = listEntry("b", "0 5 * * *", "batch");
  assert.deepEqual(
    of("same-work-same-times", [listEntry("a", "0 5 * * *", "batch", { active: false }), other]),
    [],
  );
  const sections = [{ section: "before" }, { section: "after" }];
  assert.deepEqual(
    of("same-work-same-times", sections.map((section) => ({ ...other, ...section }))),
    [],
  );
});

Deno.test("a pair for winter and summer time is found with the local times and the days of the change", () => {
  const [found, ...more] = of("zone-pair", [
    listEntry("batch-midnight-edt", "0 4 * * *", "batch"),
    listEntry("batch-midnight-est", "0 5 * * *", "batch"),
  ]);
  assert.equal(more.length, 0);
  assert.deepEqual(found!.evidence, [
    "2026-01-15 to 2026-03-07 at 00:00 and 23:00",
    "2026-03-09 to 2026-10-31 at 00:00 and 01:00",
    "2026-11-02 to 2027-01-14 at 00:00 and 23:00",
    "so America/New_York has 2 runs a day; 1 on 2026-03-08 and 3 on 2026-11-01",
  ]);
});

Deno.test("a pair with months of its own runs twice only around the changes", () => {
  const [found] = of("zone-pair", [
    listEntry("report-edt", "0 7 * 3-11 *", "report"),
    listEntry("report-est", "0 8 * 1-3,11,12 *", "report"),
  ]);
  assert.deepEqual(found!.evidence, [
    "2026-01-15 to 2026-02-28 at 03:00",
    "2026-03-01 to 2026-03-07 at 02:00 and 03:00",
    "2026-03-08 to 2026-03-31 at 03:00 and 04:00",
    "2026-04-01 to 2026-10-31 at 03:00",
    "2026-11-01 to 2026-11-30 at 02:00 and 03:00",
    "2026-12-01 to 2027-01-14 at 03:00",
    "so America/New_York has 1 run a day; 2 on 61 days",
  ]);
});

Deno.test("a pair that shares the days of the week, so that each has one run, is no fault", () => {
  const pair = [
    listEntry("batch-edt", "0 7 * * 1-5", "batch"),
    listEntry("batch-est", "0 8 * * 0,6", "batch"),
  ];
  assert.deepEqual(of("zone-pair", pair), []);
});

Deno.test("two of other work, of other hours, or that only look like letters of a zone are no pair", () => {
  const edt = listEntry("batch-edt", "0 4 * * *", "batch");
  for (
    const other of [
      listEntry("batch-est", "0 5 * * *", "another"),
      listEntry("batch-est", "0 9 * * *", "batch"),
      listEntry("batch-test", "0 5 * * *", "batch"),
      listEntry("batch-pst", "0 5 * * *", "batch"),
      listEntry("batch-est", "0 5 * * *", "batch", { active: false }),
    ]
  ) {
    assert.deepEqual(of("zone-pair", [edt, other]), [], other.name + other.schedule);
  }
});

Deno.test("local times that come twice or not at all are found on the days of the change", () => {
  const entry = (schedule: string, more: Partial<Entry> = {}) =>
    sqlEntry("nightly", schedule, "select 1", { zone: "America/New_York", ...more });
  const evidence = (one: Entry) =>
    of("change-days", [one]).map(({ certainty, evidence }) => [certainty, ...evidence]);
  assert.deepEqual(evidence(entry("30 2 * * *")), [
    ["proven", "nightly, America/New_York: 2026-03-08 02:30 not at all"],
  ]);
  assert.deepEqual(evidence(entry("0 1 * * *")), [
    ["proven", "nightly, America/New_York: 2026-11-01 01:00 twice"],
  ]);
  assert.deepEqual(evidence(entry("*/15 1-2 * * *")), [[
    "proven",
    "nightly, America/New_York: 2026-03-08 02:00 to 02:45 not at all; 2026-11-01 01:00 to 01:45 twice",
  ]]);
  assert.deepEqual(evidence(entry("0 1 * * *", { engine: "kubernetes" }))[0]![0], "proven");
  assert.deepEqual(evidence(entry("0 1 * * *", { engine: "crontab" }))[0]![0], "not knowable here");
  for (
    const none of [
      entry("0 3 * * *"),
      entry("30 * * * *"),
      entry("30 2 * * 1"),
      entry("30 2 * * *", { zone: "UTC" }),
      entry("30 2 * * *", { zone: "Asia/Tokyo" }),
      entry("30 2 * * *", { engine: "daybook" }),
    ]
  ) {
    assert.deepEqual(evidence(none), [], `${none.schedule} ${none.zone} ${none.engine}`);
  }
});

Deno.test("a name that says a time of a zone is held to it", () => {
  const say = (name: string, schedule: string) =>
    of("name-says-other-time", [listEntry(name, schedule)]);
  assert.deepEqual(say("batch-midnight-edt", "0 5 * * *")[0]!.evidence, [
    "00:00 EDT is 04:00 UTC; 0 5 * * * is 01:00 EDT",
  ]);
  assert.equal(say("report-5:30pm-cet", "30 17 * * *").length, 1);
  for (
    const [name, schedule] of [
      ["batch-midnight-edt", "0 4 * * *"],
      ["report-5:30pm-cet", "30 16 * * *"],
      ["batch-edt", "0 4 * * *"],
      ["every-3am-est", "0 * * * *"],
    ] as const
  ) {
    assert.deepEqual(say(name, schedule), [], name);
  }
  const local = listEntry("batch-3am-est", "0 3 * * *", "batch", { zone: "America/New_York" });
  assert.deepEqual(of("name-says-other-time", [local]), [], "it has the zone that it says");
});

Deno.test("an entry in UTC that a name or comment calls local is found, with its local times", () => {
  const [found] = of("utc-called-local", [
    listEntry("digest", "0 14 * * *", "digest", { comment: "9 am in New York" }),
  ]);
  assert.deepEqual([found!.certainty, ...found!.evidence], [
    "likely",
    "2026-01-15 to 2026-03-07 at 09:00, America/New_York",
    "2026-03-08 to 2026-10-31 at 10:00, America/New_York",
    "2026-11-01 to 2027-01-14 at 09:00, America/New_York",
    "238 runs a year not at 09:00",
  ]);
  assert.equal(of("utc-called-local", [listEntry("digest-pst", "0 14 * * *")]).length, 1);
  assert.equal(
    of("utc-called-local", [listEntry("nightly-3am", "0 8 * * *")])[0]!.severity,
    "note",
  );
  for (
    const none of [
      listEntry("nightly-3am", "0 3 * * *"),
      listEntry("nightly-3am-utc", "0 8 * * *"),
      listEntry("digest", "0 9 * * *", "digest", {
        comment: "9 am in New York",
        zone: "America/New_York",
      }),
      listEntry("latest-digest", "0 14 * * *"),
      listEntry("sync-paris-office", "0 14 * * *"),
      listEntry("hourly", "0 * * * *", "hourly", { comment: "New York" }),
      listEntry("stats-in-tokyo", "0 14 * * *", "x", { comment: "Asia/Tokyo, 11pm" }),
    ]
  ) {
    assert.deepEqual(of("utc-called-local", [none]), [], none.name);
  }
});

Deno.test("a schedule that no day meets never occurs; 29 February does", () => {
  for (const schedule of ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"]) {
    assert.deepEqual(of("never-occurs", [listEntry("x", schedule)]).map(brief), [
      "never-occurs, proven: x",
    ]);
  }
  for (const schedule of ["0 0 29 2 *", "0 0 31 2 1", "0 0 31 1-2 *", "@reboot", "@continuous"]) {
    assert.deepEqual(of("never-occurs", [listEntry("x", schedule)]), [], schedule);
  }
  assert.deepEqual(of("never-occurs", [listEntry("x", "0 0 31 2 *", "x", { active: false })]), []);
  assert.deepEqual(of("never-occurs", [sqlEntry("x", "0 0 $ 2 *", "select 1")]), []);
});

Deno.test("a schedule that cannot be read is likely wrong", () => {
  for (const schedule of ["0 25 * * *", "* * * *", "0 0 * * funday"]) {
    assert.deepEqual(briefs("unreadable-schedule", [listEntry("x", schedule)]), [
      "unreadable-schedule, likely: x",
    ]);
  }
  assert.deepEqual(of("unreadable-schedule", [sqlEntry("x", "30 seconds", "select 1")]), []);
  assert.equal(of("unreadable-schedule", [sqlEntry("x", "90 seconds", "select 1")]).length, 1);
});

Deno.test("a budget counts the calls of all its entries in one window", () => {
  const poller = (name: string, seconds: number, budget: string, calls = 1) =>
    listEntry(name, `${seconds} seconds`, name, {
      budget: { name: budget, calls: 15, seconds: 900, callsPerRun: calls },
    });
  assert.deepEqual(briefs("budget-overdrawn", [poller("a", 60, "x", 2)]), [
    "budget-overdrawn, proven: a",
  ]);
  assert.deepEqual(briefs("budget-overdrawn", [poller("a", 60, "x"), poller("b", 90, "y")]), []);
  assert.deepEqual(briefs("budget-overdrawn", [poller("a", 120, "x"), poller("b", 120, "x")]), []);
});

Deno.test("minutes are shared by other work alone, and not where an entry says why", () => {
  const a = listEntry("a", "0 * * * *");
  const b = listEntry("b", "0 3 * * *");
  const [found] = of("shared-minutes", [a, b]);
  assert.deepEqual([found!.severity, ...found!.evidence], ["note", "a and b: 365 times a year"]);
  for (
    const none of [
      { ...b, shares: "it is light" },
      { ...b, schedule: "1 3 * * *" },
      { ...b, active: false },
      { ...b, work: a.work },
      { ...b, schedule: "@continuous" },
    ]
  ) {
    assert.deepEqual(of("shared-minutes", [a, none]), []);
  }
  const days = ["1", "2"].map((day) => listEntry(`on-${day}`, `0 3 * * ${day}`));
  assert.deepEqual(of("shared-minutes", days), [], "the same time of other days");
  const five = ["a", "b", "c", "d", "e"].map((name) => listEntry(name, "0 3 * * *"));
  assert.equal(of("shared-minutes", five)[0]!.severity, "warning");
});

Deno.test("hours told to have no work are found, by how much an entry runs in them", () => {
  const works = [{ fromHour: 3, toHour: 6, zone: "America/New_York" }];
  const idle = (entry: Entry, told = works) =>
    of("idle-hours", [entry], { works: told }).map(({ title, evidence }) => [title, ...evidence]);
  assert.deepEqual(idle(listEntry("a", "*/30 * * * *")), [[
    "a runs all day; there is work from 3:00 to 6:00 in America/New_York",
    "*/30 * * * * UTC: 88 % of the runs are outside, as --works says",
  ]]);
  assert.match(idle(listEntry("a", "0 20 * * *"))[0]![0]!, /^a runs only when there is no work/);
  // 07:00 UTC is 03:00 in summer and 02:00 in winter.
  assert.match(idle(listEntry("a", "0 7 * * *"))[0]![0]!, /^a runs for part of the year when/);
  assert.deepEqual(idle(listEntry("a", "0 8,9 * * *")), []);
  assert.deepEqual(idle(listEntry("a", "*/15 3-5 * * *", "a", { zone: "America/New_York" })), []);
  const night = [{ fromHour: 22, toHour: 2, zone: "UTC" }];
  assert.deepEqual(idle(listEntry("a", "30 22,23,0,1 * * *"), night), []);
  assert.equal(idle(listEntry("a", "0 2 * * *"), night).length, 1);
});

Deno.test("hours without work are likely where a log shows them: long calls on three days in a few hours", () => {
  const entry = callEntry("batch", "*/30 * * * *");
  const log = (days: number, long: (hour: number) => boolean) =>
    Array.from({ length: days * 48 }, (_, index) => {
      const startedAt = new Date(NOW.getTime() + index * 1_800_000);
      return {
        functionName: "batch",
        startedAt,
        durationMs: long(startedAt.getUTCHours()) ? 9_000 : 80,
      };
    });
  const found = (runs: ReturnType<typeof log>) =>
    of("idle-hours", [entry], { functionRuns: runs }).map((
      { certainty, title },
    ) => [certainty, title]);
  assert.deepEqual(found(log(4, (hour) => hour >= 7 && hour < 10)), [
    ["likely", "batch runs all day; there is work from 7:00 to 10:00 in UTC"],
  ]);
  assert.deepEqual(found(log(4, (hour) => hour >= 23 || hour < 1)), [
    ["likely", "batch runs all day; there is work from 23:00 to 1:00 in UTC"],
  ]);
  assert.deepEqual(found(log(2, (hour) => hour >= 7 && hour < 10)), [], "two days are too few");
  assert.deepEqual(found(log(4, (hour) => hour % 3 === 0)), [], "all over the day");
  assert.deepEqual(found(log(4, () => false)), [], "nothing is long");
});
