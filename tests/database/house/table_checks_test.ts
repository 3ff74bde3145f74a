import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";

const device = "insert into devices (device_fingerprint) values ('d')";

/** Rows that say nothing, or what cannot be, and the check that refuses each. */
const refused: [insert: string, check: string][] = [
  ["organizations (name) values (' ')", "organizations_name_check"],
  ["agents (name) values (e'\\n')", "agents_name_check"],
  [
    "prompts (organization_id, text) select id, '  ' from organizations",
    "prompts_text_check",
  ],
  [
    "engagement_commands (device_id, command_type, payload) select id, 'sync', '[1]' from devices",
    "engagement_commands_payload_check",
  ],
  [
    `device_activity_log (device_id, activity_type, details) select id, 'boot', '"text"' from devices`,
    "device_activity_log_details_check",
  ],
  [
    "pop_events_ledger (device_id, event_type, details) select id, 'calibration_performed', '1' from devices",
    "pop_events_ledger_details_check",
  ],
  [
    `pop_events_ledger (device_id, event_type, status, paid_out_at)
      select id, 'calibration_performed', 'rejected', now() from devices`,
    "pop_events_ledger_paid_when_validated",
  ],
];

Deno.test("tables refuse blank names, payloads that are no objects, and points that were paid but not validated", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(device);
    await sql`insert into organizations (name) values ('Acme')`;
    for (const [insert, check] of refused) {
      const error = await refusal(sql.unsafe(`insert into ${insert}`));
      assert.deepEqual([error.code, error.constraint_name], ["23514", check], insert);
    }
  }));
