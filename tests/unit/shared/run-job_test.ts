import assert from "node:assert/strict";
import { z } from "zod";
import { defineJob, type JobContext, type JsonObject } from "../../../shared/job/define-job.ts";
import { DeferredError, PermanentError } from "../../../shared/job/errors.ts";
import type { BegunRun, Ledger, Receipt } from "../../../shared/job/ledger.ts";
import { createLogger, createRedact } from "../../../shared/job/logger.ts";
import { runJob } from "../../../shared/job/run-job.ts";
import { endOfWallClock, endOfWork } from "../../../shared/job/wall-clock.ts";
import { FakePlatform } from "../../support/fake-platform.ts";

const run: BegunRun = {
  begun: true,
  run_id: "00000000-0000-4000-8000-000000000001",
  job_name: "test-job",
  scheduled_for: "2026-03-01T00:00:00Z",
  attempt: 1,
  trigger: "cron",
  timeout_seconds: 60,
  heartbeat_seconds: 10,
  interval_from: "2026-02-28T00:00:00Z",
  interval_to: "2026-03-01T00:00:00Z",
};

/** Runs a job over a ledger that only remembers. */
function start(
  body: (context: JobContext) => Promise<JsonObject>,
  options: {
    variables?: Record<string, string>;
    ledger?: Partial<Ledger>;
    timeoutSeconds?: number;
    secret?: string;
    shutdown?: string;
    db?: unknown;
  } = {},
) {
  const platform = new FakePlatform(options.variables);
  if (options.shutdown !== undefined) platform.shutDown(options.shutdown);
  const beats: (JsonObject | null)[] = [];
  const receipts: Receipt[] = [];
  const ledger: Ledger = {
    registeredPayload: () => Promise.reject(new Error("not used")),
    jobNames: () => Promise.reject(new Error("not used")),
    begin: () => Promise.reject(new Error("not used")),
    beginManual: () => Promise.reject(new Error("not used")),
    beginDue: () => Promise.reject(new Error("not used")),
    heartbeat: (_runId, progress) => Promise.resolve(beats.push(progress) > 0),
    finish: (_runId, receipt) => Promise.resolve(receipts.push(receipt) > 0 ? null : ""),
    ...options.ledger,
  };
  const job = defineJob({
    name: "test-job",
    input: z.object({}),
    run: (_input, context) => body(context),
  });
  const redact = createRedact({
    cron: { CRON_SECRET: options.secret ?? "s3cret" },
    service: {},
  });
  const finished = runJob(job, {}, { ...run, timeout_seconds: options.timeoutSeconds ?? 60 }, {
    platform,
    ledger,
    redact,
    workUntil: endOfWork(platform),
    receiptUntil: endOfWallClock(platform),
    log: createLogger(platform, redact, {}),
    services: () => ({ db: options.db } as Pick<JobContext, "db" | "http" | "env">),
  });
  return { platform, beats, receipts, finished };
}

/** A job that works until its signal fires, then throws the reason. */
const endless = (context: JobContext) =>
  new Promise<JsonObject>((_resolve, reject) =>
    context.signal.addEventListener("abort", () => reject(context.signal.reason))
  );

Deno.test("runJob() delivers the result and leaves no timer behind", async () => {
  const { finished, receipts, platform } = start(() => Promise.resolve({ summary: "3 rows" }));
  await finished;
  assert.deepEqual(receipts, [{ outcome: "completed", result: { summary: "3 rows" } }]);
  assert.equal(platform.leftovers, 0);
});

Deno.test("runJob() delivers an error with its name, and no secret", async () => {
  const { finished, receipts } = start(() => Promise.reject(new TypeError("no such key s3cret")));
  await finished;
  assert.equal(receipts[0]!.outcome, "failed");
  assert.equal(receipts[0]!.errorMessage, "no such key [redacted]");
  assert.equal(receipts[0]!.errorDetail!.name, "TypeError");
  assert.equal(receipts[0]!.retryable, true);
  assert.doesNotMatch(JSON.stringify(receipts), /s3cret/);
});

Deno.test("runJob() takes a secret with quotes and backslashes out of result, progress and error", async () => {
  const secret = String.raw`s3"cr\et`;
  const failure = Object.assign(new Error(`no such key ${secret}`), { name: secret });
  const completed = start((context) => {
    context.reportProgress({ [secret]: `a ${secret}` });
    return Promise.resolve({ summary: secret, sent: [JSON.stringify({ secret })] });
  }, { secret });
  const failed = start(() => Promise.reject(failure), { secret });
  await Promise.all([completed.finished, failed.finished]);
  assert.deepEqual(completed.beats, [{ "[redacted]": "a [redacted]" }]);
  assert.deepEqual(completed.receipts[0]!.result, {
    summary: "[redacted]",
    sent: ['{"secret":"[redacted]"}'],
  });
  assert.equal(failed.receipts[0]!.errorMessage, "no such key [redacted]");
  assert.equal(failed.receipts[0]!.errorDetail!.name, "[redacted]");
  assert.doesNotMatch(String(failed.receipts[0]!.errorDetail!.stack), /cr/);
});

Deno.test("runJob() does not ask for a retry after a PermanentError", async () => {
  const { finished, receipts } = start(() => Promise.reject(new PermanentError("no such device")));
  await finished;
  assert.equal(receipts[0]!.retryable, false);
});

Deno.test("runJob() defers a run whose tokens are there later, with what it reported last", async () => {
  const until = new Date("2026-03-01T06:00:00Z");
  const deferred = start(() => Promise.reject(new DeferredError("api", until)));
  await deferred.finished;
  const summary = "the budget api has too few tokens until 2026-03-01T06:00:00.000Z";
  assert.deepEqual(deferred.receipts, [
    {
      outcome: "deferred",
      resumeAt: "2026-03-01T06:00:00.000Z",
      result: { summary },
      errorDetail: { budget: "api" },
    },
  ]);
  const reported = start((context) => {
    context.reportProgress({ done: 7, last: "s3cret" });
    return Promise.reject(new DeferredError("api", until));
  });
  await reported.finished;
  assert.deepEqual(reported.receipts[0]!.result, { summary, done: 7, last: "[redacted]" });
  assert.deepEqual(reported.beats, [{ done: 7, last: "[redacted]" }]);
  assert.equal(reported.platform.leftovers, 0);
});

Deno.test("runJob() gives a job budgets that ask for its run and end their wait at its deadline", async () => {
  const calls: unknown[] = [];
  const db = {
    rpc: (_name: string, args: unknown) => ({
      abortSignal: () => {
        calls.push(args);
        return Promise.resolve({
          data: { granted: false, from: "2026-03-01T00:00:09Z", wait_ms: 9000 },
          error: null,
        });
      },
    }),
  };
  const body = async (context: JobContext) => {
    await context.budget("api").take();
    return {};
  };
  const short = start(body, { timeoutSeconds: 13, db });
  await short.finished;
  assert.equal(short.receipts[0]!.outcome, "deferred");
  assert.deepEqual(calls, [{ p_run_id: run.run_id, p_budget: "api", p_tokens: 1 }]);
  const stopped = start(body, {
    timeoutSeconds: 60,
    db,
    ledger: { heartbeat: () => Promise.resolve(false) },
  });
  await stopped.platform.advance(10_000);
  await stopped.finished;
  assert.match(stopped.receipts[0]!.errorMessage!, /cancelled or judged/);
  assert.equal(stopped.platform.leftovers, 0);
});

Deno.test("runJob() beats while the job works and sends its progress once", async () => {
  const done = Promise.withResolvers<JsonObject>();
  const { finished, beats, platform } = start((context) => {
    context.reportProgress({ done: 1 });
    return done.promise;
  });
  await platform.advance(25_000);
  assert.deepEqual(beats, [{ done: 1 }, null]);
  done.resolve({});
  await finished;
  await platform.advance(60_000);
  assert.equal(beats.length, 2);
});

Deno.test("runJob() sends the last progress before the receipt", async () => {
  const { finished, beats } = start((context) => {
    context.reportProgress({ done: 7 });
    return Promise.resolve({});
  });
  await finished;
  assert.deepEqual(beats, [{ done: 7 }]);
});

Deno.test("runJob() fires the signal at the deadline and calls a job that stops timed out", async () => {
  const { finished, receipts, platform } = start(endless);
  await platform.advance(60_000);
  await finished;
  assert.equal(receipts[0]!.outcome, "timed_out");
});

Deno.test("runJob() completes a job that returns what it has when its signal fires", async () => {
  const { finished, receipts, platform } = start((context) =>
    new Promise((resolve) => context.signal.addEventListener("abort", () => resolve({ done: 5 })))
  );
  await platform.advance(60_000);
  await finished;
  assert.deepEqual(receipts, [{ outcome: "completed", result: { done: 5 } }]);
});

Deno.test("runJob() ends the run of a job that ignores its signal 5 s after the deadline", async () => {
  const { finished, receipts, platform } = start(() => new Promise(() => {}));
  await platform.advance(64_999);
  assert.equal(receipts.length, 0);
  await platform.advance(1);
  await finished;
  assert.equal(receipts[0]!.outcome, "timed_out");
});

Deno.test("runJob() tells the job the time that is left of the wall clock, less a reserve for the receipt", async () => {
  let left = 0;
  const body = (context: JobContext) => Promise.resolve({ left: left = context.remainingMs() });
  await start(body, { timeoutSeconds: 1000 }).finished;
  assert.equal(left, 140_000);
  await start(body, { timeoutSeconds: 1000, variables: { WALL_CLOCK_LIMIT_SECONDS: "400" } })
    .finished;
  assert.equal(left, 390_000);
  await start(body, { timeoutSeconds: 30 }).finished;
  assert.equal(left, 30_000);
});

Deno.test("runJob() marks the run interrupted when the platform shuts down, without waiting for the job", async () => {
  const { finished, receipts, platform } = start(() => new Promise(() => {}));
  platform.shutDown("wall_clock");
  await finished;
  assert.equal(receipts[0]!.outcome, "interrupted");
  assert.match(receipts[0]!.errorMessage!, /wall_clock/);
  assert.equal(platform.leftovers, 0);
});

Deno.test("runJob() starts no job in a worker that was told to shut down before the run began", async () => {
  let started = false;
  const body = () => Promise.resolve({ started: started = true });
  const { finished, receipts } = start(body, { shutdown: "wall_clock" });
  await finished;
  assert.equal(started, false);
  assert.deepEqual(receipts, [
    { outcome: "interrupted", errorMessage: "the platform shut down: wall_clock" },
  ]);
});

Deno.test("runJob() stops the job when the ledger says that the run is over", async () => {
  const { finished, receipts, platform } = start(endless, {
    ledger: { heartbeat: () => Promise.resolve(false) },
  });
  await platform.advance(10_000);
  await finished;
  assert.match(receipts[0]!.errorMessage!, /cancelled or judged/);
});

Deno.test("runJob() keeps working and keeps the progress when a heartbeat cannot be delivered", async () => {
  const beats: (JsonObject | null)[] = [];
  const heartbeat = (_id: string, progress: JsonObject | null) => {
    beats.push(progress);
    return beats.length === 1
      ? Promise.reject(new Error("connection refused"))
      : Promise.resolve(true);
  };
  const { platform, receipts } = start((context) => {
    context.reportProgress({ done: 1 });
    return new Promise(() => {});
  }, { ledger: { heartbeat } });
  await platform.advance(20_000);
  assert.deepEqual(beats, [{ done: 1 }, { done: 1 }]);
  assert.equal(receipts.length, 0);
});

Deno.test("runJob() delivers the receipt to a database that is back after half a minute", async () => {
  const { finished, platform, receipts } = start(() => Promise.resolve({ summary: "kept" }), {
    ledger: {
      finish: (_runId, receipt) =>
        platform.now() - platform.bootedAt < 30_000
          ? Promise.reject(new Error("no answer"))
          : Promise.resolve(receipts.push(receipt) > 0 ? null : ""),
    },
  });
  await platform.advance(36_000);
  await finished;
  assert.deepEqual(receipts, [{ outcome: "completed", result: { summary: "kept" } }]);
  assert.equal(platform.leftovers, 0);
});

Deno.test("runJob() tries to deliver the receipt until the wall clock ends, then logs it", async () => {
  const tries: number[] = [];
  const { finished, platform } = start(() => Promise.resolve({ summary: "kept" }), {
    variables: { WALL_CLOCK_LIMIT_SECONDS: "60" },
    ledger: {
      finish: () => {
        tries.push(platform.now() - platform.bootedAt);
        return Promise.reject(new Error("no answer"));
      },
    },
  });
  await platform.advance(60_000);
  await finished;
  assert.deepEqual(tries.slice(0, 6), [0, 200, 1200, 4200, 9200, 14_200]);
  assert.ok(tries.at(-1)! > 55_000 && tries.at(-1)! <= 60_000, String(tries));
  const last = JSON.parse(platform.lines.at(-1)!);
  assert.equal(last.level, "error");
  assert.deepEqual([last.outcome, last.summary], ["completed", "kept"]);
});

Deno.test("runJob() makes the first tries of the receipt also when the wall clock is over", async () => {
  let tries = 0;
  const finish = () => Promise.reject(new Error(`no answer ${++tries}`));
  const { finished, platform } = start(() => new Promise(() => {}), {
    variables: { WALL_CLOCK_LIMIT_SECONDS: "1" },
    ledger: { finish },
  });
  await platform.advance(20_000);
  await finished;
  assert.equal(tries, 4);
});

Deno.test("runJob() logs what a lost receipt said, however large its result or stack was", async () => {
  const ledger = { finish: () => Promise.reject(new Error("no answer")) };
  const large = start(
    () => Promise.resolve({ summary: "s".repeat(20_000), rows: "x".repeat(20_000) }),
    { ledger },
  );
  const failed = start(() => Promise.reject(new Error("e".repeat(20_000))), { ledger });
  for (const { platform } of [large, failed]) await platform.advance(150_000);
  const { time: _1, level: _2, message: _3, ...completion } = JSON.parse(
    large.platform.lines.at(-1)!,
  );
  assert.deepEqual(completion, { outcome: "completed", summary: "s".repeat(1000) });
  const { time: _4, level: _5, message: _6, ...failure } = JSON.parse(
    failed.platform.lines.at(-1)!,
  );
  assert.deepEqual(failure, { outcome: "failed", error: "e".repeat(2000) });
});

Deno.test("runJob() tries to deliver the receipt at once when the platform shuts down between two tries", async () => {
  let tries = 0;
  const finish = () => ++tries < 4 ? Promise.reject(new Error("no answer")) : Promise.resolve(null);
  const { finished, platform } = start(() => Promise.resolve({}), { ledger: { finish } });
  await platform.advance(1200);
  assert.equal(tries, 3);
  platform.shutDown("wall_clock");
  await finished;
  assert.equal(tries, 4);
  assert.equal(platform.leftovers, 0);
});

Deno.test("runJob() sends no heartbeat while one is under way", async () => {
  const answers: PromiseWithResolvers<boolean>[] = [];
  const heartbeat = () => {
    answers.push(Promise.withResolvers());
    return answers.at(-1)!.promise;
  };
  const { platform } = start(() => new Promise(() => {}), { ledger: { heartbeat } });
  await platform.advance(35_000);
  assert.equal(answers.length, 1);
  answers[0]!.resolve(true);
  await platform.advance(10_000);
  assert.equal(answers.length, 2);
});

Deno.test("runJob() delivers the receipt when the last heartbeat gets no answer", async () => {
  const { finished, platform, receipts } = start((context) => {
    context.reportProgress({ done: 7 });
    return Promise.resolve({ summary: "done" });
  }, { ledger: { heartbeat: () => new Promise(() => {}) } });
  await platform.advance(2_000);
  assert.deepEqual(receipts, [{ outcome: "completed", result: { summary: "done" } }]);
  await finished;
  assert.equal(platform.leftovers, 0);
});

Deno.test("runJob() sends the last progress again when the heartbeat under way fails", async () => {
  const beats: (JsonObject | null)[] = [];
  const first = Promise.withResolvers<boolean>();
  const done = Promise.withResolvers<JsonObject>();
  const heartbeat = (_id: string, progress: JsonObject | null) =>
    beats.push(progress) === 1 ? first.promise : Promise.resolve(true);
  const { finished, platform } = start((context) => {
    context.reportProgress({ done: 7 });
    return done.promise;
  }, { ledger: { heartbeat } });
  await platform.advance(10_000);
  done.resolve({});
  await platform.advance(0);
  first.reject(new Error("connection refused"));
  await finished;
  assert.deepEqual(beats, [{ done: 7 }, { done: 7 }]);
});

Deno.test("runJob() keeps the summary of a result that is too large for the ledger", async () => {
  const { finished, receipts } = start(() =>
    Promise.resolve({ summary: "big", rows: "x".repeat(300_000) })
  );
  await finished;
  assert.equal(receipts[0]!.result!.summary, "big");
  assert.match(String(receipts[0]!.result!.truncated), /262144 are kept/);
});

Deno.test("runJob() fails a run whose result is no JSON", async () => {
  const { finished, receipts } = start(() =>
    Promise.resolve({ count: 1n } as unknown as JsonObject)
  );
  await finished;
  assert.equal(receipts[0]!.outcome, "failed");
});

Deno.test("runJob() keeps what the database says beside its message", async () => {
  const error = {
    message: "permission denied for function f",
    code: "42501",
    details: null,
    hint: "grant s3cret",
  };
  const { finished, receipts } = start(() => Promise.reject(error));
  await finished;
  assert.equal(receipts[0]!.errorMessage, "permission denied for function f");
  assert.deepEqual(receipts[0]!.errorDetail, {
    name: "object",
    code: "42501",
    hint: "grant [redacted]",
    stack: undefined,
  });
});

Deno.test("runJob() tells the job which interval its run stands for", async () => {
  const { finished, receipts } = start(({ interval }) =>
    Promise.resolve({ from: interval.from.toISOString(), to: interval.to.toISOString() })
  );
  await finished;
  assert.deepEqual(receipts[0]!.result, {
    from: "2026-02-28T00:00:00.000Z",
    to: "2026-03-01T00:00:00.000Z",
  });
});

Deno.test("nextStep() is true so many times, and no longer once time is up or the signal fired", async () => {
  const counted = start((context) => {
    let steps = 0;
    while (context.nextStep(3)) steps++;
    return Promise.resolve({ steps });
  });
  await counted.finished;
  assert.deepEqual(counted.receipts[0]!.result, { steps: 3 });

  const late = start(async (context) => {
    const before = context.nextStep(1000);
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    return { before, after: context.nextStep(1000) };
  });
  await late.platform.advance(60_000);
  await late.finished;
  assert.deepEqual(late.receipts[0]!.result, { before: true, after: false });
});
