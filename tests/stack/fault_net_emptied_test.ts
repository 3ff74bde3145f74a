// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres from "postgres";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  registerJob,
  release,
  untilAnswered,
  untilStatus,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("pg_net's tables emptied and its ids restarted while runs are in flight", () =>
  withStack({ cron: false }, async ({ sql, adminUrl, net }) => {
    await registerJob(sql, "at-work", { payload: { behaviour: "wait" } });
    await registerJob(sql, "forgotten");
    const atWork = await fire(sql, "at-work");
    await untilStatus(sql, atWork, "running");
    await untilAnswered(sql, atWork);
    net.pause();
    const forgotten = await fire(sql, "forgotten");

    const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
    await admin`truncate net.http_request_queue, net._http_response restart identity`;
    await admin.end();

    // Their requests get the very ids that the two above still have, and answers that would fail them.
    const jobs = ["usurper-1", "usurper-2"];
    for (const job of jobs) await registerJob(sql, job, { target: "nowhere", max_attempts: 1 });
    const usurpers = await Promise.all(jobs.map((job) => fire(sql, job)));
    const requestIds = async (ids: string[]) =>
      (await Promise.all(ids.map((id) => run(sql, id)))).map((row) => Number(row.request_id))
        .sort();
    assert.deepEqual(await requestIds(usurpers), await requestIds([atWork, forgotten]));
    net.resume();
    for (const id of usurpers) await untilAnswered(sql, id);
    await beat(sql);

    assert.equal((await run(sql, atWork)).status, "running");
    assert.equal((await run(sql, forgotten)).status, "dispatched");
    for (const id of usurpers) assert.equal((await run(sql, id)).verdict, "not_found");
    for (const id of [atWork, forgotten]) {
      const row = await run(sql, id);
      assert.equal(row.response_status, null, "it had no answer of its own");
      assert.match(row.response_error, /used again/);
    }

    await passTime(sql, 61);
    await sql`update scheduler_runs set heartbeat_at = now() where id = ${atWork}`;
    await release(sql);
    await beatUntilIdle(sql);
    assert.deepEqual(await summary(sql, "forgotten"), [
      "failed cron 1 lost",
      "completed retry 2 ok",
    ]);
    assert.deepEqual(await summary(sql, "at-work"), ["completed cron 1 ok_unanswered"]);
    await assertAllRunsOver(sql);
  }));
