import assert from "node:assert/strict";
import { z } from "zod";
import { defineJob } from "../../shared/define-job.ts";
import { serveJob } from "../../shared/serve-job.ts";
import { FakePlatform } from "../support/fake-platform.ts";

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
  }
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
