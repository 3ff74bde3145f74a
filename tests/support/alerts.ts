/** What the tests of alerts share: channels with their secrets, causes, and what was said. */
import type { Row, Sql } from "postgres";
import { setSecret } from "./scheduler.ts";

/** A secret of each kind of channel; none may ever be seen outside of Vault and a request. */
export const SECRETS: Record<string, Record<string, string>> = {
  slack: { address: "https://hooks.slack.test/services/T00/B00/slack-secret" },
  discord: { address: "https://discord.test/api/webhooks/1/discord-secret" },
  teams: { address: "https://teams.test/workflows/1/triggers/manual?sig=teams-secret" },
  email: {
    address: "ops@acme.test, cto@acme.test",
    token: "re_email-secret",
    sender: "Daybook <alerts@acme.test>",
  },
  pagerduty: { token: "pagerduty-secret-0123456789abcdef" },
  webhook: {
    address: "https://hooks.acme.test/webhook-secret",
    token: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  },
  dead_man: { address: "https://hc-ping.test/dead-man-secret" },
};

/** Puts a channel's secrets into Vault and registers it, named like its kind unless told. */
export async function addChannel(
  sql: Sql,
  kind: string,
  values: Record<string, unknown> = {},
  secrets: Record<string, string> = {},
): Promise<void> {
  const name = (values.name ?? kind) as string;
  for (const [part, secret] of Object.entries({ ...SECRETS[kind], ...secrets })) {
    await setSecret(sql, `alert_${name}_${part}`, secret);
  }
  const all: Record<string, unknown> = { name, kind, reason: "a test", author: "Ada", ...values };
  const keys = Object.keys(all);
  await sql.unsafe(
    `select scheduler.register_alert_channel(${
      keys.map((key, i) => `${key} => $${i + 1}`).join(", ")
    })`,
    Object.values(all) as never[],
  );
}

/** The causes, oldest first. */
export const alerts = async (sql: Sql): Promise<Row[]> => [
  ...await sql`select * from scheduler_alerts order by seen_at, cause`,
];

/** What was written for the channels, a line each: `"slack opened warning waiting"`. */
export const said = async (sql: Sql): Promise<string[]> =>
  (await sql`
    select channel, event, severity, status from scheduler_alert_deliveries order by written_at, channel`)
    .map((row) => [row.channel, row.event, row.severity, row.status].join(" "));
