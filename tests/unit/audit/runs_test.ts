import assert from "node:assert/strict";
import type { DatabaseFacts } from "../../../cli/audit/facts.ts";
import {
  answerOf,
  brief,
  callEntry,
  databaseFacts,
  NOW,
  of,
  post,
  runOf,
  sqlEntry,
} from "../../support/audit.ts";

const known = (more: Partial<DatabaseFacts>) => ({ database: databaseFacts(more) });
const hour = (at: number) => `2026-01-15T${String(at).padStart(2, "0")}:00:00.030Z`;
const answered = (at: number) => `2026-01-15T${String(at).padStart(2, "0")}:00:01.060Z`;
const hours = [7, 8, 9, 10];

Deno.test("a run that pg_cron calls succeeded is an error where its own answer is one", () => {
  const facts = known({
    runs: hours.map((at) => runOf("batch", hour(at))),
    answers: hours.map((at) => answerOf(at, answered(at), { statusCode: at === 7 ? 200 : 401 })),
  });
  const [found] = of("failed-answers", [callEntry("batch", "0 * * * *")], facts);
  assert.equal(found!.certainty, "proven");
  assert.match(found!.title, /^batch: "succeeded", but 3 of 4 answers/);
  assert.equal(found!.evidence[0], "3 × 401");
  assert.deepEqual(of("unknown-answers", [callEntry("batch", "0 * * * *")], facts), []);
});

Deno.test("answers that did not come are errors, one or two of them make it likely", () => {
  const facts = known({
    runs: hours.map((at) => runOf("batch", hour(at))),
    answers: [
      answerOf(1, answered(7), {
        statusCode: null,
        timedOut: true,
        error: "Timeout of 5000 ms reached.",
      }),
      answerOf(2, answered(8), { statusCode: null, error: "Couldn't connect to server" }),
      answerOf(3, answered(9)),
      answerOf(4, answered(10), { statusCode: 304 }),
    ],
  });
  const [found] = of("failed-answers", [callEntry("batch", "0 * * * *")], facts);
  assert.equal(found!.certainty, "likely");
  assert.equal(found!.evidence[0], "1 × no answer in time, 1 × Couldn't connect to server");
});

Deno.test("an answer is nobody's where two entries fired, two answers came, or it came later", () => {
  const batch = callEntry("batch", "0 * * * *");
  const other = callEntry("other", "0 * * * *");
  const bad = (at: string, id = 1) => answerOf(id, at, { statusCode: 500 });
  const cases: [string, Partial<DatabaseFacts>][] = [
    ["two entries", {
      runs: [runOf("batch", hour(7)), runOf("other", hour(7))],
      answers: [bad(answered(7))],
    }],
    ["an entry that is gone", {
      runs: [runOf("batch", hour(7)), runOf("99", hour(7))],
      answers: [bad(answered(7))],
    }],
    ["two answers", {
      runs: [runOf("batch", hour(7))],
      answers: [bad(answered(7)), bad(answered(7), 2)],
    }],
    ["later", { runs: [runOf("batch", hour(7))], answers: [bad("2026-01-15T07:00:03.000Z")] }],
    ["before", { runs: [runOf("batch", hour(7))], answers: [bad("2026-01-15T06:59:59.000Z")] }],
    ["a run that failed itself", {
      runs: [runOf("batch", hour(7), { status: "failed", message: "ERROR" })],
      answers: [bad(answered(7))],
    }],
  ];
  for (const [what, facts] of cases) {
    assert.deepEqual(of("failed-answers", [batch, other], known(facts)), [], what);
  }
  const twice = sqlEntry("twice", "0 * * * *", `${post("a")}; ${post("b")}`);
  const facts = known({ runs: [runOf("twice", hour(7))], answers: [bad(answered(7))] });
  assert.deepEqual(of("failed-answers", [twice], facts), [], "an entry of two requests");
});

Deno.test("runs without an answer of their own are counted as not knowable", () => {
  const facts = known({
    runs: hours.map((at) => runOf("batch", hour(at))),
    answers: [answerOf(1, answered(7))],
  });
  const [found] = of("unknown-answers", [callEntry("batch", "0 * * * *")], facts);
  assert.equal(found!.certainty, "not knowable here");
  assert.match(found!.title, /^What became of 3 of 4 runs/);
  const sql = sqlEntry("batch", "0 * * * *", "select 1");
  assert.deepEqual(of("unknown-answers", [sql], facts), [], "SQL has no answers");
  const off = callEntry("batch", "0 * * * *", { active: false });
  assert.deepEqual(of("unknown-answers", [off], facts), [], "it is switched off");
});

Deno.test("an answer that was watched belongs to the entry with its URL", () => {
  const watched = (functionName: string) =>
    known({
      runs: [runOf("batch", hour(7)), runOf("other", hour(7))],
      answers: [answerOf(1, answered(7), {
        statusCode: 500,
        url: `https://abc.supabase.co/functions/v1/${functionName}`,
      })],
    });
  const entries = [callEntry("batch", "0 * * * *"), callEntry("other", "0 * * * *")];
  assert.deepEqual(of("failed-answers", entries, watched("batch")).map(brief), [
    "failed-answers, likely: batch",
  ]);
  assert.deepEqual(of("failed-answers", entries, watched("batch-2")), []);
  const twins = [
    callEntry("batch", "0 * * * *"),
    callEntry("batch", "0 * * * *", { name: "twin" }),
  ];
  assert.deepEqual(
    of("failed-answers", twins, watched("batch")),
    [],
    "whose of the two is not known",
  );
});

Deno.test("the functions' log tells which function failed", () => {
  const functionRuns = [500, 200].map((statusCode) => ({
    functionName: "batch",
    startedAt: NOW,
    statusCode,
  }));
  const [found] = of("failed-answers", [callEntry("batch", "0 * * * *")], { functionRuns });
  assert.equal(found!.title, "function batch: 1 of 2 calls in its log failed");
  assert.deepEqual(of("failed-answers", [callEntry("other", "0 * * * *")], { functionRuns }), []);
  const good = functionRuns.filter(({ statusCode }) => statusCode === 200);
  assert.deepEqual(
    of("failed-answers", [callEntry("batch", "0 * * * *")], { functionRuns: good }),
    [],
  );
});

Deno.test("runs that pg_cron calls failed are an error while the newest is one", () => {
  const message = "ERROR:  function nightly() does not exist\nLINE 1: select nightly()";
  const runs = [
    runOf("batch", hour(9), { status: "failed", message }),
    runOf("batch", hour(8)),
    runOf("other", hour(8), { status: "failed" }),
    runOf("batch", hour(7), { status: "running", endedAt: null }),
  ];
  const [found, ...more] = of(
    "failed-runs",
    [sqlEntry("batch", "0 * * * *", "select 1")],
    known({ runs }),
  );
  assert.equal(more.length, 0);
  assert.deepEqual([found!.severity, found!.title, ...found!.evidence], [
    "error",
    "batch: 1 of 2 runs failed, the newest too",
    "1 × ERROR:  function nightly() does not exist",
  ]);
  const mended = known({ runs: [runOf("batch", hour(10)), ...runs] });
  assert.equal(
    of("failed-runs", [sqlEntry("batch", "0 * * * *", "select 1")], mended)[0]!.severity,
    "warning",
  );
  const good = known({ runs: [runOf("batch", hour(8))] });
  assert.deepEqual(of("failed-runs", [sqlEntry("batch", "0 * * * *", "select 1")], good), []);
});

Deno.test("an entry whose database, owner, function or table is not there cannot succeed", () => {
  const why = (more: Parameters<typeof sqlEntry>[3], facts: Partial<DatabaseFacts> = {}) =>
    of("cannot-succeed", [sqlEntry("x", "0 * * * *", "select nightly()", more)], known(facts))
      .map(({ certainty, evidence }) => [certainty, ...evidence]);
  assert.deepEqual(why({ database: "gone" }), [[
    "proven",
    "cron.job x, x: there is no database gone",
  ]]);
  assert.deepEqual(why({ username: "ann" }), [["proven", "cron.job x, x: there is no role ann"]]);
  assert.deepEqual(why({ username: "ann" }, { roles: [{ name: "ann", canLogin: false }] }), [
    ["proven", "cron.job x, x: the role ann may not log in"],
  ]);
  assert.deepEqual(why({}, { missing: { "cron.job x": ["function nightly"] } }), [
    ["proven", "cron.job x, x: there is no function nightly"],
  ]);
  const databases = [
    { name: "postgres", allowsConnections: true },
    { name: "template0", allowsConnections: false },
    { name: "other", allowsConnections: true },
  ];
  assert.equal(
    why({ database: "template0" }, { databases })[0]![1],
    "cron.job x, x: the database template0 allows no connections",
  );
  assert.deepEqual(why({ database: "other" }, { databases }), [
    ["not knowable here", "cron.job x runs in other"],
  ]);
  assert.deepEqual(why({}), []);
  assert.deepEqual(why({ database: "gone", active: false }), []);
});

Deno.test("a timeout of 5 seconds or less is found, also where it is the default", () => {
  const found = (more: string, defaultTimeoutMs?: number) =>
    of(
      "short-timeout",
      [sqlEntry("x", "0 * * * *", post("x", more))],
      known(defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs }),
    ).map(({ evidence }) => evidence[0]);
  assert.deepEqual(found(", timeout_milliseconds := 5000"), ["cron.job x: 5000 ms"]);
  assert.deepEqual(found("", 5000), ["cron.job x: 5000 ms, the default"]);
  assert.deepEqual(found(", timeout_milliseconds := 5001", 5000), []);
  assert.deepEqual(found(""), [], "the default is not known");
  assert.deepEqual(found("", 60_000), []);
  const positional = sqlEntry(
    "x",
    "0 * * * *",
    "select net.http_post('https://a/b', '{}', '{}', '{}', 2000)",
  );
  assert.equal(of("short-timeout", [positional]).length, 1);
});

Deno.test("a run that takes longer than its interval is found where its duration is known", () => {
  const sql = sqlEntry("batch", "*/5 * * * *", "select 1");
  const took = (minutes: number) =>
    known({
      runs: [
        runOf("batch", hour(7), { endedAt: new Date(Date.parse(hour(7)) + minutes * 60_000) }),
      ],
    });
  assert.deepEqual(of("outlasts-interval", [sql], took(6)).map(brief), [
    "outlasts-interval, proven: batch",
  ]);
  assert.deepEqual(of("outlasts-interval", [sql], took(4)), []);
  assert.deepEqual(of("outlasts-interval", [{ ...sql, schedule: "0 * * * *" }], took(6)), []);
  // Of a call job_run_details times the queueing alone.
  const call = callEntry("batch", "*/5 * * * *");
  assert.deepEqual(of("outlasts-interval", [call], took(6)), []);
  const logged = (durationMs: number) => ({
    functionRuns: [{ functionName: "batch", startedAt: NOW, durationMs }],
  });
  assert.equal(of("outlasts-interval", [call], logged(301_000)).length, 1);
  assert.deepEqual(of("outlasts-interval", [call], logged(299_000)), []);
  const seconds = { ...call, schedule: "30 seconds" };
  const watched = (tookMs: number) =>
    known({ answers: [answerOf(1, hour(7), { url: "https://a/functions/v1/batch", tookMs })] });
  assert.equal(of("outlasts-interval", [seconds], watched(31_000)).length, 1);
  assert.deepEqual(of("outlasts-interval", [seconds], watched(29_000)), []);
  // What did not come within its minute took at least a minute.
  const late = (jobId: string) =>
    known({
      runs: [runOf(jobId, hour(7))],
      answers: [
        answerOf(1, answered(7), {
          statusCode: null,
          timedOut: true,
          error: "Timeout of 60000 ms",
        }),
      ],
    });
  const [found] = of("outlasts-interval", [seconds], late("batch"));
  assert.match(found!.evidence[0]!, /^the longest took at least 1 min 0 s, by/);
  assert.deepEqual(of("outlasts-interval", [seconds], late("other")), []);
  assert.deepEqual(
    of("outlasts-interval", [{ ...call, schedule: "* * * * *" }], late("batch")),
    [],
  );
});

Deno.test("job_run_details grows for ever unless an entry deletes from it", () => {
  const table = (days: number) => ({
    runDetails: {
      bytes: 50 * 1_048_576,
      rows: 120_000,
      oldest: new Date(NOW.getTime() - days * 86_400_000),
    },
  });
  const prune = sqlEntry(
    "prune",
    "0 3 * * *",
    "DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'",
  );
  const found = of("run-details-grow", [], known(table(100)));
  assert.deepEqual(found.map(({ certainty, evidence, cost }) => [certainty, evidence[0], cost]), [[
    "proven",
    "50.0 MB, some 120,000 rows, the oldest 100 days old",
    "About 182.5 MB a year, which backups copy each day",
  ]]);
  assert.equal(of("run-details-grow", [], known(table(20)))[0]!.certainty, "likely");
  for (
    const [entries, facts] of [
      [[prune], table(100)],
      [[], table(10)],
      [[], { ...table(100), logsRuns: false }],
      [[], { runDetails: { bytes: 8192, rows: 0, oldest: null } }],
    ] as const
  ) {
    assert.deepEqual(of("run-details-grow", [...entries], known(facts)), []);
  }
  assert.equal(of("run-details-grow", [{ ...prune, active: false }], known(table(100))).length, 1);
});
