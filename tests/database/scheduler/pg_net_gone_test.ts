import assert from "node:assert/strict";
import { recreatePgNet } from "../../support/recreate-pg-net.ts";
import * as t from "../../support/scheduler.ts";

/** Postgres 15 names the schema, 17 the table. */
const NOT_THERE = /^(schema "net"|relation "net\.http_request_queue") does not exist$/;

t.ledgerTest(
  "while pg_net is dropped receipts are taken, queued runs keep waiting, and the pulse says why",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { overlap_policy: "queue", timeout_seconds: 600 });
    const first = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, first, t.after(0.01));
    await t.dispatch(sql, "job", t.after(1));
    await admin`drop extension pg_net`;
    await t.heartbeat(sql, first, t.after(1.5));
    await t.finish(sql, first, "completed", t.after(1.6));
    assert.deepEqual(await t.summary(sql, "job"), ["completed cron 1 ok", "queued cron 1"]);
    const { errors } = await t.pulse(sql, t.after(1.7));
    assert.deepEqual(Object.keys(errors).sort(), ["step answers", "step jobs"]);
    for (const error of Object.values(errors)) assert.match(String(error), NOT_THERE);
    const [state] = await sql`select errors from scheduler.pulse_state`;
    assert.deepEqual(state!.errors, errors);
    await recreatePgNet(admin);
    assert.deepEqual((await t.pulse(sql, t.after(1.9))).errors, {});
    assert.deepEqual((await t.summary(sql, "job"))[1], "dispatched cron 1");
  },
);

t.ledgerTest(
  "while pg_net is dropped runs can be enqueued; they are sent when it is back",
  async ({ sql, admin }) => {
    await sql`select scheduler.register_job('job', null)`;
    await admin`drop extension pg_net`;
    assert.equal(
      await t.value(sql, `scheduler.enqueue_runs('job', '[{}]', null, $1)`, [t.NOON]),
      1,
    );
    assert.deepEqual(await t.summary(sql, "job"), ["queued enqueued 1"]);
    await recreatePgNet(admin);
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
  },
);

t.ledgerTest(
  "an occurrence that came due while pg_net was dropped is dispatched when it is back",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    await admin`drop extension pg_net`;
    await assert.rejects(t.dispatch(sql, "job"), { message: NOT_THERE });
    assert.deepEqual(await t.summary(sql, "job"), []);
    await recreatePgNet(admin);
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched catch_up 1"]);
  },
);
