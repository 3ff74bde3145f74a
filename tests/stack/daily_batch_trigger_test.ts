// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { addProvider } from "../support/batch.ts";
import { beat, beatUntilIdle, passTime, untilRestAnswers } from "../support/faults.ts";
import { assertInvariants, summary } from "../support/scheduler.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const JOB = "daily-batch-trigger-zones";

/** An organization with its own zone that is due. */
async function organization(sql: Sql, name: string): Promise<string> {
  const [row] = await sql`
    with made as (
      insert into organizations (name, time_zone, created_at) values (${name}, 'Asia/Tokyo', now() - interval '3 days')
      returning id
    ), asked as (insert into prompts (organization_id, text) select id, 'Question?' from made)
    select id from made`;
  return row!.id;
}

async function batches(sql: Sql, organization: string) {
  return [
    ...await sql`
      select status, tasks_total, tasks_completed from batch_jobs where organization_id = ${organization}`,
  ];
}

/** Runs `fn` while the trigger's transaction waits before its tasks, with its marks and batch jobs made. */
async function inMidTransaction(stack: Stack, fn: (pid: number) => Promise<void>): Promise<void> {
  const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await stack.sql.begin(async (holder) => {
      await holder`lock table batch_tasks in exclusive mode`;
      await stack.sql`select scheduler.run_now(${JOB}, 'ann')`;
      const pid = await waitUntil("the trigger's transaction", async () => {
        const [row] = await admin`
          select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%trigger_daily_batch%'`;
        return row?.pid;
      });
      await fn(pid);
    });
  } finally {
    await admin.end({ timeout: 1 });
  }
}

Deno.test("daily-batch-trigger", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql, apiUrl, keys, functions } = stack;
    await addProvider(sql, "one");
    const call = (body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${apiUrl}/functions/v1/daily-batch-trigger`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true", ...headers },
        body: JSON.stringify(body),
      });

    await test.step("bad input is refused, and the field named", async () => {
      for (
        const [body, field] of [
          [{ force: "yes" }, "force"],
          [{ manual_test: 1 }, "manual_test"],
          [{ zones: null }, "zones"],
          [{ forced: true }, "forced"],
          [[], "object"],
        ] as const
      ) {
        const response = await call(body);
        assert.equal(response.status, 400);
        assert.match(await response.text(), new RegExp(field));
      }
    });

    await test.step("a person's call with force is answered, and the ledger has its input", async () => {
      const [row] = await sql`
        with made as (insert into organizations (name, created_at) values ('Acme', now() - interval '3 days') returning id),
        asked as (insert into prompts (organization_id, text) select id, 'Question?' from made)
        select id from made`;
      const response = await call({ force: true, manual_test: true });
      const { result } = await response.json();
      assert.equal(response.status, 200);
      assert.deepEqual([
        result.outcome,
        result.batches,
        result.tasks,
        result.forced,
        result.manual_test,
      ], [
        "started",
        1,
        1,
        true,
        true,
      ]);
      const [run] =
        await sql`select id, payload, result from scheduler_runs where job_name = 'daily-batch-trigger'`;
      assert.deepEqual(run!.payload, { force: true, manual_test: true });
      assert.equal(run!.result.manual_test, true);
      assert.deepEqual([...await sql`select run_id from batch_jobs`], [{ run_id: run!.id }]);
      const again = await (await call({ force: true })).json();
      assert.equal(again.result.outcome, "already_run");
      assert.match(again.result.summary, /^nothing begun: \d{4}-\d\d-\d\d has been run already$/);
      await beatUntilIdle(sql);
      assert.deepEqual(await batches(sql, row!.id), [
        { status: "completed", tasks_total: 1, tasks_completed: 1 },
      ]);
    });

    await test.step("outside the window it completes, and says when the window is", async () => {
      // A window of an hour, six hours from now.
      const [row] = await sql`
        select to_char(now() at time zone 'America/New_York' + interval '6 hours', 'HH24:MI') as run_at`;
      await sql`update scheduler_settings set value = to_jsonb(${
        row!.run_at
      }::text) where key = 'daily_batch.run_at'`;
      await sql`update scheduler_settings set value = '1' where key = 'daily_batch.window_hours'`;
      const { result } = await (await call({})).json();
      assert.equal(result.outcome, "outside_window");
      assert.match(
        result.summary,
        new RegExp(
          `^nothing begun: it is \\d\\d:\\d\\d, the window is ${
            row!.run_at
          } to \\d\\d:\\d\\d America/New_York`,
        ),
      );
      assert.doesNotMatch(result.summary, /has not been run/);
    });

    const lastLine = async () => {
      const [line] = await sql`
        select severity, message from scheduler_activity where source like 'daily-batch-trigger%' order by id desc limit 1`;
      return [line!.severity, line!.message];
    };

    await test.step("a day whose window passed without a run is named in the activity log", async () => {
      await sql`update scheduler_state set last_daily_run_key = '2020-01-01' where scope = 'global'`;
      const { result } = await (await call({})).json();
      assert.match(
        result.summary,
        new RegExp(`; ${result.date} has not been run: call with {"force": true}$`),
      );
      assert.deepEqual(await lastLine(), ["warning", result.summary]);
    });

    await test.step("without an enabled provider nothing begins, and the activity log says so", async () => {
      await sql`update batch_providers set enabled = false`;
      const { result } = await (await call({ zones: true }, { "x-job-name": JOB })).json();
      assert.equal(
        result.summary,
        "nothing begun: no provider is enabled; the next tick tries again",
      );
      assert.deepEqual(await lastLine(), ["error", result.summary]);
      await sql`update batch_providers set enabled = true`;
    });

    await test.step("20 triggers at once: one batch", async () => {
      const id = await organization(sql, "Twenty");
      const told = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
        // Through the function, where the others find it busy, and past it, straight into the database.
        if (n % 4 === 0) return await (await call({ zones: true }, { "x-job-name": JOB })).json();
        const response = await fetch(`${apiUrl}/rest/v1/rpc/trigger_daily_batch`, {
          method: "POST",
          headers: { apikey: keys.secretKey, "content-type": "application/json" },
          body: JSON.stringify({ p_zones: true }),
        });
        assert.equal(response.status, 200);
        return { result: await response.json() };
      }));
      const begun = told.reduce((sum, { result }) => sum + (result?.batches ?? 0), 0);
      assert.equal(begun, 1, JSON.stringify(told));
      await beatUntilIdle(sql);
      assert.equal((await batches(sql, id)).length, 1);
    });

    await test.step("its database connection killed during its transaction: the retry begins the whole day, once", async () => {
      await sql`delete from scheduler_runs`;
      const id = await organization(sql, "Backend");
      await inMidTransaction(stack, async (pid) => {
        await sql`select pg_terminate_backend(${pid})`;
        await waitUntil("the end of the run", async () => (await summary(sql, JOB)).length === 2);
        assert.deepEqual(await batches(sql, id), []);
      });
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, JOB), [
        "failed manual 1 job_error",
        "completed retry 2 ok",
      ]);
      assert.deepEqual(await batches(sql, id), [
        { status: "completed", tasks_total: 1, tasks_completed: 1 },
      ]);
    });

    await test.step("the functions killed during the call: the batch is begun once, and the retry finds it", async () => {
      await sql`delete from scheduler_runs`;
      const id = await organization(sql, "Functions");
      await inMidTransaction(stack, () => functions.kill());
      await functions.start();
      await untilRestAnswers(stack);
      await passTime(sql, 61);
      await beat(sql);
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, JOB), [
        "failed manual 1 stalled",
        "completed retry 2 ok",
      ]);
      assert.deepEqual(await batches(sql, id), [
        { status: "completed", tasks_total: 1, tasks_completed: 1 },
      ]);
      await assertInvariants(sql);
    });
  }));
