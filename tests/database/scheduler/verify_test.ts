import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { TestDatabase } from "../../support/database.ts";
import * as t from "../../support/scheduler.ts";

/** The checks of `scheduler.verify()` that do not hold, by name. */
async function failing(sql: Sql): Promise<Record<string, string>> {
  const rows = await sql`select * from scheduler.verify() where state = 'failed'`;
  return Object.fromEntries(rows.map((row) => [row.check_name, row.detail]));
}

t.ledgerTest(
  "nothing fails in a database that is as it should be, and nothing is left behind",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', '0 0 1 1 *')`;
    await sql`select scheduler.pulse()`;
    assert.deepEqual(await failing(sql), {});
    const [asked] = await sql`select state from scheduler.verify() where check_name = 'secret'`;
    assert.equal(asked!.state, "asked");
    assert.equal(
      (await t.requests(sql)).length,
      1,
      "one question goes out, however often it is asked",
    );
    assert.deepEqual([...await sql`select from scheduler_runs`], []);
    assert.deepEqual([...await sql`select from scheduler_locks`], []);
  },
);

/** What is broken, how, and the check that has to say so. */
const faults: [string, (db: TestDatabase) => Promise<unknown>, string, RegExp][] = [
  [
    "an entry of pg_cron that was removed",
    ({ sql }) => sql`select cron.unschedule('job')`,
    "entries of pg_cron",
    /job: missing/,
  ],
  [
    "an entry of pg_cron without a job",
    ({ sql }) =>
      sql`select cron.schedule('ghost', '* * * * *', 'select scheduler.dispatch(''ghost'')')`,
    "entries of pg_cron",
    /ghost: no such job/,
  ],
  [
    "a pg_cron with a clock of its own",
    // In winter its clock is that of UTC.
    ({ sql }) => sql`select set_config('cron.timezone', 'Europe/London', false)`,
    "zone of the entries",
    /pg_cron reads them in Europe\/London \(cron.timezone\), and they are written in UTC/,
  ],
  [
    "a pg_cron whose zone nobody knows",
    ({ sql }) => sql`select set_config('cron.timezone', 'Mars/Olympus', false)`,
    "zone of the entries",
    /pg_cron reads them in Mars\/Olympus/,
  ],
  [
    "a pulse that stands still",
    ({ sql }) => sql`update scheduler.pulse_state set last_pulse_at = now() - interval '5 minutes'`,
    "pulse",
    /its last beat was 30\d s ago/,
  ],
  [
    "an error in the pulse",
    ({ sql }) => sql`update scheduler.pulse_state set errors = '{"step jobs": "refused"}'`,
    "pulse",
    /failed in part: .*refused/,
  ],
  [
    "a secret that is not in Vault",
    ({ sql }) => t.setSecret(sql, "cron_secret", null),
    "Vault",
    /no secret named cron_secret/,
  ],
  [
    "a URL that is none",
    ({ sql }) => t.setSecret(sql, "project_url", "hunter2-the-secret-of-somebody"),
    "Vault",
    /project_url in Vault must be the project's URL/,
  ],
  [
    "a table without row level security",
    ({ sql }) => sql`alter table scheduler_audit disable row level security`,
    "row level security",
    /off for public.scheduler_audit/,
  ],
  [
    "a table that is open",
    ({ sql }) => sql`grant select on scheduler_runs to anon`,
    "grants",
    /scheduler_runs to anon/,
  ],
  [
    "a function that is open",
    ({ sql }) => sql`grant execute on function scheduler_finish_run to authenticated`,
    "grants",
    /scheduler_finish_run\(.*\) to authenticated/,
  ],
  [
    "the schema that is open",
    ({ sql }) => sql`grant usage on schema scheduler to service_role`,
    "schema scheduler",
    /open to service_role/,
  ],
  [
    "a circle that somebody wrote by hand",
    ({ sql }) => sql`update scheduler_jobs set depends_on = '{job}'`,
    "dependencies",
    /job -> job/,
  ],
  [
    "a lock that cannot be taken",
    ({ sql }) => sql`create rule no_locks as on insert to scheduler_locks do instead nothing`,
    "lock",
    /could not be taken/,
  ],
];

for (const [name, breakIt, check, detail] of faults) {
  t.ledgerTest(`verify() finds ${name}`, async (db) => {
    const { sql } = db;
    await sql`select scheduler.register_job('job', '0 0 1 1 *')`;
    await sql`select scheduler.pulse()`;
    await breakIt(db);
    const found = await failing(sql);
    assert.match(found[check] ?? "", detail);
    assert.doesNotMatch(JSON.stringify(found), /hunter2/);
  });
}

t.ledgerTest(
  "a function that refuses the secret, is not there, or does not answer is named",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', '0 0 1 1 *')`;
    const answered = async (given: t.Answer) => {
      await sql`select scheduler.verify()`;
      const [call] = await sql`select request_id, asked_at from scheduler.verify_calls`;
      await sql`delete from net._http_response`;
      await t.respond(sql, Number(call!.request_id), given, call!.asked_at);
      const rows =
        await sql`select * from scheduler.verify() where check_name in ('secret', 'clock')`;
      return rows.map((row) => `${row.state} ${row.check_name}: ${row.detail}`);
    };
    assert.match(
      (await answered({ status: 401 }))[0]!,
      /failed secret: job refuses it: make CRON_SECRET/,
    );
    assert.match((await answered({ status: 404 }))[0]!, /failed secret: job is not deployed/);
    assert.match(
      (await answered({ timedOut: true, error: "timeout" }))[0]!,
      /failed secret: job answered timeout/,
    );
    const [clock] = await sql`select clock_timestamp() as now`;
    const late = new Date(clock!.now.getTime() - 90_000).toUTCString();
    const told = await answered({ status: 405, headers: { date: late } });
    assert.match(told[0]!, /ok secret: job takes it/);
    assert.match(told[1]!, /failed clock: that of the functions is (89|90|91) s off/);
    const secret = async () => {
      const [row] = await sql`select state from scheduler.verify() where check_name = 'secret'`;
      return row!.state;
    };
    assert.equal(await secret(), "asked", "an answer is read once");
    await sql`update scheduler.verify_calls set asked_at = asked_at - interval '15 seconds'`;
    assert.equal(await secret(), "failed", "pg_net would have given up by then");
    await sql`update scheduler.verify_calls set asked_at = asked_at - interval '1 minute'`;
    assert.equal(await secret(), "asked", "an old question is asked anew");
  },
);
