import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { readSamples } from "../../support/exposed-metrics.ts";

Deno.test("a scrape shows the causes that are open, and the proposals that wait for a person", () =>
  withDatabase(async ({ sql }) => {
    const counts = async () => {
      const samples = await readSamples(sql);
      return [samples.get("code_failure_causes_open"), samples.get("code_fix_proposals_pending")];
    };
    assert.deepEqual(await counts(), [0, 0]);
    await sql`
      insert into code_failure_causes (fingerprint, error_type, normalized_traceback, status, status_changed_at, first_seen_at,
        last_seen_at, occurrences)
      select encode(sha256(n::text::bytea), 'hex'), 'ValueError', '', status, now(), now(), now(), 1
      from unnest(array['open', 'open', 'open', 'proposed', 'proposed', 'fixed', 'ignored']) with ordinality as causes (status, n)`;
    await sql`
      insert into code_fix_proposals (cause_id, request_id, status, model, diff, reasoning, confidence, reserved_tokens,
        asked_until, answered_at)
      select id, gen_random_uuid(), 'pending', 'm', 'd', 'r', 0.5, 0, now(), now() from code_failure_causes where status = 'proposed'`;
    assert.deepEqual(await counts(), [3, 2]);
  }));
