import assert from "node:assert/strict";
import { checkHealth, type CheckResult } from "../../../supabase/functions/system-health/check.ts";
import {
  type ComponentName,
  componentNames,
} from "../../../supabase/functions/system-health/components.ts";
import { job } from "../../../supabase/functions/system-health/job.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { timeoutsFire } from "../../support/moments.ts";
import { healthDatabase } from "../../support/system-health.ts";

const scheduledFor = new Date("2026-03-01T10:20:00Z");
const never = new AbortController().signal;

function check(
  db: TestDatabase,
  at = scheduledFor,
  jobName = "system-health",
): Promise<CheckResult> {
  const client = healthDatabase(db.connect("service_role"));
  return checkHealth(client, { jobName, scheduledFor: at, checkedAt: new Date() }, never);
}

/** As after an installation a moment ago: no pulse yet, and nothing due. */
async function installedJustNow(db: TestDatabase) {
  await db
    .sql`
      update scheduler_jobs set created_at = now(),
        next_run_at = case when schedule is not null then now() + interval '1 hour' end`;
}

/** Only this component is in trouble; every other one was read. */
function assertOnlyUnreadable(result: CheckResult, component: ComponentName, reason: RegExp) {
  for (const name of componentNames) {
    const { unreadable, status, points } = result.components[name];
    if (name === component) {
      assert.match(unreadable ?? "", reason);
      assert.equal(status, "critical");
      assert.equal(points, 0);
    } else assert.equal(unreadable, null, `${name}: ${unreadable}`);
  }
  assert.equal(result.status, "critical");
  assert.ok(result.historyId !== null);
  assert.match(result.report, /^CRITICAL .*cannot be read: /m);
}

const breakages: [string, ComponentName, string, RegExp][] = [
  [
    "its table is missing",
    "agents",
    "alter table agents rename to gone",
    /^a table is missing: .*agents/,
  ],
  [
    "its table is dropped",
    "api_keys",
    "drop table api_key_health",
    /^a table is missing: .*api_key_health/,
  ],
  [
    "a column is missing",
    "tasks",
    "alter table tasks rename due_at to gone",
    /^a column is missing: .*due_at/,
  ],
  [
    "it may not be read",
    "pop",
    "revoke all on pop_events_ledger from service_role",
    /^permission is missing: .*pop_events/,
  ],
  [
    "its function may not be called",
    "charging",
    "revoke all on function system_health_charging() from service_role",
    /^permission is missing: .*system_health_charging/,
  ],
  [
    "its function is missing",
    "commands",
    "drop function system_health_commands()",
    /^system_health_commands\(\) cannot be called: /,
  ],
  [
    "the pulse's table is missing",
    "scheduler",
    "drop table scheduler.pulse_state cascade",
    /^a table is missing: .*pulse_state/,
  ],
  [
    "its data are absurd",
    "tasks",
    "alter table tasks drop constraint tasks_created_at_check; insert into tasks (title, created_at) values ('t', '-infinity')",
    /^bad data: /,
  ],
  [
    "its function answers nonsense",
    "python",
    "create or replace function system_health_python() returns jsonb language sql set search_path = '' as $$ select '{\"watched\": -1}'::jsonb $$",
    /^bad data: watched: /,
  ],
];

for (const [why, component, breakage, reason] of breakages) {
  Deno.test(`system-health completes, with ${component} critical, when ${why}`, async () => {
    await withDatabase(async (db) => {
      await db.sql.unsafe(breakage);
      assertOnlyUnreadable(await check(db), component, reason);
    });
  });
}

Deno.test("system-health waits 2 seconds for a locked table, and nobody else waits for it", {
  ignore: !timeoutsFire,
}, async () => {
  await withDatabase(async (db) => {
    await db.sql.begin(async (transaction) => {
      await transaction`lock table agents in access exclusive mode`;
      const answered: string[] = [];
      const client = healthDatabase(db.connect("service_role", { max: 12 }));
      const result = await checkHealth(
        {
          rpc: (name, args) => ({
            async abortSignal(signal) {
              const answer = await client.rpc(name, args).abortSignal(signal);
              answered.push(name);
              return answer;
            },
          }),
        },
        { jobName: "system-health", scheduledFor, checkedAt: new Date() },
        never,
      );
      assertOnlyUnreadable(result, "agents", /^a table it reads is locked: /);
      // All the others, and the settings, had answered before it gave up.
      assert.deepEqual(answered.slice(-2), ["system_health_agents", "record_system_health"]);
    });
  });
});

Deno.test("system-health completes without its settings, and says so", async () => {
  await withDatabase(async (db) => {
    await db.sql`revoke all on scheduler_settings from service_role`;
    const result = await check(db);
    assert.match(
      result.notes.join("\n"),
      /^settings cannot be read, default thresholds hold: permission/m,
    );
    assert.match(result.report, /^- settings cannot be read/m);
    assert.equal(result.components.agents.status, "healthy");
  });
});

Deno.test("system-health completes without its history, and says so", async () => {
  await withDatabase(async (db) => {
    await db.sql`drop function record_system_health`;
    const result = await check(db);
    assert.equal(result.historyId, null);
    assert.match(result.summary, /; not kept in the history$/);
    assert.match(
      result.report,
      /^- not kept in the history: record_system_health\(\) cannot be called/m,
    );
  });
});

Deno.test("thresholds come from scheduler_settings, and a setting that makes no sense is in the report", async () => {
  await withDatabase(async (db) => {
    await db.sql`insert into scheduler_settings (key, value) values
      ('system_health.database.size_bytes', '{"degraded": 1}'),
      ('system_health.database.sise_bytes', '{"degraded": 1}'),
      ('system_health.tasks.stuck_tasks', '"many"')`;
    const result = await check(db);
    assert.equal(result.components.database.status, "degraded");
    assert.equal(result.components.database.figures.size_bytes?.degraded, 1);
    assert.match(
      result.report,
      /^DEGRADED +Database +9\/18 +size [\d.]+ MB \(degraded from 1 B\)$/m,
    );
    assert.equal(result.notes.length, 2);
    assert.match(
      result.report,
      /^- setting system_health\.database\.sise_bytes is ignored: no such figure/m,
    );
    assert.match(
      result.report,
      /^- setting system_health\.tasks\.stuck_tasks is ignored: it must be like/m,
    );
  });
});

Deno.test("the history has what was found, once an occurrence", async () => {
  await withDatabase(async (db) => {
    const first = await check(db);
    await db
      .sql`insert into api_key_health (provider, status, checked_at) values ('github', 'invalid', now())`;
    const retry = await check(db);
    assert.equal(retry.historyId, first.historyId);
    assert.equal(retry.score, first.score - 8);
    const rows = await db.sql`select * from scheduler_health_history`;
    assert.equal(rows.length, 1);
    const [row] = rows;
    assert.equal(Number(row?.id), first.historyId);
    assert.equal(row?.job_name, "system-health");
    assert.deepEqual(row?.scheduled_for, scheduledFor);
    assert.equal(row?.score, retry.score);
    assert.equal(row?.status, "critical");
    assert.equal(row?.summary, retry.summary);
    assert.equal(row?.report, retry.report);
    assert.deepEqual(row?.components, JSON.parse(JSON.stringify(retry.components)));
  });
});

Deno.test("the history has a row for every occurrence and every job", async () => {
  await withDatabase(async (db) => {
    await check(db);
    await check(db, new Date("2026-03-01T11:20:00Z"));
    await check(db, scheduledFor, "system-health-by-hand");
    const [row] = await db.sql`select count(*)::integer as count from scheduler_health_history`;
    assert.equal(row?.count, 3);
  });
});

Deno.test("twenty attempts of one occurrence at the same time leave one row", async () => {
  await withDatabase(async (db) => {
    const client = healthDatabase(db.connect("service_role", { max: 5 }));
    const occurrence = { jobName: "system-health", scheduledFor, checkedAt: new Date() };
    await Promise.all(Array.from({ length: 20 }, () => checkHealth(client, occurrence, never)));
    const [row] = await db.sql`select count(*)::integer as count from scheduler_health_history`;
    assert.equal(row?.count, 1);
  });
});

Deno.test("a check that is stopped keeps nothing", async () => {
  await withDatabase(async (db) => {
    const stopped = AbortSignal.abort(new Error("deadline"));
    const client = healthDatabase(db.connect("service_role"));
    await assert.rejects(
      checkHealth(client, { jobName: "j", scheduledFor, checkedAt: new Date() }, stopped),
      /deadline/,
    );
    const [row] = await db.sql`select count(*)::integer as count from scheduler_health_history`;
    assert.equal(row?.count, 0);
  });
});

Deno.test("system-health is healthy in an empty young database", async () => {
  await withDatabase(async (db) => {
    await installedJustNow(db);
    const result = await check(db);
    assert.equal(result.score, 100, result.report);
    assert.equal(result.summary, "100 of 100: all 14 components healthy");
    assert.deepEqual(result.notes, []);
  });
});

Deno.test("the job's result has the score, the summary and the report, and the log has the report", async () => {
  await withDatabase(async (db) => {
    await installedJustNow(db);
    const logged: string[] = [];
    const context = {
      db: healthDatabase(db.connect("service_role")),
      log: { info: (line: string) => logged.push(line) },
      jobName: "system-health",
      scheduledFor,
      signal: never,
      now: () => new Date("2026-03-01T10:20:03Z"),
    };
    const result = await job.run({}, context as unknown as Parameters<typeof job.run>[1]);
    assert.equal(result.score, 100);
    assert.equal(result.status, "healthy");
    assert.equal(result.summary, "100 of 100: all 14 components healthy");
    assert.equal(result.checkedAt, "2026-03-01T10:20:03.000Z");
    assert.equal(result.report, logged.join("\n"));
    assert.match(logged[0] ?? "", /^SYSTEM HEALTH +2026-03-01 10:20 UTC$/);
    assert.ok(logged.every((line) => line.length <= 80));
    assert.deepEqual(JSON.parse(JSON.stringify(result)), result);
  });
});

Deno.test("anon and authenticated can neither call a function of system-health nor read its tables", async () => {
  await withDatabase(async (db) => {
    const functions = await db.sql`
      select format('public.%I(%s)', proname, array_to_string(array_fill('null'::text, array[pronargs::integer]), ', ')) as call
      from pg_proc
      where pronamespace = 'public'::regnamespace
        and (starts_with(proname, 'system_health') or proname = 'record_system_health')`;
    assert.equal(functions.length, componentNames.length + 4);
    const tables = [
      "agents",
      "tasks",
      "conversations",
      "api_key_health",
      "eliza_python_executions",
      "scheduler_health_history",
    ];
    for (const role of ["anon", "authenticated"] as const) {
      const stranger = db.connect(role);
      for (const { call } of functions) {
        await assert.rejects(stranger.unsafe(`select ${call}`), /denied for function/, call);
      }
      for (const table of tables) {
        await assert.rejects(
          stranger.unsafe(`select * from public.${table}`),
          /permission denied/,
          table,
        );
      }
    }
  });
});
