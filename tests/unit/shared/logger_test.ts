import assert from "node:assert/strict";
import { createLogger, createRedact, redactJson } from "../../../shared/job/logger.ts";
import { FakePlatform } from "../../support/fake-platform.ts";

const secrets = { cron: { CRON_SECRET: "s3cret-of-cron" }, service: { default: "sb_secret_key" } };

Deno.test("a log line is JSON with job and run id", () => {
  const platform = new FakePlatform();
  createLogger(platform, createRedact(secrets), { job: "j", run_id: "r" }).info("begun", {
    attempt: 1,
  });
  assert.deepEqual(JSON.parse(platform.lines[0]!), {
    time: "2026-03-01T00:00:00.000Z",
    level: "info",
    message: "begun",
    job: "j",
    run_id: "r",
    attempt: 1,
  });
});

Deno.test("a log line holds no known secret, wherever it was put", () => {
  const platform = new FakePlatform();
  const log = createLogger(platform, createRedact(secrets), {});
  log.error("refused s3cret-of-cron", { headers: { apikey: "sb_secret_key" } });
  assert.doesNotMatch(platform.lines[0]!, /s3cret-of-cron|sb_secret_key/);
  assert.match(platform.lines[0]!, /\[redacted\]/);
});

/** Its escaped form is another text than itself, and its beginning is another secret. */
const awkward = String.raw`pass"word\n`;
const awkwardSecrets = {
  cron: { CRON_SECRET: awkward, CRON_SECRET_PREVIOUS: awkward.slice(0, -3) },
  service: {},
};

Deno.test("a log line holds no secret with a quote or a backslash either, quoted as JSON or not", () => {
  const platform = new FakePlatform();
  const log = createLogger(platform, createRedact(awkwardSecrets), {});
  log.error(`refused ${awkward}`, { [awkward]: [awkward], body: JSON.stringify({ key: awkward }) });
  const { message, body, ...line } = JSON.parse(platform.lines[0]!);
  assert.equal(message, "refused [redacted]");
  assert.equal(body, '{"key":"[redacted]"}');
  assert.deepEqual(line["[redacted]"], ["[redacted]"]);
});

Deno.test("redacting leaves JSON's own quotes and backslashes alone", () => {
  // In JSON `key"s` stands as `key\"s`, in which this secret would be found: in half of an escape.
  const redact = createRedact({ cron: { CRON_SECRET: "key\\" }, service: {} });
  const value = { text: 'key"s', secret: "key\\", list: [1, true, null, { deep: "key\\!" }] };
  assert.deepEqual(redactJson(value, redact), {
    text: 'key"s',
    secret: "[redacted]",
    list: [1, true, null, { deep: "[redacted]!" }],
  });
});

Deno.test("a log line stays below 10,000 characters and JSON", () => {
  const platform = new FakePlatform();
  createLogger(platform, createRedact(secrets), { job: "j" }).warn("long", {
    text: "x".repeat(20_000),
  });
  assert.ok(platform.lines[0]!.length <= 10_000);
  assert.equal(JSON.parse(platform.lines[0]!).message, "long");
});
