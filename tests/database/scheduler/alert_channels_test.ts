import assert from "node:assert/strict";
import { addChannel, SECRETS } from "../../support/alerts.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("a channel of each kind keeps the names of its secrets, and no secret", async (db) => {
  const { sql } = db;
  for (const kind of Object.keys(SECRETS)) await addChannel(sql, kind);
  const rows = await sql`select * from scheduler_alert_channels order by name`;
  assert.deepEqual(
    rows.map((row) => [row.name, row.address_secret, row.token_secret, row.sender_secret]),
    [
      ["dead_man", "alert_dead_man_address", null, null],
      ["discord", "alert_discord_address", null, null],
      ["email", "alert_email_address", "alert_email_token", "alert_email_sender"],
      ["pagerduty", null, "alert_pagerduty_token", null],
      ["slack", "alert_slack_address", null, null],
      ["teams", "alert_teams_address", null, null],
      ["webhook", "alert_webhook_address", "alert_webhook_token", null],
    ],
  );
  const audit = await sql`select * from scheduler_audit where verb = 'register_alert_channel'`;
  assert.equal(audit.length, 7);
  const seen = JSON.stringify([rows, audit]);
  for (const secrets of Object.values(SECRETS)) {
    for (const secret of Object.values(secrets)) assert.ok(!seen.includes(secret), secret);
  }
});

t.ledgerTest(
  "a channel without its secret, or with a wrong one, is refused, and nothing is shown",
  async (db) => {
    const { sql } = db;
    const wrong: [kind: string, part: string, secret: string, fault: RegExp][] = [
      [
        "slack",
        "address",
        "http://hooks.slack.test/in-the-clear",
        /its address must be an https URL/,
      ],
      [
        "slack",
        "address",
        "https://user:word-secret@slack.test/",
        /its address must be an https URL/,
      ],
      ["slack", "address", "xoxb-token-secret", /its address must be an https URL/],
      ["slack", "address", "https://slack.test/line\nbreak-secret", /printable ASCII/],
      ["teams", "address", " https://teams.test/blank-secret", /begin or end with a blank/],
      ["email", "address", "ops at acme-secret", /its address must be e-mail addresses/],
      ["email", "sender", "nobody-secret", /its sender must be an e-mail address/],
      ["email", "token", "two words-secret", /its token must not hold a blank/],
      ["webhook", "token", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", /its token must be whsec_/],
      ["webhook", "token", "whsec_short", /its token must be whsec_/],
    ];
    for (const [kind, part, secret, fault] of wrong) {
      const error = await refusal(addChannel(sql, kind, {}, { [part]: secret }));
      assert.equal(error.code, "22023", secret);
      assert.match(error.message, fault);
      assert.ok(!JSON.stringify(error).includes(secret.trim().split("\n").at(-1)!), error.message);
    }
    // Whoever gives the secret instead of its name does not find it in a table or an error.
    const given = await refusal(addChannel(sql, "pagerduty", { token_secret: "r0ut1ngk3y" }));
    assert.equal(given.message, "cannot register the alert channel: its token is not in Vault");
    assert.ok(!JSON.stringify(given).includes("r0ut1ngk3y"));
    assert.equal(await t.value(sql, "(select count(*)::int from scheduler_alert_channels)"), 0);
  },
);

t.ledgerTest("a channel's values are looked at", async ({ sql }) => {
  const wrong: [values: Record<string, unknown>, fault: RegExp][] = [
    [{ name: "Ops" }, /name must be/],
    [{ name: "ops", kind: "pigeon" }, /kind must be/],
    [{ least_severity: "loud" }, /least_severity must be/],
    [{ quiet_from: "22:00" }, /given together/],
    [{ quiet_from: "22:00", quiet_until: "07:00", time_zone: "Mars/Olympus" }, /Mars\/Olympus/],
    [{ jobs: ["nobody"] }, /jobs must be registered/],
    [{ groups: ["nobody"] }, /groups must be registered/],
    [{ jobs: null }, /must be given/],
    [{ author: " " }, /reason and author must be given/],
  ];
  for (const [values, fault] of wrong) {
    const error = await refusal(addChannel(sql, "slack", values));
    assert.equal(error.code, "22023");
    assert.match(error.message, fault);
  }
});

t.ledgerTest("a channel is changed to exactly the new values, and taken out", async ({ sql }) => {
  await addChannel(sql, "slack", {
    least_severity: "info",
    quiet_from: "22:00",
    quiet_until: "7:00",
  });
  await addChannel(sql, "slack", { enabled: false });
  const [channel] = await sql`select * from scheduler_alert_channels`;
  assert.deepEqual([channel!.least_severity, channel!.quiet_from, channel!.enabled], [
    "warning",
    null,
    false,
  ]);
  await sql`select scheduler.unregister_alert_channel('slack', 'moved', 'Bob')`;
  const error = await refusal(
    sql`select scheduler.unregister_alert_channel('slack', 'moved', 'Bob')`,
  );
  assert.equal(error.code, "SD015");
  const audit = await sql`select verb, author, before is null as is_new from scheduler_audit
    where subject_type = 'alert_channel' order by id`;
  assert.deepEqual(audit.map((row) => Object.values(row)), [
    ["register_alert_channel", "Ada", true],
    ["register_alert_channel", "Ada", false],
    ["unregister_alert_channel", "Bob", false],
  ]);
});

t.ledgerTest(
  "quiet hours are local, may pass midnight, and hold on days on which the clock changes",
  async ({ sql }) => {
    const cases: [
      from: string | null,
      until: string | null,
      zone: string,
      at: string,
      quiet: boolean,
    ][] = [
      [null, null, "UTC", "2026-03-02T12:00Z", false],
      ["08:00", "08:00", "UTC", "2026-03-02T08:00Z", false],
      ["12:00", "13:00", "UTC", "2026-03-02T11:59:59Z", false],
      ["12:00", "13:00", "UTC", "2026-03-02T12:00Z", true],
      ["12:00", "13:00", "UTC", "2026-03-02T13:00Z", false],
      ["22:00", "07:00", "UTC", "2026-03-02T21:59Z", false],
      ["22:00", "07:00", "UTC", "2026-03-02T23:30Z", true],
      ["22:00", "07:00", "UTC", "2026-03-02T06:59Z", true],
      ["22:00", "07:00", "UTC", "2026-03-02T07:00Z", false],
      ["22:00", "07:00", "America/New_York", "2026-03-02T11:59Z", true],
      ["22:00", "07:00", "America/New_York", "2026-03-02T12:00Z", false],
      ["22:00", "07:00", "America/New_York", "2026-03-08T11:00Z", false],
      ["22:00", "07:00", "Mars/Olympus", "2026-03-02T23:00Z", true],
    ];
    for (const [from, until, zone, at, quiet] of cases) {
      const is = await t.value(sql, "scheduler.is_quiet($1, $2, $3, $4)", [from, until, zone, at]);
      assert.equal(is, quiet, `${from} to ${until} in ${zone} at ${at}`);
    }
  },
);

t.ledgerTest("an alert goes to the channels of its severity, jobs and groups", async ({ sql }) => {
  type Case = [
    channel: Record<string, unknown>,
    severity: string,
    jobs: string[],
    groups: string[],
    wants: boolean,
  ];
  const cases: Case[] = [
    [{}, "warning", ["a"], [], true],
    [{}, "info", ["a"], [], false],
    [{ least_severity: "critical" }, "warning", [], [], false],
    [{ least_severity: "critical" }, "critical", [], [], true],
    [{ jobs: ["a", "b"] }, "warning", ["b", "c"], [], true],
    [{ jobs: ["a"] }, "warning", ["c"], ["g"], false],
    [{ groups: ["g"] }, "warning", ["c"], ["g"], true],
    [{ jobs: ["a"], groups: ["g"] }, "warning", ["c"], ["h"], false],
    // What is of no job concerns all.
    [{ jobs: ["a"] }, "warning", [], [], true],
    [{ enabled: false }, "critical", ["a"], [], false],
    [{ kind: "dead_man" }, "critical", ["a"], [], false],
  ];
  for (const [channel, severity, jobs, groups, wants] of cases) {
    const row = {
      kind: "slack",
      least_severity: "warning",
      jobs: [],
      groups: [],
      enabled: true,
      ...channel,
    };
    const [answer] = await sql`
      select scheduler.channel_wants(jsonb_populate_record(null::public.scheduler_alert_channels, ${
      sql.json(row as never)
    }), ${severity}, ${jobs}::text[], ${groups}::text[]) as wants`;
    assert.equal(answer!.wants, wants, JSON.stringify([channel, severity, jobs, groups]));
  }
});
