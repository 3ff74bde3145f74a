import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const bare = { packs: "none" } as const;

Deno.test("cron.schedule() stores an entry for the caller and gives its id", () =>
  withDatabase(async ({ sql, name }) => {
    const [made] = await sql`select cron.schedule('nightly', '10 3 * * *', 'vacuum') as id`;
    const [job] = await sql`select * from cron.job`;
    assert.deepEqual({ ...job, nodeport: 0 }, {
      jobid: made!.id,
      schedule: "10 3 * * *",
      command: "vacuum",
      nodename: "localhost",
      nodeport: 0,
      database: name,
      username: "postgres",
      active: true,
      jobname: "nightly",
    });
    await sql`select cron.schedule('* * * * *', 'select 1')`;
    const [unnamed] = await sql`select jobname from cron.job where schedule = '* * * * *'`;
    assert.equal(unnamed!.jobname, null);
  }, bare));

Deno.test("scheduling a name again keeps its id and leaves an inactive job inactive", () =>
  withDatabase(async ({ sql }) => {
    const [first] = await sql`select cron.schedule('job', '1 1 * * *', 'select 1') as id`;
    await sql`select cron.alter_job(${first!.id}, active := false)`;
    const [second] = await sql`select cron.schedule('job', '2 2 * * *', 'select 2') as id`;
    assert.equal(second!.id, first!.id);
    const jobs = await sql`select schedule, command, active from cron.job`;
    assert.deepEqual([...jobs], [{ schedule: "2 2 * * *", command: "select 2", active: false }]);
  }, bare));

Deno.test("cron.unschedule() removes an entry by id and by name, and raises for one not there", () =>
  withDatabase(async ({ sql }) => {
    const [made] = await sql`select cron.schedule('a', '* * * * *', 'select 1') as id`;
    await sql`select cron.schedule('b', '* * * * *', 'select 1')`;
    assert.equal((await sql`select cron.unschedule(${made!.id}::bigint) as gone`)[0]!.gone, true);
    assert.equal((await sql`select cron.unschedule('b') as gone`)[0]!.gone, true);
    assert.equal((await sql`select * from cron.job`).length, 0);
    await assert.rejects(sql`select cron.unschedule('b')`, {
      code: "XX000",
      message: "could not find valid entry for job 'b'",
    });
    await assert.rejects(sql`select cron.unschedule(${made!.id}::bigint)`, { code: "XX000" });
  }, bare));

Deno.test("a schedule that pg_cron cannot read is refused", () =>
  withDatabase(async ({ sql }) => {
    const refused = [
      ...["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *"],
      ...["* * * 13 *", "* * * 0 *", "* * * * 8", "*/0 * * * *", "a * * * *", "1, * * * *"],
      ...["1-2-3 * * * *", "@never", "60 seconds", "0 seconds", "* * * foo *"],
      ...["90 seconds", "10 second ", "10 seconds ago", "-1 seconds", "1.5 seconds"],
    ];
    for (const schedule of refused) {
      await assert.rejects(
        sql`select cron.schedule('job', ${schedule}, 'select 1')`,
        { code: "22023", message: `invalid schedule: ${schedule}` },
        schedule,
      );
    }
    const accepted = [
      ...["* * * * *", "*/5 0-6 1,15 jan-mar mon", "0 0 $ * *", "0 0 * * 7", "  1  2 3 4 5 "],
      ...["@hourly", "30 seconds", "1 second", "59seconds", "00-59/2 * * * *", "0 0 * DEC SUN"],
    ];
    for (const schedule of accepted) {
      await sql`select cron.schedule('job', ${schedule}, 'select 1')`;
    }
  }, bare));

Deno.test("cron.alter_job() changes what it is given and refuses what is not the caller's", () =>
  withDatabase(async ({ sql, admin }) => {
    const [mine] = await sql`select cron.schedule('mine', '* * * * *', 'select 1') as id`;
    const [other] = await admin`select cron.schedule('other', '* * * * *', 'select 1') as id`;
    await sql`select cron.alter_job(${mine!.id}, schedule := '5 * * * *')`;
    const [job] = await sql`select schedule, command from cron.job where jobname = 'mine'`;
    assert.deepEqual({ ...job }, { schedule: "5 * * * *", command: "select 1" });
    await assert.rejects(sql`select cron.alter_job(${other!.id}, active := false)`, {
      code: "XX000",
      message: `Job ${other!.id} does not exist or you don't own it`,
    });
    await assert.rejects(sql`select cron.alter_job(${mine!.id}, username := 'supabase_admin')`, {
      code: "42501",
    });
    await assert.rejects(sql`select cron.unschedule('other')`, { code: "XX000" });
  }, bare));

Deno.test("cron.schedule_in_database() needs a database the owner may connect to", () =>
  withDatabase(async ({ sql, name }) => {
    await sql`select cron.schedule_in_database('job', '* * * * *', 'select 1', ${name})`;
    assert.equal((await sql`select database from cron.job`)[0]!.database, name);
    await assert.rejects(
      sql`select cron.schedule_in_database('job', '* * * * *', 'select 1', 'nowhere')`,
      { code: "3D000" },
    );
  }, bare));

Deno.test("postgres has Supabase's rights: SELECT alone on cron.job, all on the run details", () =>
  withDatabase(async ({ sql, connect }) => {
    await sql`select cron.schedule('job', '* * * * *', 'select 1')`;
    const refused = { code: "42501" };
    await assert.rejects(sql`update cron.job set active = false`, refused);
    await assert.rejects(sql`delete from cron.job`, refused);
    await assert.rejects(sql`insert into cron.job (schedule, command) values ('', '')`, refused);
    for (const role of ["anon", "authenticated", "service_role"] as const) {
      await assert.rejects(connect(role)`select * from cron.job`, refused);
      await assert.rejects(connect(role)`select cron.schedule('* * * * *', 'select 1')`, refused);
    }
  }, bare));

Deno.test("every role that may use the schema deletes its own run details and no others", () =>
  withDatabase(async ({ sql, admin, connect }) => {
    await admin`
      insert into cron.job_run_details (jobid, username, status) values
        (1, 'authenticated', 'succeeded'), (2, 'postgres', 'succeeded'), (3, 'authenticated', 'sending')`;
    await admin`grant usage on schema cron to authenticated`;
    const authenticated = connect("authenticated");
    const seen = await authenticated`select jobid from cron.job_run_details order by jobid`;
    assert.deepEqual(seen.map((row) => row.jobid), ["1", "3"]);
    await authenticated`delete from cron.job_run_details`;
    await assert.rejects(authenticated`update cron.job_run_details set status = ''`, {
      code: "42501",
    });
    // postgres bypasses row security, so it sees and deletes the rows of every application.
    assert.equal((await sql`delete from cron.job_run_details`).count, 1);
  }, bare));

Deno.test("the stand-in's own functions make no caller a superuser", () =>
  withDatabase(async ({ sql }) => {
    await assert.rejects(
      sql`select cron._save(
        'supabase_admin', null, 'job', '* * * * *', 'alter role postgres superuser', null, null, true)`,
      { code: "42501" },
    );
    await assert.rejects(
      sql`select cron._save('postgres', null, 'job', '* * * * *', 'x', null, 'supabase_admin', true)`,
      { code: "42501" },
    );
    await assert.rejects(sql`select cron._remove('supabase_admin', 1, null)`, { code: "42501" });
  }, bare));
