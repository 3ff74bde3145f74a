import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addChannel, SECRETS } from "../../support/alerts.ts";
import * as t from "../../support/scheduler.ts";

const channels = async (sql: Sql, now = t.NOON) =>
  (await t.value(sql, "scheduler.api_channels(null, $1)", [now])).channels;
const channel = async (sql: Sql, name: string, now = t.NOON) =>
  // deno-lint-ignore no-explicit-any
  (await channels(sql, now)).find((found: any) => found.name === name);

/** The pulse's step without a look at the rules. */
const attend = async (sql: Sql, now: Date) => {
  await sql`update scheduler.pulse_state set last_looked_at = ${now}`;
  await sql`select scheduler.attend_alerts(${now})`;
};

/** Answers the newest request. */
async function answerLast(sql: Sql, given: t.Answer, at: Date): Promise<void> {
  const [request] = await sql`delete from net.http_request_queue returning id`;
  await t.respond(sql, Number(request!.id), given, at);
}

t.ledgerTest("a channel says what it takes, and when it is quiet", async ({ sql }) => {
  await t.register(sql, "job", {}, t.after(600));
  await sql`select scheduler.register_group('night')`;
  await addChannel(sql, "slack", {
    name: "ops",
    least_severity: "critical",
    jobs: ["job"],
    groups: ["night"],
    quiet_from: "22:00",
    quiet_until: "06:30",
    time_zone: "Asia/Tokyo",
    enabled: false,
  });
  await addChannel(sql, "webhook");
  // 21:00 in Tokyo.
  assert.deepEqual(await channels(sql), [
    {
      name: "ops",
      kind: "slack",
      enabled: false,
      least_severity: "critical",
      jobs: ["job"],
      groups: ["night"],
      quiet: { from: "22:00", until: "06:30", time_zone: "Asia/Tokyo", now: false },
      fault: null,
      waiting: 0,
      last_delivery: null,
      last_error: null,
    },
    {
      name: "webhook",
      kind: "webhook",
      enabled: true,
      least_severity: "warning",
      jobs: [],
      groups: [],
      quiet: null,
      fault: null,
      waiting: 0,
      last_delivery: null,
      last_error: null,
    },
  ]);
  assert.equal((await channel(sql, "ops", t.after(60))).quiet.now, true);
  await t.setSecret(sql, "alert_webhook_token", null);
  assert.equal((await channel(sql, "webhook")).fault, "its token is not in Vault");
});

t.ledgerTest("what arrived last, what did not, and what waits", async ({ sql }) => {
  await addChannel(sql, "slack");
  const test = (at: Date) => sql`select scheduler.test_alert_channel('slack', 'why', 'ann', ${at})`;
  await test(t.NOON);
  assert.equal((await channel(sql, "slack")).waiting, 1);
  await attend(sql, t.NOON);
  await answerLast(sql, { status: 500 }, t.after(0.1));
  await attend(sql, t.after(0.1));
  const { last_error: again, waiting } = await channel(sql, "slack");
  assert.deepEqual([again.message, again.response_status, again.given_up, again.tries, waiting], [
    "HTTP 500",
    500,
    false,
    1,
    1,
  ]);
  await attend(sql, t.after(1));
  await answerLast(sql, { status: 200 }, t.after(1.1));
  await attend(sql, t.after(1.1));
  const arrived = await channel(sql, "slack");
  assert.deepEqual([arrived.waiting, arrived.last_error], [0, null]);
  assert.equal(Date.parse(arrived.last_delivery.at), t.after(1.1).getTime());
  assert.deepEqual([arrived.last_delivery.event, arrived.last_delivery.severity], ["test", "info"]);
  await test(t.after(2));
  await attend(sql, t.after(2));
  await answerLast(sql, { status: 404 }, t.after(2.1));
  await attend(sql, t.after(2.1));
  const refused = await channel(sql, "slack");
  assert.deepEqual([refused.last_error.message, refused.last_error.given_up, refused.waiting], [
    "HTTP 404",
    true,
    0,
  ]);
  assert.equal(Date.parse(refused.last_error.at), t.after(2.1).getTime());
  assert.equal(Date.parse(refused.last_delivery.at), t.after(1.1).getTime());
});

t.ledgerTest("a dead man's switch says how its last ping went", async ({ sql }) => {
  await addChannel(sql, "dead_man", { name: "watcher" });
  await attend(sql, t.NOON);
  assert.equal((await channel(sql, "watcher")).waiting, 1);
  await answerLast(sql, { status: 200 }, t.after(0.1));
  await attend(sql, t.after(0.1));
  const pinged = await channel(sql, "watcher");
  assert.deepEqual([pinged.waiting, pinged.last_error, pinged.last_delivery.event], [
    0,
    null,
    "ping",
  ]);
  assert.equal(Date.parse(pinged.last_delivery.at), t.NOON.getTime());
  await attend(sql, t.after(2));
  await answerLast(sql, { error: "Couldn't connect to server" }, t.after(2.1));
  await attend(sql, t.after(2.1));
  const failed = await channel(sql, "watcher");
  assert.equal(failed.last_error.message, "Couldn't connect to server");
  assert.equal(Date.parse(failed.last_error.at), t.after(2).getTime());
  assert.equal(Date.parse(failed.last_delivery.at), t.NOON.getTime());
});

t.ledgerTest("no address and no token is in it, also not of an error", async ({ sql }) => {
  for (const kind of Object.keys(SECRETS)) await addChannel(sql, kind);
  const [first] = await sql`select name from scheduler_alert_channels order by name limit 1`;
  for (
    const { name } of await sql`select name from scheduler_alert_channels where kind <> 'dead_man'`
  ) {
    await sql`select scheduler.test_alert_channel(${name}, 'why', 'ann', ${t.NOON})`;
  }
  await attend(sql, t.NOON);
  await sql`
    update scheduler_alert_deliveries set error = 'could not reach https://hooks.slack.test/ at all', tries = 1`;
  await sql`update scheduler.alert_pings set error = 'see https://hc-ping.test', answered_at = pinged_at`;
  const found = await channels(sql);
  assert.equal(found[0].name, first!.name);
  const text = JSON.stringify(found);
  for (const secret of Object.values(SECRETS).flatMap((parts) => Object.values(parts))) {
    assert.ok(!text.includes(secret), secret);
  }
  for (const part of [".test", "secret", "://", "@"]) assert.ok(!text.includes(part), part);
  assert.match(text, /could not reach \*\*\* at all/);
});

t.ledgerTest("a hundred channels a page", async ({ sql }) => {
  await addChannel(sql, "slack", { name: "c-001" });
  await sql`
    insert into scheduler_alert_channels (name, kind, address_secret)
    select 'c-' || lpad(i::text, 3, '0'), 'slack', 'alert_c-001_address' from generate_series(2, 101) as i`;
  const first = await t.value(sql, "scheduler.api_channels(null, $1)", [t.NOON]);
  assert.deepEqual([first.channels.length, first.next_cursor], [100, "c-100"]);
  const second = await t.value(sql, "scheduler.api_channels('c-100', $1)", [t.NOON]);
  assert.deepEqual([second.channels.length, second.next_cursor], [1, null]);
});
