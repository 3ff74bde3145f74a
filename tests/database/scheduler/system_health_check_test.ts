import assert from "node:assert/strict";
import { checkHealth, type CheckResult } from "../../../supabase/functions/system-health/check.ts";
import { job } from "../../../supabase/functions/system-health/job.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { timeoutsFire } from "../../support/moments.ts";
import { refusal } from "../../support/refusal.ts";
import { value } from "../../support/scheduler.ts";
import {
  assertOnlyUnreadable,
  healthDatabase,
  installedJustNow,
  readDefinitions,
} from "../../support/system-health.ts";

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

/** A component of a pack of the test's own, as heavy as each of the scheduler's two. */
const THINGS = `
  create schema probe;
  create table probe.things (name text not null, broken boolean not null, created_at timestamptz not null);
  create function probe.things_health() returns jsonb language sql stable set search_path = '' as $$
    select jsonb_build_object(
      'watched', count(*),
      'figures', jsonb_build_object(
        'broken_things', count(*) filter (where broken),
        'oldest_seconds', scheduler.seconds_since(min(created_at))),
      'details', jsonb_build_object('first_broken', min(name) filter (where broken)))
    from probe.things;
  $$;
  insert into scheduler.health_components (component, pack, label, weight, function_name) values
    ('things', 'probe', 'Things', 18, 'probe.things_health');
  insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
    ('things', 'broken_things', 'broken things', 'count', 'higher', 1, 10, 'first_broken'),
    ('things', 'oldest_seconds', 'oldest thing', 'seconds', 'higher', null, null, null);\n`;

const broken = (count: number) =>
  `insert into probe.things select 'thing ' || n, true, now() from generate_series(1, ${count}) as n;\n`;

/** A test in a database that was installed a moment ago, with the component of things. */
const thingsTest = (
  name: string,
  fn: (db: TestDatabase) => Promise<void>,
  options: { ignore?: boolean } = {},
) =>
  Deno.test(name, options, () =>
    withDatabase(async (db) => {
      await installedJustNow(db.sql);
      await db.sql.unsafe(THINGS);
      await fn(db);
    }));

const breakages: [string, string, RegExp][] = [
  [
    "its table is missing",
    "alter table probe.things rename to gone",
    /^a table is missing: relation "probe\.things" does not exist$/,
  ],
  [
    "a column is missing",
    "alter table probe.things rename broken to gone",
    /^a column is missing: column "broken" does not exist$/,
  ],
  [
    "its function may not be called",
    "revoke all on function probe.things_health() from public, postgres",
    /^permission is missing: permission denied for function things_health$/,
  ],
  [
    "its function is missing",
    "drop function probe.things_health()",
    /^a function is missing: function probe\.things_health\(\) does not exist$/,
  ],
  [
    "its pack was dropped and left its row",
    "drop schema probe cascade",
    /^schema "probe" does not exist \(3F000\)$/,
  ],
  [
    "its function raises",
    "create or replace function probe.things_health() returns jsonb language plpgsql as $$ begin raise 'unplugged'; end $$",
    /^unplugged \(P0001\)$/,
  ],
  [
    "its data are absurd",
    "insert into probe.things values ('t', false, '-infinity')",
    /^bad data: /,
  ],
  [
    "its function answers nonsense",
    `create or replace function probe.things_health() returns jsonb language sql as $$ select '{"watched": -1}'::jsonb $$`,
    /^bad data: watched: /,
  ],
  [
    "its function answers nothing",
    "create or replace function probe.things_health() returns jsonb language sql as $$ select null::jsonb $$",
    /^bad data: the answer: /,
  ],
  [
    "its function does not count one of its figures",
    `insert into scheduler.health_figures (component, figure, label, unit, worse) values ('things', 'lost_things', 'lost', 'count', 'higher')`,
    /^bad data: figures\.lost_things is missing$/,
  ],
];

for (const [why, breakage, reason] of breakages) {
  thingsTest(`system-health completes, with a component critical, when ${why}`, async (db) => {
    await db.sql.unsafe(breakage);
    const result = await check(db);
    assertOnlyUnreadable(result, "things", reason);
    assert.equal(result.score, 66, "it costs its third of the points");
  });
}

thingsTest(
  "system-health completes, with the scheduler critical, when the pulse's table is missing",
  async (db) => {
    await db.sql`drop table scheduler.pulse_state cascade`;
    assertOnlyUnreadable(
      await check(db),
      "scheduler",
      /^a table is missing: .*scheduler\.pulse_state/,
    );
  },
);

thingsTest(
  "system-health waits 2 seconds for a locked table, and nobody else waits for it",
  async (db) => {
    await db.sql.begin(async (transaction) => {
      await transaction`lock table probe.things in access exclusive mode`;
      const answered: unknown[] = [];
      const client = healthDatabase(db.connect("service_role", { max: 12 }));
      const result = await checkHealth(
        {
          rpc: (name, args) => ({
            async abortSignal(signal) {
              const answer = await client.rpc(name, args).abortSignal(signal);
              answered.push(args.p_component ?? name);
              return answer;
            },
          }),
        },
        { jobName: "system-health", scheduledFor, checkedAt: new Date() },
        never,
      );
      assertOnlyUnreadable(result, "things", /^a table it reads is locked: /);
      // All the others had answered before it gave up.
      assert.deepEqual(answered.slice(0, 1), ["scheduler_health_components"]);
      assert.deepEqual(answered.slice(1, -2).sort(), ["database", "scheduler"]);
      assert.deepEqual(answered.slice(-2), ["things", "scheduler_record_health"]);
    });
  },
  { ignore: !timeoutsFire },
);

const unknowable: [string, string, RegExp][] = [
  [
    "may not be read",
    "revoke all on function public.scheduler_health_components() from service_role",
    /^Cannot tell what there is to look at: permission is missing: permission denied for function scheduler_health_components$/,
  ],
  [
    "are gone",
    "drop table scheduler.health_figures",
    /^Cannot tell what there is to look at: a table is missing: .*health_figures/,
  ],
  [
    "are none",
    "delete from scheduler.health_components",
    /^Cannot tell what there is to look at: bad data: the answer: /,
  ],
];
for (const [what, breakage, message] of unknowable) {
  thingsTest(`system-health fails, and keeps nothing, when its definitions ${what}`, async (db) => {
    await db.sql.unsafe(breakage);
    const error = await check(db).then(() => assert.fail("it completed"), (error) => error);
    assert.match(error.message, message);
    assert.equal((await db.sql`select from scheduler_health_history`).length, 0);
  });
}

thingsTest("system-health completes without its history, and says so", async (db) => {
  await db.sql`drop function public.scheduler_record_health`;
  const result = await check(db);
  assert.equal(result.historyId, null);
  assert.equal(result.score, 100);
  assert.match(result.summary, /; not kept in the history$/);
  assert.match(
    result.report.replaceAll(/\n +/g, " "),
    /^- not kept in the history: a function is missing: function public\.scheduler_record_health\(/m,
  );
});

thingsTest(
  "a component that a pack adds is looked at from the next check on, in the order of places",
  async (db) => {
    const definitions = await readDefinitions(db.sql);
    assert.deepEqual(definitions.map(({ component }) => component), [
      "database",
      "scheduler",
      "things",
    ]);
    assert.deepEqual(definitions.at(-1), {
      component: "things",
      label: "Things",
      weight: 18,
      figures: [
        {
          figure: "broken_things",
          label: "broken things",
          unit: "count",
          worse: "higher",
          degraded: 1,
          critical: 10,
          culprit: "first_broken",
        },
        {
          figure: "oldest_seconds",
          label: "oldest thing",
          unit: "seconds",
          worse: "higher",
          degraded: null,
          critical: null,
          culprit: null,
        },
      ],
    });
    await db.sql.unsafe(broken(1));
    const result = await check(db);
    assert.equal(result.summary, "83 of 100: degraded Things");
    assert.match(
      result.report,
      /^DEGRADED +Things +9\/18 +broken things 1 \(degraded from 1\): thing 1$/m,
    );
    await db.sql`delete from scheduler.health_components where component = 'things'`;
    assert.equal((await check(db)).summary, "100 of 100: all 2 components healthy");
  },
);

thingsTest(
  "a threshold that is updated holds in the next check, and null switches it off",
  async (db) => {
    await db.sql.unsafe(broken(1));
    const update = async (component: string, figure: string, degraded: number | null) => {
      const updated = await db.sql`
      update scheduler.health_figures set degraded = ${degraded} where component = ${component} and figure = ${figure}`;
      assert.equal(updated.count, 1);
      return await check(db);
    };
    assert.equal((await check(db)).components.things!.status, "degraded");
    const without = await update("things", "broken_things", null);
    assert.equal(without.components.things!.status, "healthy");
    assert.equal(without.components.things!.figures.broken_things!.degraded, null);

    assert.equal(without.components.database!.status, "healthy");
    const small = await update("database", "size_bytes", 1);
    assert.equal(small.components.database!.status, "degraded");
    assert.equal(small.components.database!.figures.size_bytes!.degraded, 1);
    assert.match(
      small.report,
      /^DEGRADED +Database +9\/18 +size [\d.]+ MB \(degraded from 1 B\)$/m,
    );
    assert.equal(
      (await update("database", "size_bytes", 1e15)).components.database!.status,
      "healthy",
    );
  },
);

const refused: [string, string][] = [
  ["connections_percent", "degraded = 95"],
  ["connections_percent", "degraded = 90.1"],
  ["connections_percent", "critical = 69"],
  ["connections_percent", "degraded = 60, critical = 50"],
  ["cache_hit_percent", "degraded = 79"],
  ["cache_hit_percent", "critical = 96"],
  ["size_bytes", "degraded = 2, critical = 1"],
];
const accepted: [string, string][] = [
  ["connections_percent", "degraded = 90"],
  ["connections_percent", "degraded = 50, critical = 60"],
  ["connections_percent", "degraded = null, critical = 1"],
  ["cache_hit_percent", "degraded = 80"],
  ["cache_hit_percent", "critical = null"],
  ["size_bytes", "degraded = 6000000000, critical = 7500000000"],
];
Deno.test("a threshold in the wrong order is refused, in either direction", () =>
  withDatabase(async ({ sql }) => {
    const update = (figure: string, set: string) =>
      sql.begin(async (transaction) => {
        await transaction.unsafe(
          `update scheduler.health_figures set ${set} where component = 'database' and figure = '${figure}'`,
        );
      });
    const before = await readDefinitions(sql);
    for (const [figure, set] of refused) {
      const error = await refusal(update(figure, set));
      assert.equal(error.constraint_name, "health_figures_critical_is_worse", `${figure}: ${set}`);
    }
    assert.deepEqual(await readDefinitions(sql), before);
    for (const [figure, set] of accepted) await update(figure, set);
    for (const threshold of ["'NaN'", "'Infinity'", "'-Infinity'"]) {
      for (const [name, other] of [["degraded", "critical"], ["critical", "degraded"]]) {
        const error = await refusal(
          update("size_bytes", `${name} = ${threshold}, ${other} = null`),
        );
        assert.equal(error.constraint_name, `health_figures_${name}_check`, threshold);
      }
    }
  }));

Deno.test("components and figures that cannot be judged are refused", () =>
  withDatabase(async ({ sql }) => {
    const component = (values: string) =>
      refusal(sql.unsafe(
        `insert into scheduler.health_components (component, pack, label, weight, function_name) values (${values})`,
      ));
    const figure = (values: string) =>
      refusal(sql.unsafe(
        `insert into scheduler.health_figures (component, figure, label, unit, worse) values (${values})`,
      ));
    for (
      const [error, constraint] of [
        [await component("'x', 'p', 'X', 3, 'p.f'"), "health_components_weight_check"],
        [await component("'x', 'p', 'X', 0, 'p.f'"), "health_components_weight_check"],
        [await component("'x', 'p', 'X', 102, 'p.f'"), "health_components_weight_check"],
        [await component("'x', 'p', 'X', 2, 'f'"), "health_components_function_name_check"],
        [
          await component("'x', 'p', 'X', 2, 'p.f(); select 1'"),
          "health_components_function_name_check",
        ],
        [await component("'x.y', 'p', 'X', 2, 'p.f'"), "health_components_component_check"],
        [await component("'database', 'p', 'X', 2, 'p.f'"), "health_components_pkey"],
        [await figure("'nothing', 'f', 'F', 'count', 'higher'"), "health_figures_component_fkey"],
        [await figure("'database', 'f', 'F', 'meters', 'higher'"), "health_figures_unit_check"],
        [await figure("'database', 'f', 'F', 'count', 'worse'"), "health_figures_worse_check"],
        [await figure("'database', 'F', 'F', 'count', 'higher'"), "health_figures_figure_check"],
      ] as const
    ) assert.equal(error.constraint_name, constraint, error.message);
  }));

Deno.test("an unknown component is refused by name, and the known ones are named", () =>
  withDatabase(async (db) => {
    await db.sql.unsafe(THINGS);
    const service = db.connect("service_role");
    for (
      const [name, quoted] of [["nonsense", "'nonsense'"], ["it's", "'it''s'"], [null, "null"]]
    ) {
      const error = await refusal(value(service, "public.scheduler_read_health($1)", [name]));
      assert.deepEqual(
        [error.code, error.message, error.hint],
        [
          "SD005",
          `there is no component ${quoted}`,
          "the components are: database, scheduler, things",
        ],
      );
    }
    const { watched } = await value(service, "public.scheduler_read_health('things')");
    assert.equal(watched, 0);
  }));

thingsTest("the history has what was found, once an occurrence", async (db) => {
  const first = await check(db);
  assert.deepEqual([first.score, first.status], [100, "healthy"]);
  await db.sql.unsafe(broken(10));
  const retry = await check(db);
  assert.equal(retry.historyId, first.historyId);
  assert.deepEqual([retry.score, retry.status], [66, "critical"]);
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
    const client = healthDatabase(db.connect("service_role"));
    const occurrence = { jobName: "j", scheduledFor, checkedAt: new Date() };
    const stopped = AbortSignal.abort(new Error("deadline"));
    await assert.rejects(checkHealth(client, occurrence, stopped), /^Error: deadline$/);
    // And one that is stopped while it looks.
    const stop = new AbortController();
    const stopping = {
      rpc(name: string, args: Record<string, unknown>) {
        if (args.p_component === "scheduler") stop.abort(new Error("deadline"));
        return client.rpc(name, args);
      },
    };
    await assert.rejects(checkHealth(stopping, occurrence, stop.signal), /^Error: deadline$/);
    const [row] = await db.sql`select count(*)::integer as count from scheduler_health_history`;
    assert.equal(row?.count, 0);
  });
});

Deno.test("the scheduler alone is healthy in an empty young database", async () => {
  await withDatabase(async (db) => {
    await installedJustNow(db.sql);
    const result = await check(db);
    assert.equal(result.score, 100, result.report);
    assert.equal(result.summary, "100 of 100: all 2 components healthy");
    assert.deepEqual(result.notes, []);
  });
});

thingsTest(
  "the job's result has the score, the summary and the report, and the log has the report",
  async (db) => {
    const logged: string[] = [];
    const context = {
      db: healthDatabase(db.connect("service_role")),
      log: { info: (line: string) => logged.push(line) },
      jobName: "system-health",
      scheduledFor,
      signal: never,
      now: () => new Date("2026-03-01T10:20:03Z"),
    };
    const run = () => job.run({}, context as unknown as Parameters<typeof job.run>[1]);
    const result = await run();
    assert.equal(result.score, 100);
    assert.equal(result.status, "healthy");
    assert.equal(result.summary, "100 of 100: all 3 components healthy");
    assert.equal(result.checkedAt, "2026-03-01T10:20:03.000Z");
    assert.equal(result.report, logged.join("\n"));
    assert.match(logged[0] ?? "", /^SYSTEM HEALTH +2026-03-01 10:20 UTC$/);
    assert.ok(logged.every((line) => line.length <= 80));
    assert.deepEqual(JSON.parse(JSON.stringify(result)), result);
    assert.equal(result.notable, undefined);
    await db.sql.unsafe(broken(1));
    assert.equal((await run()).notable, "warning");
    await db.sql.unsafe(broken(9));
    assert.equal((await run()).notable, "error");
  },
);

Deno.test("only service_role may call the functions of system-health, and only the owner use its tables", async () => {
  await withDatabase(async (db) => {
    const doors = await db.sql`
      select proname as name, format('public.%I(%s)', proname,
        array_to_string(array_fill('null'::text, array[pronargs::integer]), ', ')) as call
      from pg_proc
      where pronamespace = 'public'::regnamespace and proname ~ '^scheduler_(?!api_).*health' order by 1`;
    assert.deepEqual(doors.map(({ name }) => name), [
      "scheduler_health_components",
      "scheduler_read_health",
      "scheduler_record_health",
    ]);
    const tables = ["scheduler.health_components", "scheduler.health_figures"];
    for (const role of ["anon", "authenticated"] as const) {
      const stranger = db.connect(role);
      for (const { call } of doors) {
        await assert.rejects(stranger.unsafe(`select ${call}`), /denied for function/, call);
      }
      for (const table of [...tables, "public.scheduler_health_history"]) {
        await assert.rejects(stranger.unsafe(`select from ${table}`), /permission denied/, table);
      }
    }
    const service = db.connect("service_role");
    await service`select from public.scheduler_health_history`;
    for (
      const statement of [
        ...tables.map((table) => `select from ${table}`),
        "update scheduler.health_figures set degraded = null",
        "delete from public.scheduler_health_history",
        "insert into public.scheduler_health_history default values",
        "select scheduler.read_health('database')",
      ]
    ) await assert.rejects(service.unsafe(statement), /permission denied/, statement);
  });
});
