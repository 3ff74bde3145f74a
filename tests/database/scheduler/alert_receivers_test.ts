/** Messages on their real way: the pulse, pg_net's worker, and receivers that answer as the real ones document. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { Sql } from "postgres";
import { startNetWorker } from "../../../local/net-worker.ts";
import { addChannel, SECRETS } from "../../support/alerts.ts";
import { type ReceivedRequest, type Reply, withHttpServer } from "../../support/http-server.ts";
import * as t from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

const text = (status: number, body: string): Reply => ({ status, body });
const json = (status: number, body: unknown): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** What each receiver says to a message that it takes, and to one that is not as it has to be. */
const RECEIVERS: Record<string, (request: ReceivedRequest) => Reply> = {
  slack: ({ body }) =>
    typeof JSON.parse(body).text === "string" ? text(200, "ok") : text(400, "invalid_payload"),
  discord: ({ body }) =>
    JSON.parse(body).content?.length <= 2000
      ? { status: 204 }
      : json(400, { message: "Cannot send an empty message", code: 50006 }),
  teams: ({ body }) =>
    JSON.parse(body).attachments?.[0]?.content?.type === "AdaptiveCard"
      ? { status: 202 }
      : json(400, { error: { code: "TriggerInputSchemaMismatch" } }),
  email({ headers, body }) {
    const { from, to, subject, text } = JSON.parse(body);
    if (headers.authorization !== `Bearer ${SECRETS.email!.token}`) {
      return json(401, { statusCode: 401, name: "missing_api_key", message: "Missing API key" });
    }
    return from && to?.length === 2 && subject && text && headers["idempotency-key"]
      ? json(200, { id: "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794" })
      : json(422, { statusCode: 422, name: "missing_required_field" });
  },
  pagerduty({ body }) {
    const { routing_key, event_action, dedup_key, payload } = JSON.parse(body);
    const isRight = routing_key === SECRETS.pagerduty!.token && dedup_key.length <= 255 &&
      (event_action === "resolve" ||
        event_action === "trigger" && payload.summary && payload.source && payload.severity);
    return isRight
      ? json(202, { status: "success", message: "Event processed", dedup_key })
      : json(400, { status: "invalid event", message: "Event object is invalid", errors: [] });
  },
  webhook({ headers, body }) {
    const secret = Uint8Array.from(
      atob(SECRETS.webhook!.token!.slice(6)),
      (char) => char.charCodeAt(0),
    );
    const signature = createHmac("sha256", secret)
      .update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
    return { status: headers["webhook-signature"] === `v1,${signature}` ? 204 : 401 };
  },
  dead_man: () => text(200, "OK"),
};

/** A database whose pg_net sends, and a server at which each kind has its path. */
function receiversTest(
  name: string,
  answer: (kind: string, request: ReceivedRequest) => Reply,
  fn: (sql: Sql, requests: ReceivedRequest[]) => Promise<void>,
) {
  t.ledgerTest(name, (db) =>
    withHttpServer(
      (request) => answer(request.url.split("/")[1]!, request),
      async ({ url, requests }) => {
        const { sql } = db;
        for (const kind of Object.keys(RECEIVERS)) {
          const hasUrl = kind !== "email" && kind !== "pagerduty";
          await addChannel(sql, kind, {}, hasUrl ? { address: `${url}/${kind}` } : {});
        }
        await sql`
          update scheduler_settings set value = case key when 'alerts.email_url' then ${
          sql.json(`${url}/email`)
        } else ${sql.json(`${url}/pagerduty`)} end
          where key in ('alerts.email_url', 'alerts.pagerduty_url')`;
        await sql`select scheduler.set_alert_rule('pulse_errors', 'a test', 'Ada', p_for_seconds => 0)`;
        const adminUrl = new URL(db.url);
        adminUrl.username = "supabase_admin";
        const worker = await startNetWorker({ adminUrl: adminUrl.href, onError: () => {} });
        try {
          await fn(sql, requests);
        } finally {
          await worker.stop();
        }
      },
    ));
}

/** A pulse that looks at the rules, by the clock of the database, which is pg_net's. */
async function pulse(sql: Sql) {
  await sql`update scheduler.pulse_state set last_looked_at = null`;
  await sql`select scheduler.pulse(clock_timestamp(), 600000)`;
}

const untilAnswered = (sql: Sql, count: number) =>
  waitUntil(
    `${count} answers`,
    async () =>
      (await sql`select count(*)::int as count from net._http_response`)[0]!.count >= count,
  );

/** As if the pulse before had failed in part. */
const fail = (sql: Sql) =>
  sql`update scheduler.pulse_state set errors = '{"step jobs": "it broke"}'`;

const states = async (sql: Sql) =>
  (await sql`
    select channel, event, status, tries, response_status from scheduler_alert_deliveries order by written_at, channel`)
    .map((row) => Object.values(row).join(" "));

receiversTest(
  "each receiver takes the beginning and the end of an alert",
  (kind, request) => RECEIVERS[kind]!(request),
  async (sql, requests) => {
    await fail(sql);
    await pulse(sql);
    await untilAnswered(sql, 7);
    // The last pulse had no error: the alert is over.
    await pulse(sql);
    await untilAnswered(sql, 13);
    await pulse(sql);
    assert.deepEqual(
      await states(sql),
      ["opened", "ended"].flatMap((event) => [
        `discord ${event} delivered 1 204`,
        `email ${event} delivered 1 200`,
        `pagerduty ${event} delivered 1 202`,
        `slack ${event} delivered 1 200`,
        `teams ${event} delivered 1 202`,
        `webhook ${event} delivered 1 204`,
      ]),
    );
    const keys = requests.filter(({ url }) => url === "/pagerduty").map(({ body }) =>
      JSON.parse(body)
    )
      .map(({ event_action, dedup_key }) => [event_action, dedup_key]);
    assert.deepEqual(keys.map(([action]) => action), ["trigger", "resolve"]);
    assert.equal(keys[0]![1], keys[1]![1]);
    assert.ok(requests.some(({ url }) => url === "/dead_man/fail"));
  },
);

/** The first request of each kind is refused for now, or its answer is lost. */
const FIRST: Record<string, Reply> = {
  slack: { status: 429, headers: { "retry-after": "30" }, body: "rate_limited" },
  discord: json(429, { message: "You are being rate limited.", retry_after: 0.5, global: false }),
  teams: text(404, "the workflow is gone"),
  email: json(409, { statusCode: 409, name: "concurrent_idempotent_requests" }),
  pagerduty: text(500, ""),
  webhook: "reset",
  dead_man: text(200, "OK"),
};
const seen = new Set<string>();

receiversTest(
  "a receiver that refuses for now, or whose answer is lost, gets the message once more with its key",
  (kind, request) => {
    if (seen.has(kind)) return RECEIVERS[kind]!(request);
    seen.add(kind);
    return FIRST[kind]!;
  },
  async (sql, requests) => {
    await fail(sql);
    await pulse(sql);
    await untilAnswered(sql, 7);
    await fail(sql);
    await pulse(sql);
    const waits = await sql`
      select channel, extract(epoch from send_after - sent_at)::float as seconds from scheduler_alert_deliveries
      where status = 'waiting' order by channel`;
    assert.deepEqual(waits.map((row) => row.channel), [
      "discord",
      "email",
      "pagerduty",
      "slack",
      "webhook",
    ]);
    for (const { channel, seconds } of waits) {
      assert.ok(seconds >= (channel === "slack" ? 30 : 15), channel);
    }
    await sql`update scheduler_alert_deliveries set send_after = sent_at where status = 'waiting'`;
    await fail(sql);
    await pulse(sql);
    await untilAnswered(sql, 12);
    await fail(sql);
    await pulse(sql);
    assert.deepEqual(await states(sql), [
      "discord opened delivered 2 204",
      "email opened delivered 2 200",
      "pagerduty opened delivered 2 202",
      "slack opened delivered 2 200",
      "teams opened failed 1 404",
      "webhook opened delivered 2 204",
    ]);
    for (const [kind, key] of [["email", "idempotency-key"], ["webhook", "webhook-id"]] as const) {
      const twice = requests.filter(({ url }) => url === `/${kind}`);
      assert.equal(twice[0]!.headers[key], twice[1]!.headers[key], kind);
      assert.equal(twice[0]!.body, twice[1]!.body, kind);
    }
  },
);
