// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  hold,
  registerJob,
  release,
  untilAnswered,
  untilStatus,
} from "../support/faults.ts";
import { run, runs, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("calls by hand", (test) =>
  withStack({ cron: false }, async ({ apiUrl, sql, keys }) => {
    const call = async (body: unknown = {}, headers: Record<string, string> = {}) => {
      const response = await fetch(`${apiUrl}/functions/v1/fickle`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true", ...headers },
        ...(body === null ? {} : { body: JSON.stringify(body) }),
      });
      return { response, status: response.status, body: await response.json() };
    };

    await test.step("wait for the result, also of a function that no job names", async () => {
      const { status, body } = await call();
      assert.equal(status, 200);
      assert.deepEqual(body.result, { summary: "done", attempt: 1 });
      assert.deepEqual([body.job, body.status], ["fickle", "completed"]);
      const row = await run(sql, body.run_id);
      assert.deepEqual([row.status, row.trigger, row.verdict], ["completed", "manual", "ok"]);
      assert.deepEqual(row.result, body.result);
    });

    await test.step("get the error of a job that fails, which is not retried", async () => {
      const { status, body } = await call({ behaviour: "throw" });
      assert.equal(status, 500);
      assert.deepEqual(body.error, { code: "failed", message: "the job failed on purpose" });
      const row = await run(sql, body.run_id);
      assert.deepEqual([row.verdict, row.error_message], ["job_error", body.error.message]);
      await beatUntilIdle(sql);
      assert.equal((await runs(sql, "fickle")).length, 2, "nobody made a retry of it");
    });

    await test.step("get 202 with Prefer: respond-async, before the work is done", async () => {
      const { response, status, body } = await call(
        { behaviour: "wait" },
        { prefer: "respond-async" },
      );
      assert.equal(status, 202);
      assert.equal(response.headers.get("x-run-id"), body.run_id);
      assert.equal((await run(sql, body.run_id)).status, "running");
      await release(sql);
      await untilStatus(sql, body.run_id, "completed");
      await hold(sql);
    });

    await test.step("pg_cron's call is answered 202 before the work is done", async () => {
      await registerJob(sql, "fickle", { payload: { behaviour: "wait" } });
      const id = await fire(sql, "fickle");
      const answer = await untilAnswered(sql, id);
      assert.equal(answer.status_code, 202);
      assert.equal(answer.headers["x-run-id"], id);
      assert.equal((await run(sql, id)).status, "running");

      const { status, body } = await call();
      assert.equal(status, 409);
      assert.equal(body.error.code, "busy");
      assert.match(body.error.message, new RegExp(id), "it names the run that is at work");
      assert.match(body.error.hint, new RegExp(`scheduler\\.cancel_run\\('${id}'`));
      await release(sql);
      await untilStatus(sql, id, "completed");
      await beat(sql);
      assert.equal((await run(sql, id)).verdict, "ok");
      assert.equal((await call()).status, 200, "the lock is free again");
    });

    await test.step("hold the lock: an occurrence that comes due meanwhile is skipped", async () => {
      await hold(sql);
      const { body } = await call({ behaviour: "wait" }, { prefer: "respond-async" });
      const [row] = await sql`select * from scheduler_runs where id = ${await fire(sql, "fickle")}`;
      assert.equal(row?.verdict, "skipped");
      assert.match(row?.skip_reason, new RegExp(body.run_id));
      await release(sql);
      await untilStatus(sql, body.run_id, "completed");
    });

    await test.step("name the job that is meant where a function serves two", async () => {
      for (const job of ["fickle-a", "fickle-b"]) await registerJob(sql, job);
      const { body } = await call({}, { "x-job-name": "fickle-b" });
      assert.equal(body.job, "fickle-b");
      assert.deepEqual(await summary(sql, "fickle-b"), ["completed manual 1 ok"]);
      const unknown = await call({}, { "x-job-name": "fickle-c" });
      assert.deepEqual([unknown.status, unknown.body.error.code], [404, "unknown_job"]);
      assert.match(unknown.body.error.message, /serves no job named "fickle-c"/);
      assert.match(unknown.body.error.hint, /fickle, fickle-a, fickle-b/);
      const foreign = await call({}, { "x-job-name": "system-health" });
      assert.equal(foreign.status, 404, "a job of another function");
    });

    await test.step("without a body run the job as it is registered, and are booked with that", async () => {
      await registerJob(sql, "fickle-c", { payload: { behaviour: "throw" } });
      const registered = await call(null, { "x-job-name": "fickle-c" });
      assert.equal(registered.status, 500);
      assert.equal(registered.body.error.message, "the job failed on purpose");
      const row = await run(sql, registered.body.run_id);
      assert.deepEqual([row.job_name, row.payload], ["fickle-c", { behaviour: "throw" }]);
      const replaced = await call({}, { "x-job-name": "fickle-c" });
      assert.equal(replaced.status, 200);
      assert.deepEqual((await run(sql, replaced.body.run_id)).payload, {});
    });

    await test.step("a request that pg_net sends again is refused, by its run's id", async () => {
      const [last] = await sql`
        select id from scheduler_runs
        where job_name = 'fickle' and trigger = 'cron' and status = 'completed'`;
      const { response, status, body } = await call({}, { "x-run-id": last!.id });
      assert.deepEqual([status, body.error.code], [409, "run_refused"]);
      assert.equal(
        body.error.message,
        `Cannot begin run ${last!.id}: already over: completed (ok)`,
      );
      assert.equal(response.headers.get("x-run-id"), last!.id);
    });

    await test.step("one of many concurrent calls for a job gets through, the others get 409", async () => {
      await hold(sql);
      const statuses: number[] = [];
      const calls = Array.from({ length: 10 }, async () => {
        statuses.push((await call({ behaviour: "wait" })).status);
      });
      await waitUntil("nine refusals", () => statuses.length === 9);
      assert.deepEqual([...new Set(statuses)], [409]);
      await release(sql);
      await Promise.all(calls);
      assert.equal(statuses[9], 200);
      await assertAllRunsOver(sql);
    });
  }));
