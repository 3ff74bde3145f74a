// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { readCatalogue } from "../../../local/catalogue.ts";
import { applyMigrations, readMigrations } from "../../../local/migrations.ts";
import { withDatabase } from "../../support/database.ts";
import {
  type PlannedChanges,
  type SchedulesProject,
  withSchedulesProject,
} from "../../support/schedules.ts";

type File = Record<string, Record<string, unknown>[]>;

const OURS = await Deno.readTextFile(new URL("../../../supabase/schedules.json", import.meta.url));
const daybooks = (): File => {
  const { $schema: _, ...sections } = JSON.parse(OURS);
  return sections;
};

/** A database with all packs, and a project whose file has what packs have. */
const test = (
  name: string,
  fn: (sql: Sql, project: SchedulesProject, url: string) => Promise<void>,
) =>
  Deno.test(
    name,
    () =>
      withDatabase(({ sql, url }) =>
        withSchedulesProject(url, async (project) => {
          await project.write(daybooks());
          await fn(sql, project, url);
        })
      ),
  );

const brief = ({ changes }: PlannedChanges) =>
  changes.map(({ job, becomes }) => `${becomes} ${job}`);
const fieldsOf = ({ fields }: PlannedChanges["changes"][number]) =>
  fields.map(({ field, by_hand }) => by_hand ? `${field} by hand` : field);

test(
  "Daybook's own file changes nothing in a fresh database, and says what it leaves alone",
  async (sql, project) => {
    await sql`select scheduler.register_job('mine', '0 9 * * *')`;
    const { code, stdout, stderr } = await project.plan();
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^Nothing is to be changed$/m);
    const plan = await project.planned();
    assert.equal(plan.unchanged.length, Object.values(daybooks()).flat().length);
    assert.deepEqual(plan.left_alone, [
      { job: "batch-reconciler", source: "batches" },
      { job: "batch-reconciler-after-window", source: "batches" },
      { job: "daily-batch-trigger", source: "batches" },
      { job: "mine", source: null },
    ]);
    assert.match(
      stdout,
      /^Left alone: .*the pack batches registers it itself.*mine \(registered in SQL\)$/m,
    );
  },
);

test("a plan says each job's change and leaves nothing in the database", async (sql, project) => {
  const file = daybooks();
  Object.assign(file.scheduler![0]!, { schedule: "30 2 * * *", time_zone: "America/New_York" });
  file.devices!.pop();
  file.own = [
    { name: "after-new", schedule: null, depends_on: ["new"] },
    { name: "new", schedule: "30 seconds", payload: { a: "'" } },
  ];
  await project.write(file);
  const before = await readCatalogue(sql);
  const rows = () =>
    sql`select (select count(*)::int from scheduler_audit) as audit, (select count(*)::int from scheduler_runs) as runs`;
  const [counts] = await rows();
  const plan = await project.planned();
  assert.deepEqual(await readCatalogue(sql), before);
  assert.deepEqual({ ...(await rows())[0] }, { ...counts });
  assert.deepEqual(brief(plan), [
    "changed system-health",
    "registered after-new",
    "registered new",
    "unregistered monitor-device-connections",
  ]);
  assert.deepEqual(fieldsOf(plan.changes[0]!), ["schedule", "time_zone"]);
  assert.deepEqual(plan.changes[1]!.fields.map(({ field, then }) => [field, then]), [
    ["schedule", null],
    ["depends_on", ["new"]],
  ]);
  const { code, stdout } = await project.plan();
  assert.equal(code, 5);
  assert.match(stdout, /^2 to be registered, 1 to be changed, 1 to be unregistered$/m);
  assert.match(stdout, /^ {4}schedule {3}20 \* \* \* \* → 30 2 \* \* \*$/m);
  assert.match(stdout, /^ {4}it is no longer in the file; its runs stay in the ledger/m);
  assert.ok(
    stdout.endsWith(
      `\n\ndeno task daybook apply --project ${project.folder} --db-url … ` +
        `--plan ${plan.fingerprint} --reason … does this and nothing else`,
    ),
  );
});

test(
  "where times change the next five are shown before and after, and the days of zone changes",
  async (_, project) => {
    const file = daybooks();
    Object.assign(file.scheduler![0]!, { schedule: "30 2 * * *", time_zone: "America/New_York" });
    Object.assign(file.scheduler![1]!, { max_attempts: 4 });
    await project.write(file);
    const [health, prune] = (await project.planned()).changes;
    const { next_before: before, next_after: after } = health!;
    assert.deepEqual([before!.time_zone, before!.times.length], ["UTC", 5]);
    assert.match(before!.times[0]!.local!, /:20$/);
    assert.deepEqual([after!.time_zone, after!.times.length], ["America/New_York", 5]);
    for (const { local } of after!.times) assert.match(local!, / (02:30|03:00)$/);
    const { change, first_time, times } = health!.clock_changes![0]!;
    assert.deepEqual([change, first_time.slice(11), times], ["skipped", "02:30:00", 1]);
    assert.deepEqual([prune!.next_before, prune!.next_after, prune!.clock_changes], [
      undefined,
      undefined,
      undefined,
    ]);
    assert.match((await project.plan()).stdout, /the clock skips 02:30: it runs once, at 03:00$/m);
  },
);

test("jitter and calendars are in the next times", async (sql, project) => {
  await sql`select scheduler.register_calendar('freeze')`;
  await sql`select scheduler.add_calendar_span('freeze', 'no change', 'ann', '2000-01-01', '2900-01-01')`;
  const file = daybooks();
  Object.assign(file.scheduler![0]!, { jitter_seconds: 30 });
  Object.assign(file.scheduler![1]!, { calendars: ["freeze"] });
  await project.write(file);
  const [jitter, calendar] = (await project.planned()).changes;
  assert.equal(jitter!.next_before!.times[0]!.note, undefined);
  assert.match(jitter!.next_after!.times[0]!.note!, /^is sent [\d.]+ s later$/);
  assert.match(
    calendar!.next_after!.times[0]!.note!,
    /^will be skipped: calendar: no change \(freeze\)$/,
  );
});

test(
  "what was changed by hand is told apart, with who and why by the audit log",
  async (sql, project) => {
    await sql`select scheduler.register_job('system-health', '20 * * * *', timeout_seconds => 60,
    description => 'Health of every component, one score, one report')`;
    await sql`update scheduler_jobs set max_attempts = 9 where name = 'prune-old-rows'`;
    const plan = await project.planned();
    assert.deepEqual(brief(plan), ["changed system-health", "changed prune-old-rows"]);
    assert.deepEqual(plan.changes.map(fieldsOf), [["timeout_seconds by hand"], [
      "max_attempts by hand",
    ]]);
    assert.deepEqual(plan.changes.map(({ last }) => last?.author), ["postgres", undefined]);
    const { stdout } = await project.plan();
    assert.match(
      stdout,
      /changed by hand since it was applied: timeout_seconds; by postgres at \d{4}-/,
    );
    assert.match(stdout, /max_attempts; the audit log does not say by whom$/m);

    await sql`select scheduler.unregister_job('system-health')`;
    const [gone] = (await project.planned()).changes;
    assert.deepEqual([gone!.becomes, gone!.last?.author], ["registered", "postgres"]);
    assert.match(
      (await project.plan()).stdout,
      /^ {4}it was taken out of the registry, by postgres at /m,
    );
  },
);

test(
  "a job that SQL of the project registered is taken over once it stands in the file",
  async (sql, project) => {
    await sql`select scheduler.register_job('mine', '0 9 * * *')`;
    await project.write({
      ...daybooks(),
      own: [{ name: "mine", schedule: "0 9 * * *", priority: 2 }],
    });
    const plan = await project.planned();
    assert.deepEqual(brief(plan), ["taken_over mine"]);
    assert.match(
      (await project.plan()).stdout,
      /it was registered in SQL, by postgres at .*; from now on it is the file's/,
    );
  },
);

test(
  "an interval comes from the variable that the entry names, and else is the file's",
  async (_, project) => {
    const own = {
      name: "poller",
      schedule: "*/5 * * * *",
      interval_from: { variable: "TWITTER_POLL_INTERVAL", unit: "milliseconds" },
    };
    await project.write({ ...daybooks(), own: [own] });
    const scheduleOf = ({ changes, notes }: PlannedChanges) => [
      changes[0]!.fields.find(({ field }) => field === "schedule")!.then,
      notes,
    ];
    assert.deepEqual(scheduleOf(await project.planned()), [
      "*/5 * * * *",
      ["poller: */5 * * * *, because TWITTER_POLL_INTERVAL is not set"],
    ]);
    assert.deepEqual(scheduleOf(await project.planned({ TWITTER_POLL_INTERVAL: "90000" })), [
      "90 seconds",
      ["poller: 90 seconds, from TWITTER_POLL_INTERVAL"],
    ]);
    const { code, stderr } = await project.plan([], { TWITTER_POLL_INTERVAL: "soon" });
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^Cannot use supabase\/schedules\.json:\d+: own\[0\]\.interval_from: the variable TWITTER_POLL_INTERVAL must be milliseconds that are whole seconds, from 1000 to 86400000, got "soon"$/,
    );
  },
);

test(
  "what cannot be registered is said with its place in the file; the rest is planned",
  async (_, project) => {
    const file = daybooks();
    file.batches!.push({ name: "daily-batch-trigger", schedule: "@daily" });
    file.own = [
      { name: "late", schedule: "@daily", timeout_seconds: 0 },
      { name: "fine", schedule: "@daily" },
      { name: "one", schedule: null, depends_on: ["two"] },
      { name: "two", schedule: null, depends_on: ["one"] },
      { name: "never", schedule: "0 0 30 2 *" },
    ];
    await project.write(file);
    const { code, stdout, stderr } = await project.plan();
    assert.equal(code, 2);
    assert.match(stdout, /^\+ fine \(own\): to be registered$/m);
    assert.ok(!stdout.includes("apply --plan"));
    for (
      const message of [
        /^supabase\/schedules\.json:\d+: batches\[\d\]: cannot register the job daily-batch-trigger: the pack batches registers it itself/m,
        /^supabase\/schedules\.json:\d+: own\[0\]\.timeout_seconds: cannot register the job late: timeout_seconds must be from 1 to 86400, got 0$/m,
        /own\[2\]\.depends_on: cannot register the job one: depends_on must name registered jobs, got 'two'/,
        /own\[3\]\.depends_on: .*got 'one'/,
        /own\[4\]: cannot register the job never: the schedule '0 0 30 2 \*' never occurs/,
      ]
    ) assert.match(stderr, message);
    const { code: refused } = await project.apply(["--yes"]);
    assert.equal(refused, 2);
  },
);

test("a job that others depend on cannot be taken out, and is named", async (sql, project) => {
  await project.write({ ...daybooks(), own: [{ name: "base", schedule: "@daily" }] });
  assert.equal((await project.apply(["--yes"])).code, 0);
  await sql`select scheduler.register_job('mine', null, depends_on => '{base}')`;
  await project.write(daybooks());
  const { code, stderr } = await project.plan();
  assert.equal(code, 2);
  assert.match(stderr, /^base is no longer in the file: cannot take base out: mine depends on it/);
  const { left_alone } = await project.planned();
  assert.ok(!left_alone.some(({ job }) => job === "base"));
});

test("a job whose function the project does not have is warned of", async (_, project) => {
  await Deno.mkdir(`${project.folder}/supabase/functions/there`, { recursive: true });
  const own = [
    { name: "there", schedule: null },
    { name: "else", schedule: null, target: "there" },
    { name: "url", schedule: null, target: "https://a.test/" },
    { name: "gone", schedule: null },
  ];
  await project.write({ ...daybooks(), own });
  const { warnings } = await project.planned();
  assert.deepEqual(warnings, ["gone: the project has no function supabase/functions/gone"]);
});

Deno.test("in a checkout of Daybook the packs that the database does not have are left out", () =>
  withDatabase(({ url }) =>
    withSchedulesProject(url, async (project) => {
      await project.write(daybooks());
      const packs = new URL("../../../supabase/packs.json", import.meta.url);
      await Deno.copyFile(packs, `${project.folder}/supabase/packs.json`);
      const { changes, notes, faults } = await project.planned();
      assert.deepEqual([changes, faults], [[], []]);
      assert.ok(notes.includes("The database has no pack devices: its jobs are left out"));
      const { stdout } = await project.apply(["--yes"]);
      assert.match(stdout, /^The database has no pack devices: its jobs are left out$/m);
    }), { packs: "core" }));

Deno.test("the packs of a checkout are those of its own packs.json", () =>
  withDatabase(({ url }) =>
    withSchedulesProject(url, async (project) => {
      await project.write({
        ...daybooks(),
        "new-pack": [{ name: "new", schedule: "@daily" }],
      });
      const packs = `${project.folder}/supabase/packs.json`;
      const ours = JSON.parse(
        await Deno.readTextFile(new URL("../../../supabase/packs.json", import.meta.url)),
      );
      const pack = { description: "", needs: ["scheduler"], functions: ["new"], sql: [] };
      await Deno.writeTextFile(packs, JSON.stringify({ ...ours, "new-pack": pack }));
      const { changes, notes } = await project.planned();
      assert.deepEqual(changes, []);
      assert.ok(notes.includes("The database has no pack new-pack: its jobs are left out"));
      await Deno.writeTextFile(packs, "{}}");
      const { code, stderr } = await project.plan();
      assert.equal(code, 2);
      assert.match(stderr, /^Cannot read supabase\/packs\.json: /);
    }), { packs: "core" }));

Deno.test("the file of a checkout of Daybook takes out no job of a project's own", () =>
  withDatabase(({ url, sql }) =>
    withSchedulesProject(url, async (project) => {
      await project.write(daybooks());
      await sql`select scheduler.register_entry('own', '{"name": "mine", "schedule": "@daily"}')`;
      const packs = new URL("../../../supabase/packs.json", import.meta.url);
      await Deno.copyFile(packs, `${project.folder}/supabase/packs.json`);
      for (const { code, stderr } of [await project.plan(), await project.apply(["--yes"])]) {
        assert.equal(code, 2);
        assert.match(stderr, /is Daybook's own, and would take out mine\nhint: --project/);
      }
      assert.equal((await sql`select from scheduler_jobs where name = 'mine'`).length, 1);
    }), { packs: "core" }));

Deno.test("a database of 0.10 is refused, with what helps", () =>
  withDatabase(({ sql, url }) =>
    withSchedulesProject(url, async (project) => {
      const migrations = await readMigrations();
      const core = migrations.filter(({ name }) => name === "daybook_scheduler_0_10_0");
      assert.equal(core.length, 1);
      await applyMigrations(sql, core);
      await project.write(daybooks());
      for (const { code, stderr } of [await project.plan(), await project.apply(["--yes"])]) {
        assert.equal(code, 4);
        assert.match(
          stderr,
          /^The database has no Daybook, or an older one: .*job_arguments.*\nhint: supabase db push$/,
        );
      }
    }), { packs: "none" }));

Deno.test("a database without Daybook is refused", () =>
  withDatabase(({ url }) =>
    withSchedulesProject(url, async (project) => {
      const none = await project.plan();
      assert.equal(none.code, 4);
      assert.match(none.stderr, /^The database has no Daybook, or an older one: /);
    }), { packs: "none" }));

test("what cannot be read is said", async (_, project) => {
  await Deno.remove(`${project.folder}/supabase/schedules.json`);
  await Deno.mkdir(`${project.folder}/supabase/schedules.json`);
  const { code, stderr } = await project.plan();
  assert.equal(code, 2);
  assert.match(stderr, /^Cannot read .*supabase\/schedules\.json: Is a directory/);
});

test(
  "an entry that moves to another section changes nothing, and is of that one from then on",
  async (sql, project) => {
    const file = daybooks();
    file.own = [file.devices!.shift()!];
    await project.write(file);
    assert.equal((await project.plan()).code, 0);
    assert.equal((await project.apply(["--yes"])).code, 0);
    const rows = await sql`
    select source from scheduler.job_sources where job_name = 'aggregate-device-metrics'`;
    assert.deepEqual(rows.map(({ source }) => source), ["own"]);
  },
);

test("a folder without the file is refused", async (_, project) => {
  await Deno.remove(`${project.folder}/supabase/schedules.json`);
  const { code, stderr } = await project.plan();
  assert.equal(code, 2);
  assert.match(stderr, /^There is no .*supabase\/schedules\.json\nhint: --project/);
});
