// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withRegistry } from "../../../cli/daybook/schedules-database.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { type SchedulesProject, withSchedulesProject } from "../../support/schedules.ts";
import { waitUntil } from "../../support/wait-until.ts";

/** A database with the core, and a project whose file has one job that is not registered. */
const test = (name: string, fn: (db: TestDatabase, project: SchedulesProject) => Promise<void>) =>
  Deno.test(name, () =>
    withDatabase(async (db) => {
      await db.sql`select scheduler.unregister_job(name) from scheduler_jobs`;
      await withSchedulesProject(db.url, async (project) => {
        await project.write({ own: [{ name: "a", schedule: "@daily" }] });
        await fn(db, project);
      });
    }, { packs: "core" }));

/** The command's own connection once it waits for a lock. */
const waiting = (sql: Sql): Promise<number> =>
  waitUntil("plan or apply to wait for a lock", async () => {
    const [row] = await sql<{ pid: number }[]>`select pid from pg_stat_activity
      where datname = current_database() and application_name = 'daybook schedules' and wait_event_type = 'Lock'`;
    return row?.pid;
  });

const isRegistered = async (sql: Sql) => (await sql`select from scheduler_jobs`).length === 1;

test(
  "a plan gives up while an apply is under way, and says that trying again helps",
  async ({ connect, sql }, project) => {
    await connect().begin(async (other) => {
      const entries = [{ job: "b", source: "own", entry: { name: "b", schedule: "@daily" } }];
      await other`select scheduler.apply_schedules(${other.json(entries)}, 'why', 'ann')`;
      const { code, stdout, stderr } = await project.plan();
      assert.deepEqual([code, stdout], [4, ""]);
      assert.match(stderr, /^Another transaction holds the registry: .*\nhint: try again$/);
    });
    assert.ok(await isRegistered(sql));
  },
);

test(
  "an apply waits for the one under way, and does what is left to do",
  async ({ connect, sql }, project) => {
    const { fingerprint } = await project.planned();
    const applying = await connect().begin(async (other) => {
      const entries = [{ job: "a", source: "own", entry: { name: "a", schedule: "@hourly" } }];
      await other`select scheduler.apply_schedules(${other.json(entries)}, 'why', 'bob')`;
      const outcomes = [project.apply(["--plan", fingerprint]), project.apply(["--yes"])];
      await waiting(sql);
      return { outcomes };
    });
    const [planned, any] = await Promise.all(applying.outcomes);
    // Whichever of the two comes first: the plan that was made before the other apply is not done.
    assert.equal(any!.code, 0, any!.stderr);
    if (planned!.code === 4) assert.match(planned!.stderr, /^Nothing was changed: by now the plan/);
    else assert.match(planned!.stdout, /^Nothing is to be changed$/m);
    const [row] = await sql`select schedule from scheduler_jobs`;
    assert.equal(row!.schedule, "@daily");
  },
);

test(
  "an apply whose statement is cancelled changes nothing, and says so",
  async ({ connect, sql }, project) => {
    await connect().begin(async (other) => {
      await other`select pg_advisory_xact_lock(hashtextextended('daybook: registry', 0))`;
      const applying = project.apply(["--yes"]);
      await sql`select pg_cancel_backend(${await waiting(sql)})`;
      const { code, stderr } = await applying;
      assert.equal(code, 4);
      assert.match(stderr, /^The database stopped it, .*\nhint: nothing was changed/);
    });
    assert.ok(!await isRegistered(sql));
  },
);

test(
  "an apply that is killed in the middle changes nothing, and says how one sees it",
  async ({ admin, connect, sql }, project) => {
    await connect().begin(async (other) => {
      await other`select pg_advisory_xact_lock(hashtextextended('daybook: registry', 0))`;
      const applying = project.apply(["--yes"]);
      await admin`select pg_terminate_backend(${await waiting(sql)})`;
      const { code, stderr } = await applying;
      assert.equal(code, 3);
      assert.match(
        stderr,
        /^Cannot reach .*\nhint: it did all or nothing: deno task daybook plan says/,
      );
    });
    assert.ok(!await isRegistered(sql));
    assert.equal((await project.apply(["--yes"])).code, 0);
    assert.ok(await isRegistered(sql));
  },
);

test("a fault of the command itself is not said to be one of the database", async ({ sql, url }) => {
  await assert.rejects(
    withRegistry(url, (registry) =>
      registry.apply([], { reason: "why", author: "ann" }, () => {
        throw new TypeError("a bug");
      })),
    { name: "TypeError", message: "a bug" },
  );
  assert.equal((await sql`select from scheduler_audit where verb = 'apply_schedules'`).length, 0);
});
