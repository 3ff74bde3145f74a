import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { addChannel, said, SECRETS } from "../../support/alerts.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

/** An alert about the queue, written and not sent yet. */
async function openAlert(sql: Sql, now: Date): Promise<void> {
  await sql`
    select scheduler.write_causes(array[row('pulse', 'pulse_errors', 'warning', 0, '{}')::scheduler.seen_cause], ${now})`;
  await sql`select scheduler.write_deliveries(${now})`;
}

const deliveries = async (sql: Sql): Promise<Row[]> => [
  ...await sql`select * from scheduler_alert_deliveries order by written_at, channel`,
];

/** The pulse's step without a look at the rules. */
const attend = async (sql: Sql, now: Date) => {
  await sql`update scheduler.pulse_state set last_looked_at = ${now}`;
  await sql`select scheduler.attend_alerts(${now})`;
};

/** Answers the newest request, or loses it. */
async function answerLast(sql: Sql, given: t.Answer | "lost", at: Date): Promise<void> {
  const [request] = await sql`delete from net.http_request_queue returning id`;
  if (given !== "lost") await t.respond(sql, Number(request!.id), given, at);
}

t.ledgerTest("what an answer says of a message", async ({ sql }) => {
  const cases: [status: number | null, outcome: string][] = [
    ...[200, 201, 202, 204].map((status): [number, string] => [status, "delivered"]),
    ...[408, 409, 425, 429, 500, 502, 503, 504].map((
      status,
    ): [number, string] => [status, "again"]),
    ...[301, 400, 401, 403, 404, 410, 422].map((status): [number, string] => [status, "failed"]),
    [null, "again"],
  ];
  for (const [status, outcome] of cases) {
    assert.equal(
      await t.value(sql, "scheduler.delivery_outcome($1)", [status]),
      outcome,
      `${status}`,
    );
  }
  const waits: [tries: number, after: string | null, seconds: number][] = [
    [1, null, 15],
    [2, null, 30],
    [5, null, 240],
    [7, null, 960],
    [50, null, 960],
    [1, "60", 60],
    [1, "0.7", 15],
    [1, "86400", 3600],
    [1, "Wed, 21 Oct 2026 07:28:00 GMT", 15],
  ];
  for (const [tries, after, seconds] of waits) {
    const wait = await t.value(
      sql,
      "extract(epoch from scheduler.delivery_wait($1, $2))::float",
      [tries, after],
    );
    assert.equal(wait, seconds, `${tries} ${after}`);
  }
});

t.ledgerTest(
  "written and killed before it was sent: it is sent, once, with its key",
  async ({ sql }) => {
    await addChannel(sql, "webhook");
    await openAlert(sql, t.NOON);
    const [written] = await deliveries(sql);
    assert.equal(written!.status, "waiting");
    // A pulse that dies takes its request with it, as both are of one transaction.
    await refusal(sql.begin(async (transaction) => {
      await transaction`select scheduler.attend_alerts(${t.after(0.1)})`;
      await transaction`select 1 / 0`;
    }));
    assert.equal((await t.requests(sql)).length, 0);
    await attend(sql, t.after(0.2));
    await attend(sql, t.after(0.3));
    const requests = await t.requests(sql);
    assert.deepEqual(requests.map((request) => request.headers["webhook-id"]), [written!.id]);
    await answerLast(sql, { status: 202 }, t.after(0.4));
    await attend(sql, t.after(0.5));
    assert.deepEqual(await said(sql), ["webhook opened warning delivered"]);
  },
);

t.ledgerTest(
  "a lost answer is followed by one repeat with the same key and body",
  async ({ sql }) => {
    await addChannel(sql, "email");
    await openAlert(sql, t.NOON);
    await attend(sql, t.after(0));
    const [first] = await t.requests(sql);
    assert.equal(first!.headers.Authorization, `Bearer ${SECRETS.email!.token}`);
    await answerLast(sql, { timedOut: true, error: "Timeout of 3000 ms reached" }, t.after(0.1));
    await attend(sql, t.after(0.2));
    assert.deepEqual(await t.requests(sql), []);
    await attend(sql, t.after(0.5));
    const [second] = await t.requests(sql);
    assert.equal(second!.headers["Idempotency-Key"], first!.headers["Idempotency-Key"]);
    assert.deepEqual(second!.body, first!.body);
    await answerLast(sql, { status: 200, content: '{"id": "1"}' }, t.after(0.6));
    await attend(sql, t.after(0.7));
    await attend(sql, t.after(20));
    assert.deepEqual(await t.requests(sql), []);
    assert.deepEqual((await deliveries(sql)).map((row) => [row.status, row.tries]), [[
      "delivered",
      2,
    ]]);
  },
);

t.ledgerTest(
  "a crash that empties pg_net loses no message, and its new ids answer no old one",
  async ({ sql, admin }) => {
    await addChannel(sql, "webhook");
    await openAlert(sql, t.NOON);
    await attend(sql, t.NOON);
    const [before] = await t.requests(sql);
    await admin`truncate net.http_request_queue, net._http_response`;
    await admin`truncate scheduler.request_epoch`;
    await t.respond(sql, Number(before!.id), { status: 200 }, t.after(0.1));
    await attend(sql, t.after(0.2));
    assert.deepEqual((await deliveries(sql)).map((row) => [row.status, row.error]), [
      ["waiting", "no answer was seen"],
    ]);
    await attend(sql, t.after(1));
    const [again] = await t.requests(sql);
    assert.equal(again!.headers["webhook-id"], before!.headers["webhook-id"]);
  },
);

t.ledgerTest("a request that waits in the queue is not sent beside itself", async ({ sql }) => {
  await addChannel(sql, "slack");
  await openAlert(sql, t.NOON);
  await attend(sql, t.NOON);
  await attend(sql, t.after(30));
  assert.equal((await t.requests(sql)).length, 1);
  await answerLast(sql, "lost", t.after(30));
  await attend(sql, t.after(31));
  await attend(sql, t.after(32));
  assert.equal((await t.requests(sql)).length, 1);
});

t.ledgerTest(
  "a channel that asks for patience gets it, and the end waits for the beginning",
  async ({ sql }) => {
    await addChannel(sql, "slack");
    await openAlert(sql, t.NOON);
    await attend(sql, t.NOON);
    await answerLast(sql, { status: 429, headers: { "retry-after": "120" } }, t.after(0.1));
    await attend(sql, t.after(0.2));
    await sql`select scheduler.write_causes('{}', ${t.after(1)})`;
    await sql`select scheduler.write_deliveries(${t.after(1)})`;
    await attend(sql, t.after(2));
    assert.deepEqual(await t.requests(sql), []);
    await attend(sql, t.after(2.3));
    assert.match((await t.requests(sql))[0]!.body.text, /^\[warning\]/);
    await answerLast(sql, { status: 200, content: "ok" }, t.after(2.4));
    await attend(sql, t.after(2.5));
    assert.match((await t.requests(sql))[0]!.body.text, /^\[over\]/);
  },
);

t.ledgerTest("what cannot be delivered is seen, and says nothing secret", async ({ sql }) => {
  await addChannel(sql, "slack");
  await addChannel(sql, "discord");
  await addChannel(sql, "teams");
  await openAlert(sql, t.NOON);
  // A revoked hook, a secret that went, and a URL that pg_net refuses and quotes.
  await t.setSecret(sql, "alert_discord_address", null);
  await t.setSecret(sql, "alert_teams_address", "https://teams.test:99999/teams-secret");
  await attend(sql, t.NOON);
  await answerLast(sql, { status: 404, content: "no_service" }, t.after(0.1));
  await attend(sql, t.after(0.2));
  const rows = await deliveries(sql);
  assert.deepEqual(rows.map((row) => [row.channel, row.status, row.response_status, row.error]), [
    ["discord", "waiting", null, "its address is not in Vault"],
    ["slack", "failed", 404, null],
    ["teams", "waiting", null, "its request could not be made (XX000)"],
  ]);
  const undelivered = (now: Date) => t.value(sql, "scheduler.undelivered_alerts($1)::int", [now]);
  assert.equal(await undelivered(t.after(0.2)), 1);
  assert.equal(await undelivered(t.after(6)), 3);
  // After a day nobody tries any more.
  await attend(sql, t.after(24 * 60 - 0.2));
  assert.deepEqual((await deliveries(sql)).map((row) => row.status), [
    "failed",
    "failed",
    "failed",
  ]);
  const activity = await sql`select message, severity from scheduler_activity order by id`;
  assert.deepEqual(activity.map((row) => [row.message, row.severity]), [
    ["an alert could not be delivered to the channel slack: HTTP 404", "error"],
    [
      "an alert could not be delivered to the channel discord: its address is not in Vault",
      "error",
    ],
    [
      "an alert could not be delivered to the channel teams: its request could not be made (XX000)",
      "error",
    ],
  ]);
  assert.ok(!JSON.stringify([rows, activity]).includes("-secret"));
  // What arrives there later mends it.
  assert.equal(await undelivered(t.after(24 * 60 - 0.1)), 3);
  await sql`
    insert into scheduler_alert_deliveries
      (channel, event, severity, message, status, written_at, send_after, finished_at)
    select name, 'test', 'info', '{}', 'delivered', ${t.after(24 * 60)}::timestamptz, ${
    t.after(24 * 60)
  },
      ${t.after(24 * 60)} from scheduler_alert_channels where kind in ('slack', 'teams')`;
  assert.equal(await undelivered(t.after(24 * 60)), 1);
});

t.ledgerTest("a test of a channel is sent, whatever its severity and hours", async ({ sql }) => {
  await addChannel(sql, "slack", {
    least_severity: "critical",
    quiet_from: "0:00",
    quiet_until: "23:59",
  });
  await sql`select scheduler.test_alert_channel('slack', 'new', 'Ada', ${t.NOON})`;
  await t.pulse(sql, t.NOON);
  assert.deepEqual((await t.requests(sql)).map((request) => request.body), [{
    text: "[test] the channel slack works",
  }]);
  for (
    const [call, code, fault] of [
      ["'nobody', 'why', 'who'", "SD015", /there is no alert channel named 'nobody'/],
      ["'slack', ' ', 'who'", "22023", /reason and author must be given/],
    ] as const
  ) {
    const error = await refusal(sql.unsafe(`select scheduler.test_alert_channel(${call})`));
    assert.equal(error.code, code);
    assert.match(error.message, fault);
  }
  await t.setSecret(sql, "alert_slack_address", null);
  const error = await refusal(sql`select scheduler.test_alert_channel('slack', 'new', 'Ada')`);
  assert.equal(error.message, "cannot test the alert channel slack: its address is not in Vault");
});
