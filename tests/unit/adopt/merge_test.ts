import assert from "node:assert/strict";
import { jobsIn, leftIn, linesOf, PROJECT, proposalsFor } from "../../support/adopt.ts";
import { callEntry, post, sqlEntry } from "../../support/audit.ts";

const call = (name: string, schedule: string, functionName = "work") =>
  sqlEntry(name, schedule, post(functionName));
const inNewYork = { fromHour: 3, toHour: 6, zone: "America/New_York" };

Deno.test("the nine entries of the daily batch become two jobs, each with its reasons", async () => {
  const entries = (await linesOf("daily-batch-audited.tsv")).map(([name, schedule, , target]) =>
    call(name!, schedule!, target!)
  );
  const found = proposalsFor(entries, { works: [inNewYork] });
  assert.deepEqual(jobsIn(found), [
    "daily-batch-trigger: */15 3-5 * * * America/New_York < daily-batch-trigger-resilient, " +
    "daily-batch-trigger-every-5min, daily-batch-midnight-edt, daily-batch-midnight-est, " +
    "daily-batch-trigger-12am-est, daily-scheduler-3am-edt, daily-scheduler-3am-est",
    "batch-reconciler: */30 * * * * UTC < batch-reconciler-cleanup, batch-reconciler-every-10min",
  ]);
  const [trigger, reconciler] = found.jobs.map(({ reasons }) => reasons.join("\n"));
  for (
    const reason of [
      /daily-batch-midnight-edt and daily-batch-trigger-12am-est do the same at the same times/,
      /are one local time as two entries/,
      /every-5min \(\*\/5 \* \* \* \*\) starts it at other times, too; a job tries a failed run again/,
      /run only when there is no work/,
      /There is work from 3:00 to 6:00 in America\/New_York, as --works says/,
    ]
  ) assert.match(trigger!, reason);
  assert.match(reconciler!, /every-10min .* starts it at other times, too/);
  assert.match(reconciler!, /none of its entries speaks of America\/New_York/);
  assert.deepEqual(leftIn(found), {});
});

Deno.test("hours that are told for all narrow what speaks of their zone, hours for an entry that entry", () => {
  const entries = [call("poller", "*/10 * * * *")];
  assert.deepEqual(jobsIn(proposalsFor(entries, { works: [inNewYork] })), [
    "poller: */10 * * * * UTC < poller",
  ]);
  const named = { ...inNewYork, entries: "pol*" };
  assert.deepEqual(jobsIn(proposalsFor(entries, { works: [named] })), [
    "poller: */10 3-5 * * * America/New_York < poller",
  ]);
  const overMidnight = { entries: "*", fromHour: 22, toHour: 2, zone: "Europe/Berlin" };
  assert.deepEqual(jobsIn(proposalsFor(entries, { works: [overMidnight] })), [
    "poller: */10 22-23,0-1 * * * Europe/Berlin < poller",
  ]);
});

Deno.test("entries with hours or days of their own, or in seconds, keep their times", () => {
  const works = [{ ...inNewYork, entries: "*" }];
  for (const schedule of ["0 12 * * *", "*/5 * * * 1-5", "0 0 * * 1", "30 seconds"]) {
    const [job] = proposalsFor([call("poller", schedule)], { works }).jobs;
    assert.equal(`${job!.schedule} ${job!.timeZone}`, `${schedule} UTC`);
    assert.match(
      job!.reasons.join("\n"),
      /Its times stay, although there is work only from 3:00 to 6:00/,
    );
  }
  const [inside] = proposalsFor([call("poller", "30 8 * * *")], { works }).jobs;
  assert.doesNotMatch(inside!.reasons.join("\n"), /Its times stay/);
});

Deno.test("a pair for summer and winter becomes one local time, whichever name says which", () => {
  for (const [edt, est] of [["0 7 * * *", "0 8 * * *"], ["0 8 * * *", "0 7 * * *"]] as const) {
    assert.deepEqual(jobsIn(proposalsFor([call("report-edt", edt), call("report-est", est)])), [
      "work: 0 3 * * * America/New_York < report-edt, report-est",
    ]);
  }
  assert.deepEqual(
    jobsIn(proposalsFor([call("a-cet", "30 23 * * *"), call("a-cest", "30 22 * * *")])),
    ["work: 30 0 * * * Europe/Berlin < a-cet, a-cest"],
  );
  assert.deepEqual(
    jobsIn(proposalsFor([call("a-cet", "0 8 * * 1-5"), call("a-cest", "0 7 * * 1-5")])),
    ["work: 0 9 * * 1-5 Europe/Berlin < a-cet, a-cest"],
  );
});

Deno.test("a pair whose local time is another day, of some days alone, stays two jobs", () => {
  const found = proposalsFor([call("a-cet", "0 23 * * 1"), call("a-cest", "0 22 * * 1")]);
  assert.deepEqual(jobsIn(found), [
    "a-cet: 0 23 * * 1 UTC < a-cet",
    "a-cest: 0 22 * * 1 UTC < a-cest",
  ]);
});

Deno.test("of pollers the rarest is kept that three attempts make up for, unless --keep says another", () => {
  const entries = [call("five", "*/5 * * * *"), call("fifteen", "*/15 * * * *")];
  assert.deepEqual(jobsIn(proposalsFor(entries)), ["work: */15 * * * * UTC < five, fifteen"]);
  assert.deepEqual(jobsIn(proposalsFor(entries, { keep: ["five"] })), [
    "work: */5 * * * * UTC < five, fifteen",
  ]);
  // An hour instead of a minute is another service.
  assert.deepEqual(
    jobsIn(proposalsFor([call("minutely", "* * * * *"), call("hourly", "0 * * * *")])),
    ["work: * * * * * UTC < minutely, hourly"],
  );
  // On Saturdays nobody would run.
  assert.deepEqual(
    jobsIn(proposalsFor([call("all", "*/5 * * * *"), call("weekdays", "*/10 * * * 1-5")])),
    ["work: */5 * * * * UTC < all, weekdays"],
  );
  assert.deepEqual(
    jobsIn(proposalsFor([call("seconds", "30 seconds"), call("minutes", "* * * * *")])),
    ["work: * * * * * UTC < seconds, minutes"],
  );
  assert.deepEqual(
    jobsIn(proposalsFor([call("seconds", "5 seconds"), call("minutes", "*/5 * * * *")])),
    ["work: 5 seconds UTC < seconds, minutes"],
  );
});

Deno.test("the same work at other times is not merged; where the times meet now and then that is said", () => {
  const apart = proposalsFor([call("morning", "0 6 * * *"), call("evening", "0 18 * * *")]);
  assert.deepEqual(jobsIn(apart), [
    "morning: 0 6 * * * UTC < morning",
    "evening: 0 18 * * * UTC < evening",
  ]);
  assert.doesNotMatch(apart.jobs[0]!.reasons.join("\n"), /same minute/);
  const meeting = proposalsFor([call("ten", "*/10 * * * *"), call("fifteen", "*/15 * * * *")]);
  assert.equal(meeting.jobs.length, 2);
  assert.match(
    meeting.jobs.flatMap(({ reasons }) => reasons).join("\n"),
    /starts the same work, sometimes in the same minute: .* --keep/,
  );
  assert.deepEqual(
    jobsIn(
      proposalsFor([call("ten", "*/10 * * * *"), call("fifteen", "*/15 * * * *")], {
        keep: ["fifteen"],
      }),
    ),
    ["work: */15 * * * * UTC < ten, fifteen"],
  );
});

Deno.test("what starts at other times and goes is said, also where it starts no more often", () => {
  const entries = [call("quarter", "15 * * * *"), call("half", "0,15 9,10 * * *")];
  const [job] = proposalsFor(entries, { keep: ["quarter"] }).jobs;
  assert.match(
    job!.reasons.join("\n"),
    /--keep says quarter, and not half \(0,15 9,10 \* \* \*\)/,
  );
  assert.equal(job!.maxAttempts, undefined, "three attempts, as it lost some");
});

Deno.test("each entry that --keep names becomes a job; the others go with the first that they meet", () => {
  const entries = [
    call("hourly", "0 * * * *"),
    call("morning", "0 6 * * *"),
    call("evening", "0 18 * * *"),
    call("late", "0 18-20 * * *"),
    call("noon", "0 12 * * *"),
  ];
  assert.deepEqual(jobsIn(proposalsFor(entries, { keep: ["morning", "evening"] })), [
    "work: 0 6 * * * UTC < hourly, morning, noon",
    "evening: 0 18 * * * UTC < evening, late",
  ]);
});

Deno.test("another payload, target, secret or method is other work; labels alone only where that is said", () => {
  const asked = (name: string, more: string) =>
    sqlEntry(name, "0 3 * * *", post("work", `, body := '${more}', timeout_milliseconds := 60000`));
  const entries = [
    asked("a", '{"source": "github"}'),
    asked("b", '{"source": "gitlab"}'),
    asked("c", '{"list": 1}'),
    asked("d", '{"list":   1}'),
  ];
  const found = proposalsFor(entries);
  assert.deepEqual(jobsIn(found), [
    "a: 0 3 * * * UTC < a",
    "b: 0 3 * * * UTC < b",
    "work: 0 3 * * * UTC < c, d",
  ]);
  assert.match(
    found.jobs[0]!.reasons.join("\n"),
    /payload of b differs only in labels: .*--ignore-labels/,
  );
  assert.deepEqual(
    jobsIn(proposalsFor(entries, { ignoreLabels: true }))[0],
    "work: 0 3 * * * UTC < a, b",
  );
});

Deno.test("the ecosystem's eight jobs stay eight, with their times", async () => {
  const lines = await linesOf("ecosystem.tsv");
  const found = proposalsFor(lines.map(([name, schedule, , what]) =>
    // Both aggregations call the one function, each with its own payload.
    sqlEntry(
      name!,
      schedule!,
      post(name!.replace("-daily", ""), `, body := jsonb_build_object('what', '${what}')`),
    )
  ));
  assert.deepEqual(
    jobsIn(found),
    lines.map(([name, schedule]) => `${name}: ${schedule} UTC < ${name}`),
  );
});

Deno.test("the gateway's thirteen endpoints stay thirteen, also the two that have the same times", async () => {
  const lines = await linesOf("gateway-workers.tsv");
  const found = proposalsFor(
    lines.map(([name, schedule]) =>
      sqlEntry(
        name!,
        schedule!,
        `select net.http_post('https://gateway.example.com/workers/${name}')`,
      )
    ),
  );
  assert.equal(found.jobs.length, 13);
  assert.deepEqual(
    jobsIn(found),
    lines.map(([name, schedule]) => `${name}: ${schedule} UTC < ${name}`),
  );
  assert.ok(found.jobs.every(({ request }) => request.receipt === "response"));
});

Deno.test("of the coordinated jobs each stays one; pg_cron has no entry for what never ends", async () => {
  const lines = (await linesOf("coordination.tsv"))
    .filter(([, schedule]) => schedule !== "@continuous");
  assert.equal(lines.length, 15);
  const found = proposalsFor(lines.map(([name, schedule]) => callEntry(name!, schedule!)));
  assert.deepEqual(
    jobsIn(found),
    lines.map(([name, schedule]) => `${name}: ${schedule} UTC < ${name}`),
  );
});

Deno.test("pollers of one API stay apart, before and after, as pg_cron can say their intervals", async () => {
  // 90 seconds pg_cron cannot say: whoever had it polled twice as often, or each minute.
  const schedules: Record<string, string> = {
    60: "* * * * *",
    90: "45 seconds",
    120: "*/2 * * * *",
    180: "*/3 * * * *",
    300: "*/5 * * * *",
  };
  const lines = await linesOf("x-api-pollers.tsv");
  for (const list of [lines.slice(0, 3), lines.slice(3)]) {
    const found = proposalsFor(
      list.map(([name, seconds]) =>
        sqlEntry(
          name!,
          schedules[seconds!]!,
          `select net.http_post('${PROJECT}/functions/v1/${name}')`,
        )
      ),
    );
    assert.deepEqual(
      jobsIn(found),
      list.map(([name, seconds]) =>
        `${name!.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: ${
          schedules[seconds!]
        } UTC < ${name}`
      ),
    );
  }
});
