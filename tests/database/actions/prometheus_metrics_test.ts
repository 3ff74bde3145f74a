import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { byLabel, readSamples } from "../../support/exposed-metrics.ts";
import { after, NOON } from "../../support/scheduler.ts";

const none = { completed: 0, dead: 0, cancelled: 0, missed: 0 };

Deno.test("a scrape shows how many actions wait, and how long the first of them is overdue", () =>
  withDatabase(async ({ sql }) => {
    const waiting = async (now: Date) => {
      const samples = await readSamples(sql, now);
      return ["waiting", "overdue_seconds"].map((name) => samples.get(`scheduled_actions_${name}`));
    };
    assert.deepEqual(await waiting(NOON), [0, 0]);
    await sql`
      insert into scheduled_actions (kind, message, due_at, next_attempt_at, status, finished_at)
      select 'reminder', 'water the plants', ${NOON}, ${NOON}::timestamptz + minutes * interval '1 minute', status,
        case when status <> 'scheduled' then ${NOON}::timestamptz end
      from (values (0, 'scheduled'), (5, 'scheduled'), (-60, 'completed')) as actions (minutes, status)`;
    assert.deepEqual(await waiting(after(-1)), [2, 0]);
    assert.deepEqual(await waiting(after(0.5)), [2, 30]);
    await sql`update scheduled_actions set next_attempt_at = ${
      after(2)
    } where next_attempt_at = ${NOON}`;
    assert.deepEqual(await waiting(after(2.1)), [2, 6], "when it is to be tried again");
  }));

Deno.test("a scrape shows how the occurrences of the last hour ended", () =>
  withDatabase(async ({ sql }) => {
    const ended = async () =>
      byLabel(await readSamples(sql, NOON), "scheduled_action_occurrences_by_status");
    assert.deepEqual(await ended(), none);
    await sql`
      with action as (
        insert into scheduled_actions (kind, message, due_at, next_attempt_at, status, finished_at)
        values ('reminder', 'water the plants', ${NOON}, ${NOON}, 'completed', ${NOON}) returning id)
      insert into scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts, finished_at)
      select gen_random_uuid(), id, ${NOON}, status, 1, ${NOON}::timestamptz - minutes * interval '1 minute'
      from action, (values ('completed', 0), ('dead', 59), ('dead', 1), ('dead', 61), ('missed', 30), ('cancelled', 90))
        as occurrences (status, minutes)`;
    assert.deepEqual(await ended(), { ...none, completed: 1, dead: 2, missed: 1 });
  }));
