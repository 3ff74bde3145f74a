import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

/** What a crash of Postgres does to pg_net. */
async function restartIds(admin: Sql) {
  await admin`truncate net.http_request_queue, net._http_response restart identity`;
}

t.ledgerTest(
  "after pg_net's ids restarted an answer counts for the run that asked last",
  async ({ sql, admin }) => {
    await t.register(sql, "before", { schedule: "0 12 * * *" });
    await t.register(sql, "after", { schedule: "1 12 * * *" }, t.after(1));
    await restartIds(admin);
    const before = (await t.dispatch(sql, "before"))!;
    await restartIds(admin);
    const later = (await t.dispatch(sql, "after", t.after(1)))!;
    assert.equal((await t.run(sql, later)).request_id, (await t.run(sql, before)).request_id);
    await t.answer(sql, later, { status: 404 }, t.after(1.1));
    await t.pulse(sql, t.after(1.2));
    assert.equal((await t.run(sql, later)).verdict, "not_found");
    const lost = await t.run(sql, before);
    assert.equal(lost.verdict, "lost");
    assert.equal(lost.response_status, null);
    assert.deepEqual(await t.summary(sql, "before"), ["failed cron 1 lost", "queued retry 2"]);
  },
);

t.ledgerTest("an answer older than the request is not believed", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  await t.answer(sql, id, { status: 404 }, t.after(-0.1));
  await t.pulse(sql, t.after(0.5));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest("an answer that names another run is not believed", async ({ sql }) => {
  for (
    const [name, receipt] of [["job", {}], ["url", { target: "https://example.test/" }]] as const
  ) {
    await t.register(sql, name, receipt);
    const id = (await t.dispatch(sql, name))!;
    const headers = { "x-run-id": crypto.randomUUID() };
    await t.answer(sql, id, { status: name === "url" ? 200 : 404, headers }, t.after(0.1));
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await t.summary(sql, name), ["dispatched cron 1"]);
    assert.equal((await t.run(sql, id)).answered_at, null);
  }
});

t.ledgerTest("an answer is read once, and answers to no run are ignored", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  await t.answer(sql, id, { status: 202, headers: { "x-run-id": id } }, t.after(0.1));
  await t.respond(sql, 987654, { status: 404 }, t.after(0.1));
  assert.equal((await t.pulse(sql, t.after(0.3))).answers, 1);
  assert.equal((await t.pulse(sql, t.after(0.4))).answers, 0);
});

t.ledgerTest("a retry after the crash completes the occurrence, once", async ({ sql, admin }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  const first = (await t.dispatch(sql, "job"))!;
  await restartIds(admin);
  await t.pulse(sql, t.after(2));
  await t.pulse(sql, t.after(20));
  const [retry] = await sql`select id from scheduler_runs where status = 'dispatched'`;
  assert.equal((await t.begin(sql, first, t.after(20))).begun, false);
  await t.begin(sql, retry!.id, t.after(20));
  await t.finish(sql, retry!.id, "completed", t.after(21));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 lost", "completed retry 2 ok"]);
  await t.assertInvariants(sql);
});

t.ledgerTest(
  "after a crash a stranger's answer with a reused id is not believed",
  async ({ sql, admin }) => {
    await t.register(sql, "url", { target: "https://example.test/" });
    const id = (await t.dispatch(sql, "url"))!;
    // What a crash empties: every unlogged table.
    await restartIds(admin);
    await admin`truncate scheduler.request_epoch`;
    const { request_id } = await t.run(sql, id);
    await t.pulse(sql, t.after(0.2));
    await t.respond(sql, request_id, { status: 200 }, t.after(0.3));
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await t.summary(sql, "url"), ["dispatched cron 1"]);
  },
);

t.ledgerTest(
  "a request made after a crash gets its answer, also before the first pulse",
  async ({ sql, admin }) => {
    await t.register(sql, "job");
    await admin`truncate scheduler.request_epoch`;
    const id = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, id, { status: 404 }, t.after(0.1));
    await t.pulse(sql, t.after(0.5));
    assert.equal((await t.run(sql, id)).verdict, "not_found");
  },
);

t.ledgerTest(
  "a request whose transaction began before the one that noticed the crash gets its answer",
  async ({ sql, admin }) => {
    await admin`truncate scheduler.request_epoch`;
    await t.pulse(sql, t.after(0.001));
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job", t.NOON))!;
    await t.answer(sql, id, { status: 404 }, t.after(0.1));
    await t.pulse(sql, t.after(0.5));
    assert.equal((await t.run(sql, id)).verdict, "not_found");
  },
);

t.ledgerTest(
  "after pg_net was dropped and created a stranger's answer with a reused id is not believed",
  async ({ sql, admin }) => {
    await t.register(sql, "url", { target: "https://example.test/", schedule: "0 12 * * *" });
    const id = (await t.dispatch(sql, "url"))!;
    // The tables are new ones, ids begin at 1 again, and our own unlogged table keeps its row.
    await admin`alter table net.http_request_queue rename to dropped`;
    await admin`create unlogged table net.http_request_queue (like net.dropped including all)`;
    await admin`grant all on net.http_request_queue to public`;
    const { request_id } = await t.run(sql, id);
    await t.respond(sql, request_id, { status: 200 }, t.after(0.3));
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await t.summary(sql, "url"), ["dispatched cron 1"]);
    await t.register(sql, "next", { target: "https://example.test/" }, t.after(1));
    const next = (await t.dispatch(sql, "next", t.after(1)))!;
    await t.answer(sql, next, { status: 200 }, t.after(1.1));
    await t.pulse(sql, t.after(1.2));
    assert.deepEqual(await t.summary(sql, "next"), ["completed cron 1 ok"]);
  },
);

t.ledgerTest(
  "a stranger's request with a reused id stays in pg_net's queue, and the run is lost",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 1 });
    const id = (await t.dispatch(sql, "job"))!;
    await sql`update net.http_request_queue set headers = '{"x-run-id": "another"}'`;
    await t.pulse(sql, t.after(2));
    assert.equal((await t.run(sql, id)).verdict, "lost");
    assert.equal((await t.requests(sql)).length, 1);
  },
);
