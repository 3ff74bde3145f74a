import assert from "node:assert/strict";
import { readDatabase, verifyDatabase } from "../../../cli/daybook/doctor-database.ts";
import { databaseFinding, type Finding } from "../../../cli/daybook/doctor-findings.ts";
import { readVersion } from "../../../local/releases.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import * as t from "../../support/scheduler.ts";

/** What fails in the database, by the check's name; the call to a function is not waited for. */
async function failing({ sql }: TestDatabase): Promise<Record<string, Finding>> {
  // No function answers here, and the time to wait for one is over at the second look at the clock.
  let minutes = 0;
  const io = { now: () => new Date(60_000 * minutes++), pause: () => Promise.resolve() };
  const checks = await verifyDatabase(sql, io);
  return Object.fromEntries(
    checks.filter(({ state }) => state !== "asked").map(databaseFinding)
      .filter(({ state }) => state === "failed").map((finding) => [finding.check, finding]),
  );
}

/** What is broken, how, which check says so, and what in its SQL a person has to fill in. */
const faults: [string, (db: TestDatabase) => PromiseLike<unknown>, string, [string, string]?][] = [
  [
    "an entry of pg_cron is gone",
    ({ sql }) => sql`select cron.unschedule('job')`,
    "entries of pg_cron",
  ],
  [
    "tables without row level security",
    ({ sql }) =>
      sql.unsafe(`alter table scheduler_runs disable row level security;
        alter table scheduler_jobs disable row level security`),
    "row level security",
  ],
  [
    "tables and functions open to anon and authenticated",
    ({ sql }) =>
      sql.unsafe(
        `grant select on scheduler_runs to anon; grant insert on scheduler_jobs to authenticated;
        grant execute on function scheduler_begin_run(uuid, text, text) to anon, authenticated`,
      ),
    "grants",
  ],
  [
    "a table open to everybody",
    ({ sql }) => sql`grant select on scheduler_runs to public`,
    "grants",
  ],
  [
    "the schema open to the API's roles",
    ({ sql }) => sql`grant usage on schema scheduler to anon, service_role`,
    "schema scheduler",
  ],
  [
    "no cron secret in Vault",
    ({ sql }) => t.setSecret(sql, "cron_secret", null),
    "Vault",
    ["<CRON_SECRET of the functions>", t.CRON_SECRET],
  ],
  [
    "a cron secret that is too short",
    ({ sql }) => t.setSecret(sql, "cron_secret", "short"),
    "Vault",
    ["<CRON_SECRET of the functions>", t.CRON_SECRET],
  ],
  [
    "a project_url that is none",
    ({ sql }) => t.setSecret(sql, "project_url", "project.example.test"),
    "Vault",
    ["<ref>", "abcdefghijklmnopqrst"],
  ],
];

for (const [name, breakIt, check, [blank, value] = ["", ""]] of faults) {
  t.ledgerTest(`the doctor names what mends it: ${name}`, async (db) => {
    const { sql } = db;
    await sql`select scheduler.register_job('job', '0 0 1 1 *')`;
    await sql`select scheduler.pulse()`;
    assert.deepEqual(await failing(db), {});
    await breakIt(db);
    const found = await failing(db);
    assert.deepEqual(Object.keys(found), [check]);
    assert.doesNotMatch(found[check]!.detail, /short|project\.example/);
    await sql.unsafe(found[check]!.command!.replace(blank, value));
    assert.deepEqual(await failing(db), {}, found[check]!.command!);
  });
}

t.ledgerTest("the doctor names what mends a pulse that stands still", async (db) => {
  const { sql } = db;
  await sql`select cron.unschedule('scheduler-pulse')`;
  await sql`update scheduler.pulse_state set last_pulse_at = now() - interval '5 minutes'`;
  const { pulse } = await failing(db);
  await sql.unsafe(pulse!.command!);
  const entries = await sql`select from cron.job where jobname = 'scheduler-pulse' and active`;
  assert.equal(entries.length, 1);
});

t.ledgerTest("what the doctor reads of the database", async ({ sql }) => {
  await t.register(sql, "nightly", { target: "work" });
  await t.register(sql, "off", { target: "other", enabled: false });
  for (
    const [verdict, ago] of [["interrupted", 1], ["worker_limit", 6], ["interrupted", 8], [
      "lost",
      1,
    ]]
  ) {
    await sql`
      insert into scheduler_runs (id, job_name, status, verdict, trigger, scheduled_for, completed_at)
      select gen_random_uuid(), 'nightly', 'failed', ${verdict!}, 'cron', at, at
      from (select now() - make_interval(days => ${ago!}::int)) as moment (at)`;
  }
  assert.deepEqual(await readDatabase(sql), {
    version: await readVersion(),
    projectUrl: t.PROJECT_URL,
    secret: t.CRON_SECRET,
    stage: "none",
    functions: ["cron", "other", "prometheus-metrics", "work"],
    cut: [{ name: "nightly", runs: 2 }],
  });
});

Deno.test("a database without Daybook is told from one with it", () =>
  withDatabase(async ({ sql }) => {
    assert.equal((await readDatabase(sql)).version, undefined);
  }, { packs: "none" }));
