// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const TWO_MINUTES_MS = 130_000;

Deno.test("pg_cron, real or stand-in, fires a job that calls a function through pg_net", () =>
  withStack({}, async ({ sql, apiUrl, standIns }) => {
    await sql`select cron.schedule('call', '* * * * *',
      ${`select net.http_post('${apiUrl}/functions/v1/echo', timeout_milliseconds := 9000)`})`;
    const run = await waitUntil("pg_cron to fire", async () =>
      (await sql`
        select details.* from cron.job_run_details as details join cron.job using (jobid)
        where jobname = 'call' and status = 'succeeded'`)[0], TWO_MINUTES_MS);
    // The real one says it in one way or the other, depending on how it connects.
    assert.match(run.return_message, /^(1 row|SELECT 1)$/);
    assert.equal(run.username, "postgres");
    assert.ok(run.start_time.getSeconds() < 10, `it began at ${run.start_time}`);
    const response = await waitUntil(
      "the answer",
      async () => (await sql`select * from net._http_response where content like '%"/echo"%'`)[0],
    );
    assert.equal(response.status_code, 200);
    if (Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN") === undefined) assert.ok(standIns.pgCron);
  }));

Deno.test("pg_cron, real or stand-in, calls the pulse, which commits as it goes", () =>
  withStack({}, async ({ sql }) => {
    const beat = await waitUntil("the pulse", async () =>
      (await sql`
        select * from cron.job_run_details
        where command = scheduler.pulse_command() and end_time is not null`)[
        0
      ], TWO_MINUTES_MS);
    assert.equal(beat.status, "succeeded", beat.return_message);
    const [state] = await sql`select last_pulse_at, errors from scheduler.pulse_state`;
    assert.ok(state!.last_pulse_at);
    assert.deepEqual(state!.errors, {});
  }));
