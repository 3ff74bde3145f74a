import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { addChannel, SECRETS } from "../../support/alerts.ts";
import * as t from "../../support/scheduler.ts";

const KEY = "11111111-1111-4111-8111-111111111111";
const ALERT = "22222222-2222-4222-8222-222222222222";
const message = (event: string, more: Record<string, unknown> = {}) => ({
  event,
  alert: ALERT,
  severity: "critical",
  at: "2026-03-02T12:00:00+00:00",
  title: "a failed <b> & @everyone",
  jobs: ["a", "b"],
  job_count: 3,
  note: "It has become worse.",
  sentence: "a failed at noon.",
  link: "https://console.test/?job=a",
  ...more,
});

t.ledgerTest("each kind of channel gets the body that it takes", async ({ sql }) => {
  const body = async (kind: string, event: string) =>
    (await sql`
      select scheduler.alert_body(${kind}, ${sql.json(message(event))}, ${KEY}, ${
      sql.json(SECRETS[kind]!)
    }) as body`)[0]!.body;
  const text =
    "[critical] a failed <b> & @everyone\nIt has become worse.\na failed at noon.\nJobs: a, b and 1 more\nhttps://console.test/?job=a";
  assert.deepEqual(await body("slack", "worse"), {
    text: text.replace("<b> &", "&lt;b&gt; &amp;"),
  });
  assert.deepEqual(await body("discord", "worse"), {
    content: text,
    allowed_mentions: { parse: [] },
  });
  const card = await body("teams", "worse");
  assert.equal(card.type, "message");
  assert.equal(card.attachments[0].contentType, "application/vnd.microsoft.card.adaptive");
  assert.deepEqual(
    card.attachments[0].content.body.map((block: { text: string }) => block.text),
    [
      "[critical] a failed <b> & @everyone",
      text.split("\n").slice(1).join("\n\n"),
    ],
  );
  assert.equal(card.attachments[0].content.actions[0].url, "https://console.test/?job=a");
  assert.deepEqual(await body("email", "worse"), {
    from: "Daybook <alerts@acme.test>",
    to: ["ops@acme.test", "cto@acme.test"],
    subject: "[critical] a failed <b> & @everyone",
    text,
  });
  const event = await body("pagerduty", "again");
  assert.deepEqual(
    [event.routing_key, event.event_action, event.dedup_key, event.payload.severity],
    [
      SECRETS.pagerduty!.token,
      "trigger",
      `daybook-${ALERT}`,
      "critical",
    ],
  );
  assert.deepEqual(await body("pagerduty", "ended"), {
    routing_key: SECRETS.pagerduty!.token,
    event_action: "resolve",
    dedup_key: `daybook-${ALERT}`,
  });
  const hook = await body("webhook", "ended");
  assert.deepEqual([hook.type, hook.timestamp, hook.data.alert], [
    "alert.ended",
    "2026-03-02T12:00:00+00:00",
    ALERT,
  ]);
});

t.ledgerTest("a long message is cut to what the channel takes", async ({ sql }) => {
  const long = message("opened", { title: "x".repeat(5000), sentence: "y".repeat(9000) });
  for (
    const [kind, field, most] of [["slack", "text", 4000], ["discord", "content", 2000]] as const
  ) {
    const [row] = await sql`
      select scheduler.alert_body(${kind}, ${sql.json(long)}, ${KEY}, '{}') ->> ${field} as text`;
    assert.ok(
      row!.text.length <= most && row!.text.length > most / 2,
      `${kind} ${row!.text.length}`,
    );
  }
});

t.ledgerTest(
  "a webhook is signed as Standard Webhooks has it, over what pg_net sends",
  async ({ sql }) => {
    await addChannel(sql, "webhook");
    await sql`select scheduler.test_alert_channel('webhook', 'is it there?', 'Ada', ${t.NOON})`;
    await t.pulse(sql, t.NOON);
    const [request] = await sql`
    select url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds from net.http_request_queue`;
    const headers = request!.headers;
    assert.deepEqual([request!.url, request!.timeout_milliseconds], [
      SECRETS.webhook!.address,
      3000,
    ]);
    assert.equal(headers["webhook-timestamp"], String(t.NOON.getTime() / 1000));
    const secret = atob(SECRETS.webhook!.token!.slice("whsec_".length));
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${request!.body}`;
    const expected = createHmac("sha256", Uint8Array.from(secret, (char) => char.charCodeAt(0)))
      .update(signed).digest("base64");
    assert.equal(headers["webhook-signature"], `v1,${expected}`);
    assert.equal(JSON.parse(request!.body).data.title, "the channel webhook works");
  },
);

t.ledgerTest("an alert holds explain's sentence, a link, and nothing secret", async ({ sql }) => {
  await t.register(sql, "a", { max_attempts: 1, payload: { patient: "payload-secret" } });
  await addChannel(sql, "slack");
  await sql`update scheduler_settings set value = '"https://console.test/"' where key = 'alerts.console_url'`;
  const id = (await t.dispatch(sql, "a"))!;
  await t.begin(sql, id, t.NOON, "a");
  await sql`
    select scheduler.finish_run(${id}, 'failed', null, ${`could not post to ${
    SECRETS.slack!.address
  }?token=1 with ${t.CRON_SECRET}`}, null, true, null, ${t.after(0.1)})`;
  await sql`update scheduler_jobs set next_run_at = ${t.after(900)}`;
  await t.pulse(sql, t.after(1));
  const [{ message: said } = {} as never] =
    await sql`select message from scheduler_alert_deliveries`;
  assert.equal(said.title, "a failed");
  assert.equal(said.link, "https://console.test/?job=a");
  assert.match(
    said.sentence,
    /^a failed at 2026-03-02 12:00 UTC on its only attempt: the job itself failed/,
  );
  assert.match(said.sentence, /could not post to hooks\.slack\.test with \*\*\*/);
  const everything = JSON.stringify([said, await sql`select * from scheduler_alerts`]);
  for (const secret of [t.CRON_SECRET, "slack-secret", "payload-secret"]) {
    assert.ok(!everything.includes(secret), secret);
  }
});

t.ledgerTest("what is said beside the title depends on the event", async ({ sql }) => {
  await t.register(sql, "a");
  const note = async (event: string, values: Record<string, unknown>) => {
    const alert = {
      cause: "pulse",
      rule: "pulse_errors",
      severity: "warning",
      jobs: [],
      jobs_now: 0,
      opened_at: t.NOON,
      ...values,
    };
    const [row] = await sql`
      select scheduler.alert_message(jsonb_populate_record(null::public.scheduler_alerts, ${
      sql.json(alert as never)
    }), ${event}, ${t.after(150)}) ->> 'note' as note`;
    return row!.note;
  };
  const ended_at = t.after(0.5);
  assert.equal(await note("opened", {}), null);
  assert.equal(await note("worse", {}), "It has become worse.");
  assert.equal(await note("again", {}), "It has lasted for 3 hours.");
  assert.equal(
    await note("again", { jobs: ["a", "b"], jobs_now: 1 }),
    "It has lasted for 3 hours, now of 1 job.",
  );
  assert.equal(await note("ended", { ended_at, end_kind: "over" }), "It is over after 30 seconds.");
  assert.equal(
    await note("ended", { ended_at, end_kind: "unwatched" }),
    "Nobody watches it any more, after 30 seconds: its jobs are paused, disabled or gone.",
  );
});

t.ledgerTest("each cause has a title", async ({ sql }) => {
  for (
    const [cause, rule, jobs, title] of [
      ["job a", "failing", ["a"], "a fails again and again"],
      ["job a", "late", ["a", "b"], "a is late (2 jobs)"],
      ["host api.test", "failed", ["a"], "api.test does not answer (a)"],
      ["secret cron_secret", "failed", ["a", "b"], "the secret cron_secret is refused (2 jobs)"],
      ["setup Vault has none", "failed", ["a"], "Vault has none (a)"],
      ["budget api", "budget_exhausted", [], "the budget api is used up"],
      ["clock", "missed", ["a", "b"], "occurrences were missed (2 jobs)"],
      ["queue", "queue_still", [], "pg_net sends nothing"],
      ["pulse", "pulse_errors", [], "the pulse fails in part"],
    ] as const
  ) {
    const [row] =
      await sql`select scheduler.alert_title(${cause}, ${rule}, ${jobs as never}::text[]) as title`;
    assert.equal(row!.title, title);
  }
});
