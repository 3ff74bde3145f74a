import assert from "node:assert/strict";
import { readVersion } from "../../../local/releases.ts";
import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { DeferredError } from "../../../shared/job/errors.ts";
import { serveJob } from "../../../shared/job/serve-job.ts";
import { FakePlatform } from "../../support/fake-platform.ts";
import { withHttpServer } from "../../support/http-server.ts";

const cronSecret = "c".repeat(32);
const job = defineJob({
  name: "test-job",
  input: z.strictObject({ hours: z.int().default(1) }),
  run: () => Promise.reject(new Error("a refused request must not run the job")),
});

/** Calls the handler where nothing listens as database: whatever asks it is answered 500. */
async function call(init: RequestInit, variables: Record<string, string> = {}) {
  const platform = new FakePlatform({
    CRON_SECRET: cronSecret,
    SUPABASE_URL: "http://127.0.0.1:9",
    SUPABASE_SERVICE_ROLE_KEY: "k".repeat(40),
    ...variables,
  });
  const response = await serveJob(job, platform)(
    new Request("http://127.0.0.1/functions/v1/test-job", init),
  );
  const body = await response.json();
  return {
    status: response.status,
    error: body.error,
    headers: response.headers,
    lines: platform.lines,
  };
}

const credential = { "x-cron-secret": cronSecret };

Deno.test("serveJob() answers 401 before it reads the body", async () => {
  const unread = new ReadableStream({
    pull: () => Promise.reject(new Error("the body was read")),
  }, { highWaterMark: 0 });
  const { status, error } = await call({ method: "POST", body: unread });
  assert.equal(status, 401);
  assert.equal(error.code, "unauthorized");
});

Deno.test("serveJob() answers 401 to every method without a credential", async () => {
  for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    if (method === "HEAD") continue;
    assert.equal((await call({ method })).status, 401, method);
  }
});

Deno.test("serveJob() answers 405 with Allow to any method but POST", async () => {
  for (const method of ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const { status, headers } = await call({ method, headers: credential });
    assert.equal(status, 405, method);
    assert.equal(headers.get("allow"), "POST");
    assert.equal(headers.get("x-daybook-version"), await readVersion());
    assert.equal(headers.get("x-daybook-wall-clock-seconds"), "150");
  }
});

Deno.test("serveJob() tells its version to nobody without a credential", async () => {
  const { status, headers } = await call({ method: "PUT" });
  assert.deepEqual([status, headers.get("x-daybook-version")], [401, null]);
});

Deno.test("serveJob() answers 400 that names the field or header", async () => {
  const badField = await call({ method: "POST", headers: credential, body: '{"hours": "two"}' });
  assert.equal(badField.status, 400);
  assert.match(badField.error.message, /hours/);
  const badHeader = await call({
    method: "POST",
    headers: { ...credential, "x-run-id": "7; drop table" },
  });
  assert.equal(badHeader.status, 400);
  assert.match(badHeader.error.message, /x-run-id/);
});

Deno.test("serveJob() answers 500 with words, and without the secret, when it is misconfigured", async () => {
  const { status, error } = await call({ method: "POST", headers: credential }, {
    CRON_SECRET: "too-short",
  });
  assert.equal(status, 500);
  assert.match(error.message, /CRON_SECRET must have at least 32 characters/);
  assert.doesNotMatch(JSON.stringify(error), /too-short/);
});

Deno.test("serveJob() begins no run in a worker whose wall clock is misconfigured", async () => {
  const { status, error, lines } = await call({ method: "POST", headers: credential }, {
    WALL_CLOCK_LIMIT_SECONDS: "2 minutes",
  });
  assert.deepEqual([status, error.code], [500, "misconfigured"]);
  assert.match(error.message, /WALL_CLOCK_LIMIT_SECONDS must be a positive number, got 2 minutes/);
  assert.match(lines.join(), /WALL_CLOCK_LIMIT_SECONDS/);
});

Deno.test("serveJob() answers 500 when the ledger cannot be reached, and does not run the job", async () => {
  const { status, error, lines } = await call({ method: "POST", headers: credential });
  assert.equal(status, 500);
  assert.equal(error.code, "ledger_unavailable");
  assert.ok(lines.length > 0);
  assert.doesNotMatch(lines.join("\n"), new RegExp(cronSecret));
});

/** The ledger as the function sees it: two jobs of it are registered; a run begins unless it is refused. */
async function withLedger(
  fn: (
    call: (
      init: RequestInit,
    ) => Promise<
      { status: number; runId: string | null; retryAfter: string | null; body: Answer }
    >,
    begun: unknown[],
  ) => Promise<void>,
  refusal?: Record<string, unknown>,
  run: typeof job.run = ({ hours }) => Promise.resolve({ hours }),
  registered: Record<string, unknown> = { "test-job": { hours: 7 }, "other": { hours: "x" } },
): Promise<void> {
  const begun: unknown[] = [];
  const reply = ({ url, body }: { url: string; body: string }) => {
    const { pathname, searchParams } = new URL(url, "http://ledger");
    if (pathname.endsWith("/scheduler_jobs")) {
      assert.equal(searchParams.get("function_name"), "eq.test-job");
      const name = searchParams.get("name")?.slice("eq.".length);
      return Object.entries(registered)
        .filter(([key]) => name === undefined || key === name)
        .map(([key, payload]) => name === undefined ? { name: key } : { payload });
    }
    if (/_begin(_manual|_due)?_run$/.test(pathname)) {
      begun.push(JSON.parse(body).p_payload);
      return refusal ?? {
        begun: true,
        run_id: runId,
        job_name: "test-job",
        scheduled_for: "2026-03-01T00:00:00Z",
        attempt: 1,
        trigger: pathname.endsWith("_begin_due_run") ? "cron" : "manual",
        timeout_seconds: 60,
        heartbeat_seconds: 10,
      };
    }
    return { finished: true, running: true };
  };
  await withHttpServer(
    (request) => ({
      status: 200,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(reply(request)),
    }),
    async ({ url }) => {
      const platform = new FakePlatform({
        CRON_SECRET: cronSecret,
        SUPABASE_URL: url,
        SUPABASE_SERVICE_ROLE_KEY: "k".repeat(40),
      });
      const handler = serveJob(defineJob({ ...job, run }), platform);
      await fn(async (init) => {
        const response = await handler(
          new Request("http://127.0.0.1/functions/v1/test-job", {
            method: "POST",
            ...init,
            headers: { ...credential, "x-manual-call": "true", ...init.headers },
          }),
        );
        const body = await response.json();
        const { status, headers } = response;
        return {
          status,
          runId: headers.get("x-run-id"),
          retryAfter: headers.get("retry-after"),
          body,
        };
      }, begun);
    },
  );
}

const runId = "00000000-0000-4000-8000-000000000001";

interface Answer {
  status?: string;
  result?: unknown;
  error?: { code: string; message: string; hint?: string };
}

Deno.test("serveJob() runs a person's call without a body with the registered payload; a body replaces it", async () => {
  await withLedger(async (call, begun) => {
    for (const body of ["", " \n", null]) {
      assert.deepEqual((await call({ body })).body.result, { hours: 7 });
    }
    assert.deepEqual((await call({ body: "{}" })).body.result, { hours: 1 });
    assert.deepEqual((await call({ body: '{"hours": 3}' })).body.result, { hours: 3 });
    assert.deepEqual(begun, [{ hours: 7 }, { hours: 7 }, { hours: 7 }, {}, { hours: 3 }]);
  });
});

const clock = { "x-manual-call": "false" };

Deno.test("serveJob() begins what is due for an outside clock, with the registered payload", async () => {
  await withLedger(async (call, begun) => {
    for (const body of ["", "{}", null]) {
      assert.deepEqual((await call({ body, headers: clock })).body.result, { hours: 7 });
    }
    assert.deepEqual(begun, [undefined, undefined, undefined], "the database knows the payload");
    const { status, body } = await call({ body: '{"hours": 3}', headers: clock });
    assert.equal(status, 400);
    assert.match(body.error!.message, /body: hours: an outside clock runs the job as it is/);
    assert.match(body.error!.hint!, /x-manual-call: true/);
    assert.equal(begun.length, 3);
  });
});

Deno.test("serveJob() takes the only job of the function for an outside clock, and asks which of several it means", async () => {
  const run: typeof job.run = ({ hours }) => Promise.resolve({ hours });
  await withLedger(
    async (call) => {
      const { body } = await call({ body: null, headers: clock });
      assert.deepEqual(body.result, { hours: 9 });
    },
    undefined,
    run,
    { nightly: { hours: 9 } },
  );
  await withLedger(
    async (call, begun) => {
      const { status, body } = await call({ body: null, headers: clock });
      assert.equal(status, 404);
      assert.equal(
        body.error!.message,
        "Cannot run the job: header x-job-name: test-job serves several jobs, and one must be named",
      );
      assert.equal(body.error!.hint, "the jobs are: hourly, nightly");
      assert.deepEqual(begun, []);
    },
    undefined,
    run,
    { hourly: {}, nightly: {} },
  );
});

Deno.test("serveJob() answers an outside clock 200 already where nothing is to begin", async () => {
  const refusal = {
    begun: false,
    reason: "already",
    run_id: runId,
    status: "completed",
    message: "It ran.",
  };
  await withLedger(async (call) => {
    const { status, body } = await call({ body: null, headers: clock });
    assert.equal(status, 200);
    assert.deepEqual(body, {
      job: "test-job",
      status: "already",
      run_id: runId,
      run_status: "completed",
      message: "It ran.",
    });
  }, refusal);
});

Deno.test("serveJob() answers 503 for a deferred run, from when on a person may call again, and when a due one goes on", async () => {
  await withLedger(
    async (call) => {
      const { status, retryAfter, body } = await call({ body: "{}" });
      assert.deepEqual([status, retryAfter, body.status], [503, "91", "deferred"]);
      assert.deepEqual(body.error, {
        code: "deferred",
        message: "The budget has tokens for it from 2026-03-01T00:01:30.500Z on: call again then",
      });
      const due = await call({ body: null, headers: clock });
      assert.deepEqual([due.status, due.retryAfter], [503, "91"]);
      assert.equal(due.body.error?.message, "The run is resumed at 2026-03-01T00:01:30.500Z");
    },
    undefined,
    () => Promise.reject(new DeferredError("api", new Date("2026-03-01T00:01:30.500Z"))),
  );
});

Deno.test("serveJob() validates the payload that is used, and begins no run with a wrong one", async () => {
  await withLedger(async (call, begun) => {
    const wrong = await call({ headers: { "x-job-name": "other" } });
    assert.deepEqual([wrong.status, wrong.body.error?.code], [400, "invalid_input"]);
    assert.match(wrong.body.error!.message, /hours: /);
    assert.match(wrong.body.error!.hint!, /no body: what the job is registered with was used/);
    const right = await call({ headers: { "x-job-name": "other" }, body: '{"hours": 2}' });
    assert.deepEqual(right.body.result, { hours: 2 });
    const unknown = await call({ headers: { "x-job-name": "nobody" } });
    assert.deepEqual([unknown.status, unknown.body.error?.code], [404, "unknown_job"]);
    assert.match(unknown.body.error!.message, /test-job serves no job named "nobody"/);
    assert.equal(unknown.body.error!.hint, "the jobs are: test-job, other");
    assert.deepEqual(begun, [{ hours: 2 }]);
  });
});

Deno.test("serveJob() refuses a dispatched request that brings no payload", async () => {
  await withLedger(async (call, begun) => {
    const { status, body } = await call({ headers: { "x-run-id": runId } });
    assert.deepEqual([status, body.error?.code], [400, "invalid_input"]);
    assert.match(body.error!.message, /body: a run that was dispatched has its payload there/);
    assert.equal(body.error!.hint, "leave the header x-run-id out to call by hand");
    assert.deepEqual(begun, []);
  });
});

for (
  const reason of [
    "unknown run",
    "already begun",
    "already over: completed (ok)",
    "the run is for x",
  ]
) {
  Deno.test(`serveJob() answers 409 run_refused, with the run's id, where the ledger says: ${reason}`, async () => {
    await withLedger(async (call) => {
      const answer = await call({ headers: { "x-run-id": runId }, body: "{}" });
      assert.deepEqual([answer.status, answer.runId], [409, runId]);
      assert.deepEqual(answer.body.error, {
        code: "run_refused",
        message: `Cannot begin run ${runId}: ${reason}`,
      });
    }, { begun: false, reason });
  });
}

Deno.test("serveJob() says which run every answer to a dispatched request is for, refusals too", async () => {
  const answers = [
    await call({ method: "POST", headers: { "x-run-id": runId } }),
    await call({ method: "GET", headers: { ...credential, "x-run-id": runId } }),
    await call({ method: "POST", headers: { ...credential, "x-run-id": runId }, body: "[" }),
    await call({ method: "POST", headers: { ...credential, "x-run-id": runId }, body: "{}" }),
    await call({ method: "POST", headers: { ...credential, "x-run-id": runId } }, {
      CRON_SECRET: "short",
    }),
  ];
  assert.deepEqual(answers.map(({ status }) => status), [401, 405, 400, 500, 500]);
  for (const { headers } of answers) assert.equal(headers.get("x-run-id"), runId);
  const garbage = await call({ method: "POST", headers: { ...credential, "x-run-id": "garbage" } });
  assert.equal(garbage.headers.get("x-run-id"), null);
});
