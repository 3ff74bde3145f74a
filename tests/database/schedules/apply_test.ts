// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { daybook } from "../../support/command-line.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { type SchedulesProject, withSchedulesProject } from "../../support/schedules.ts";

/** A database with the core, and a project with these jobs in its file. */
const test = (
  name: string,
  fn: (db: TestDatabase, project: SchedulesProject) => Promise<void>,
) =>
  Deno.test(name, () =>
    withDatabase(async (db) => {
      await db.sql`select scheduler.unregister_job(name) from scheduler_jobs`;
      await withSchedulesProject(db.url, (project) => fn(db, project));
    }, { packs: "core" }));

const job = (name: string, values: Record<string, unknown> = {}) => ({
  name,
  schedule: "@daily",
  ...values,
});

const registry = async (sql: Sql) =>
  (await sql`
    select name, schedule, schedule is null or exists (
      select from cron.job where jobname = name and schedule = cron_entry) as in_cron
    from scheduler_jobs order by name`).map(({ name, schedule, in_cron }) =>
    `${name} ${schedule} ${in_cron}`
  );

/** Plans, and applies what was planned. */
async function applied(project: SchedulesProject): Promise<string> {
  const { fingerprint } = await project.planned();
  const { code, stdout, stderr } = await project.apply(["--plan", fingerprint]);
  assert.equal(code, 0, stderr);
  return stdout;
}

test("apply does what plan showed, and then there is nothing to do", async ({ sql }, project) => {
  await project.write({ own: [job("a"), job("b", { depends_on: ["c"] }), job("c")] });
  assert.match(await applied(project), /^3 registered$/m);
  assert.deepEqual(await registry(sql), ["a @daily true", "b @daily true", "c @daily true"]);
  await project.write({
    own: [job("a", { schedule: "@hourly" }), job("c", { depends_on: ["a"] })],
  });
  assert.match(await applied(project), /^2 changed, 1 unregistered$/m);
  assert.deepEqual(await registry(sql), ["a @hourly true", "c @daily true"]);
  assert.equal((await project.plan()).code, 0);
  assert.match((await project.apply(["--yes"])).stdout, /^Nothing is to be changed$/m);
});

test(
  "each change leaves a row in the audit log with the author and the reason, and the whole another",
  async ({ sql }, project) => {
    await sql`select scheduler.register_job('over', '@daily')`;
    await project.write({ own: [job("a"), job("b")] });
    await applied(project);
    await project.write({ own: [job("a", { priority: 2 }), job("over")] });
    await sql`delete from scheduler_audit`;
    await applied(project);
    const rows = await sql`
    select verb, subject_type, subject, author, reason, after from scheduler_audit order by verb, subject`;
    assert.deepEqual(
      rows.map(({ author, reason }) => [author, reason]),
      rows.map(() => ["ann", "a test"]),
    );
    assert.deepEqual(
      rows.map(({ verb, subject_type, subject }) => `${verb} ${subject_type} ${subject}`),
      [
        "apply_schedules scheduler schedules.json",
        "register_job job a",
        "unregister_job job b",
      ],
    );
    assert.deepEqual(rows[0]!.after, { changed: ["a"], taken_over: ["over"], unregistered: ["b"] });
    assert.deepEqual(rows[1]!.after, { priority: 2 });
    // Of what was applied nobody says that it was by hand.
    await sql`select scheduler.register_job('a', '@daily', priority => 3)`;
    assert.equal((await project.planned()).changes[0]!.last!.author, "postgres");
    assert.equal(
      (await sql`select author from scheduler_audit order by id desc limit 1`)[0]!.author,
      "postgres",
    );
  },
);

test(
  "nothing is applied where the registry, the file or a variable changed since the plan",
  async ({ sql }, project) => {
    const poller = job("poller", { interval_from: { variable: "POLL", unit: "seconds" } });
    await project.write({ own: [job("a"), job("b")] });
    await applied(project);
    const file = { own: [job("a", { priority: 1 }), job("b"), poller] };
    await project.write(file);
    const { fingerprint } = await project.planned();
    const refused = async (env: Record<string, string> = {}) => {
      const before =
        await sql`select to_jsonb(jobs) as row from scheduler_jobs as jobs order by name`;
      const { code, stdout, stderr } = await project.apply(["--plan", fingerprint], env);
      assert.deepEqual([code, stdout], [4, ""]);
      assert.match(stderr, /^Nothing was changed: by now the plan is [0-9a-f]{12}, not /);
      const after =
        await sql`select to_jsonb(jobs) as row from scheduler_jobs as jobs order by name`;
      assert.deepEqual([...after], [...before]);
    };
    await refused({ POLL: "60" });
    await project.write({ own: [...file.own, job("c")] });
    await refused();
    await project.write(file);
    await sql`select scheduler.register_job('b', '@daily', priority => 7)`;
    await refused();
    await sql`select scheduler.register_job('b', '@daily')`;
    // What is not the file's changes nothing.
    await sql`select scheduler.register_job('mine', '@daily')`;
    await sql`select scheduler.pause('a', 'why', 'bob')`;
    const { code, stderr } = await project.apply(["--plan", fingerprint]);
    assert.equal(code, 0, stderr);
  },
);

test(
  "of three at once one applies, and the others find it done",
  async ({ sql }, project) => {
    await project.write({ own: [job("a"), job("b")] });
    const { fingerprint } = await project.planned();
    const outcomes = await Promise.all(
      Array.from({ length: 3 }, () => project.apply(["--plan", fingerprint])),
    );
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      [0, 0, 0],
      outcomes.map((o) => o.stderr).join(),
    );
    const said = outcomes.map(({ stdout }) =>
      /^(2 registered|Nothing is to be changed)$/m.exec(stdout)![1]
    );
    assert.deepEqual(said.sort(), ["2 registered", ...Array(2).fill("Nothing is to be changed")]);
    const [row] =
      await sql`select count(*)::int as rows from scheduler_audit where verb = 'apply_schedules'`;
    assert.equal(row!.rows, 1);
  },
);

test("apply needs a plan or --yes, a reason and an author", async ({ sql }, project) => {
  await project.write({ own: [job("a")] });
  const cases: [string[], RegExp][] = [
    [[], /^Cannot apply: give --plan with the fingerprint that plan printed, or --yes/],
    [["--plan", "abc", "--yes"], /^Cannot apply: /],
    [["--yes", "--reason", " "], /^--reason must say why/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await project.apply(args);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
  assert.deepEqual(await registry(sql), []);
});

test("neither plan nor apply works over the API", async () => {
  const acts = ["--yes", "--reason", "r", "--author", "ann"];
  for (const verb of [["plan"], ["apply", ...acts]]) {
    const { code, stderr } = await daybook([...verb, "--url", "https://a.test"]);
    assert.equal(code, 2);
    assert.match(stderr, /^This verb needs the database/);
  }
});

test("what is paused stays paused, and is said", async ({ sql }, project) => {
  await project.write({ own: [job("a")] });
  await applied(project);
  await sql`select scheduler.pause('a', 'a leak', 'bob')`;
  await project.write({ own: [job("a", { schedule: "@hourly" })] });
  assert.match((await project.plan()).stdout, /^ {4}paused by bob: a leak; stays paused$/m);
  await applied(project);
  const [row] =
    await sql`select pause_reason, paused_by, schedule from scheduler_jobs where name = 'a'`;
  assert.deepEqual({ ...row }, { pause_reason: "a leak", paused_by: "bob", schedule: "@hourly" });
});

test(
  "entries that need each other come in whatever order they stand, also a name that another gives up",
  async ({ sql }, project) => {
    await project.write({ own: [job("z-old"), job("needs")] });
    await applied(project);
    // The old name becomes an alias of the new one, which takes its place.
    await project.write({
      own: [
        job("a-new", { alias: "z-old" }),
        job("needs", { depends_on: ["a-new"] }),
        job("b", { depends_on: ["needs"] }),
      ],
    });
    await applied(project);
    assert.deepEqual(await registry(sql), [
      "a-new @daily true",
      "b @daily true",
      "needs @daily true",
    ]);
    // The other way round.
    await project.write({
      own: [job("a-new", { depends_on: ["b"] }), job("needs"), job("b", { depends_on: ["needs"] })],
    });
    await applied(project);
    const rows = await sql`select name, depends_on from scheduler_jobs order by 1`;
    assert.deepEqual(rows.map(({ depends_on }) => depends_on), [["b"], ["needs"], []]);
  },
);

test(
  "a job that is renamed and takes its old name as alias, on which another depends, takes two applies",
  async ({ sql }, project) => {
    await project.write({ own: [job("old"), job("needs", { depends_on: ["old"] })] });
    await applied(project);
    const needs = job("needs", { depends_on: ["new"] });
    await project.write({ own: [job("new", { alias: "old" }), needs] });
    for (const { code, stderr } of [await project.plan(), await project.apply(["--yes"])]) {
      assert.equal(code, 2);
      assert.match(stderr, /own\[0\]\.alias: cannot register the job new: alias .*'old'/);
    }
    assert.deepEqual(await registry(sql), ["needs @daily true", "old @daily true"]);
    await project.write({ own: [job("new"), needs] });
    await applied(project);
    await project.write({ own: [job("new", { alias: "old" }), needs] });
    await applied(project);
    assert.deepEqual(await registry(sql), ["needs @daily true", "new @daily true"]);
  },
);

test(
  "a value that is taken back by hand to the file's is no change, and is the one applied from then on",
  async ({ sql }, project) => {
    await project.write({ own: [job("a"), job("b")] });
    await applied(project);
    await sql`select scheduler.register_job('a', '@daily', priority => 3)`;
    await project.write({ own: [job("a", { priority: 3 }), job("b")] });
    assert.equal((await project.plan()).code, 0);
    await project.write({ own: [job("a", { priority: 3 }), job("b", { priority: 1 })] });
    await applied(project);
    await project.write({ own: [job("a", { priority: 4 }), job("b", { priority: 1 })] });
    const [change] = (await project.planned()).changes;
    assert.deepEqual(change!.fields, [{ field: "priority", now: 3, then: 4, by_hand: false }]);
  },
);

test(
  "as a role that does not own the registry it is refused, with what helps",
  async ({ url }, project) => {
    await project.write({ own: [] });
    const other = new URL(url);
    other.username = "authenticator";
    const { code, stderr } = await daybook([
      "plan",
      "--db-url",
      other.href,
      "--project",
      project.folder,
    ]);
    assert.equal(code, 4);
    assert.match(
      stderr,
      /^The registry is its owner's: .*\nhint: connect as the role that owns the schema/,
    );
  },
);

test("a right that is missing is no fault of each entry", async ({ admin, connect, sql }) => {
  const role = `half_${crypto.randomUUID().slice(0, 8)}`;
  await admin.unsafe(`create role ${role};
    grant usage on schema scheduler to ${role};
    grant execute on all functions in schema scheduler to ${role};
    grant select on public.scheduler_jobs, public.scheduler_audit, scheduler.job_sources to ${role};
    grant ${role} to postgres`);
  try {
    const other = connect();
    await other.unsafe(`set role ${role}`);
    const entries = [{ job: "a", source: "own", entry: job("a") }];
    const { code } = await refusal(
      other`select scheduler.rehearse_schedules(${other.json(entries)})`,
    );
    assert.equal(code, "42501");
    await other`reset role`;
    assert.deepEqual(await registry(sql), []);
  } finally {
    await admin.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});

test(
  "until the end only the rows of jobs that change are locked",
  async ({ connect, sql }, project) => {
    await project.write({ own: [job("same"), job("changed")] });
    await applied(project);
    const entries = ["same", "changed"].map((name) => ({
      job: name,
      source: "own",
      entry: job(name, { priority: name === "changed" ? 3 : 0 }),
    }));
    await connect().begin(async (other) => {
      await other`select scheduler.apply_schedules(${other.json(entries)}, 'why', 'ann')`;
      const free = await sql`select name from scheduler_jobs for update skip locked`;
      assert.deepEqual(free.map(({ name }) => name), ["same"]);
    });
  },
);
