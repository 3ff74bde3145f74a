import assert from "node:assert/strict";
import { addChannel, alerts, said, SECRETS } from "../../support/alerts.ts";
import * as t from "../../support/scheduler.ts";

const HEALTHY = SECRETS.dead_man!.address;

t.ledgerTest(
  "a dead man's switch is pinged once a minute, with /fail while the pulse has errors",
  async ({ sql }) => {
    await addChannel(sql, "dead_man");
    const pings = async () => {
      const urls = await sql`delete from net.http_request_queue returning id, url`;
      for (const { id } of urls) await t.respond(sql, Number(id), { status: 200 }, t.NOON);
      return urls.map((row) => row.url);
    };
    await t.pulse(sql, t.after(0));
    assert.deepEqual(await pings(), [HEALTHY]);
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await pings(), []);
    await sql`update scheduler.pulse_state set errors = '{"step jobs": "it broke"}'`;
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await pings(), [`${HEALTHY}/fail`]);
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await pings(), [HEALTHY]);
    // The clock was ahead and went back.
    await t.pulse(sql, t.after(-60));
    assert.deepEqual(await pings(), [HEALTHY]);
  },
);

t.ledgerTest(
  "pings do not pile up in a queue that stands still, and the length of it is said afterwards",
  async ({ sql }) => {
    await addChannel(sql, "dead_man");
    await addChannel(sql, "slack");
    for (let minute = 0; minute < 30; minute++) await t.pulse(sql, t.after(minute));
    const waiting = await sql`select url from net.http_request_queue order by id`;
    assert.deepEqual(waiting.map((row) => row.url), [HEALTHY, SECRETS.slack!.address]);
    assert.deepEqual(await said(sql), ["slack opened critical sent"]);
    await sql`
    with sent as (delete from net.http_request_queue returning id)
    insert into net._http_response (id, status_code, created) select id, 200, ${
      t.after(30)
    } from sent`;
    await t.pulse(sql, t.after(31));
    assert.deepEqual((await alerts(sql)).map((row) => [row.cause, row.end_kind]), [[
      "queue",
      "over",
    ]]);
    const [ended] = await sql`select message from scheduler_alert_deliveries where event = 'ended'`;
    assert.equal(ended!.message.note, "It is over after 27 minutes.");
  },
);

t.ledgerTest("where a ping goes, and when", async ({ sql }) => {
  for (
    const [address, url] of [
      ["https://hc.test/uuid", "https://hc.test/uuid/fail"],
      ["https://hc.test/uuid/", "https://hc.test/uuid/fail"],
      ["https://hc.test/key/slug?create=1", "https://hc.test/key/slug/fail?create=1"],
    ]
  ) {
    assert.equal(await t.value(sql, "scheduler.ping_url($1, false)", [address]), url);
    assert.equal(await t.value(sql, "scheduler.ping_url($1, true)", [address]), address);
  }
  const at = (seconds: number | null) => seconds === null ? null : t.after(seconds / 60);
  for (
    const [pinged, queued, due] of [
      [null, false, true],
      [-59, false, false],
      [-60, false, true],
      [-60, true, false],
      [10, false, true],
    ] as const
  ) {
    const is = await t.value(sql, "scheduler.is_ping_due($1, $2, $3)", [
      at(pinged),
      queued,
      at(0),
    ]);
    assert.equal(is, due, `${pinged} ${queued}`);
  }
});

t.ledgerTest(
  "a wrong address of a dead man's switch fails nothing but its ping",
  async ({ sql }) => {
    await addChannel(sql, "dead_man");
    await t.setSecret(sql, "alert_dead_man_address", "https://hc.test:99999/dead-man-secret");
    const report = await t.pulse(sql, t.NOON);
    assert.deepEqual(report.errors, {});
    const [ping] = await sql`select error, succeeded_at from scheduler.alert_pings`;
    assert.deepEqual({ ...ping }, {
      error: "its request could not be made (XX000)",
      succeeded_at: null,
    });
  },
);

t.ledgerTest(
  "the status line is a setting, and goes to channels that take info",
  async ({ sql }) => {
    await t.register(sql, "a", {}, t.after(900));
    await addChannel(sql, "slack", { least_severity: "info" });
    await addChannel(sql, "discord");
    await t.pulse(sql, t.after(0));
    assert.deepEqual(await said(sql), []);
    await sql`update scheduler_settings set value = '5' where key = 'alerts.status_minutes'`;
    for (let minute = 1; minute < 11; minute++) {
      await t.pulse(sql, t.after(minute));
      await sql`
      with sent as (delete from net.http_request_queue returning id)
      insert into net._http_response (id, status_code, created) select id, 200, ${
        t.after(minute)
      } from sent`;
    }
    const lines =
      await sql`select channel, message ->> 'title' as title from scheduler_alert_deliveries`;
    const line = "1 job: 1 active, 0 paused, 0 failing; 0 under way, 0 waiting; 0 open alerts";
    assert.deepEqual(lines.map((row) => [row.channel, row.title]), [["slack", line], [
      "slack",
      line,
    ]]);
  },
);
