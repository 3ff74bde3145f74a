// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { backgroundWorkers } from "../../local/background-workers.ts";
import { bootstrapDatabase } from "../../local/bootstrap.ts";
import { preparePostgres } from "../../local/postgres.ts";
import { withHttpServer } from "../support/http-server.ts";
import { makeServerDirectory } from "../support/server-directory.ts";
import { waitUntil } from "../support/wait-until.ts";

/** A server of its own with the stand-ins and their workers, which fire by themselves. */
async function withWorkers(fn: (admin: Sql) => Promise<void>): Promise<void> {
  const directory = await makeServerDirectory("daybook-stand-ins-");
  const server = await preparePostgres({
    dataDirectory: join(directory, "data"),
    port: 0,
    adminPassword: crypto.randomUUID(),
    postgresBin: Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN"),
    pgCron: false,
    settings: { fsync: "off" },
  });
  try {
    await server.start();
    const admin = postgres(server.adminUrl(), { max: 2, onnotice: () => {}, fetch_types: false });
    const standIns = await bootstrapDatabase(admin, { realExtensions: false });
    const workers = backgroundWorkers(server.adminUrl(), standIns, true, () => {});
    await workers.start();
    try {
      await fn(admin);
    } finally {
      await workers.stop();
      await admin.end({ timeout: 1 });
    }
  } finally {
    await server.stop();
    await Deno.remove(directory, { recursive: true });
  }
}

async function worker(admin: Sql, name: string): Promise<number> {
  const row = await waitUntil(
    name,
    async () => (await admin`select pid from pg_stat_activity where application_name = ${name}`)[0],
  );
  return row.pid;
}

const answer = (admin: Sql, id: string) =>
  waitUntil(
    `the answer to ${id}`,
    async () => (await admin`select * from net._http_response where id = ${id}`)[0],
  );

/** The run of the job below that is under way and is later than `runId`. */
const running = (admin: Sql, runId = "0") =>
  waitUntil(
    "a run to begin",
    async () =>
      (await admin`
      select * from cron.job_run_details
      where command = 'select pg_sleep(60)' and status = 'running' and runid > ${runId}`)[0],
    30_000,
  );

Deno.test("kill -9 of pg_net's worker restarts the server, empties its tables and leaves runs without an end", () =>
  withHttpServer(() => ({ status: 200 }), ({ url }) =>
    withWorkers(async (admin) => {
      const post = async () => (await admin`select net.http_post(${url}) as id`)[0]!.id;
      assert.equal(await post(), "1");
      await answer(admin, "1");
      await admin`select cron.schedule('long', '1 second', 'select pg_sleep(60)')`;
      await admin`insert into cron.job_run_details (jobid, status) values (0, 'sending')`;
      const cut = await running(admin);
      await admin`create unlogged table kept as select 1`;

      Deno.kill(await worker(admin, "pg_net"), "SIGKILL");
      await waitUntil("the server to have restarted", async () =>
        (await admin`select count(*)::int as rows from kept`.catch(() => []))[0]?.rows === 0);

      assert.equal((await admin`select from net._http_response`).length, 0);
      assert.equal(await post(), "1");
      assert.equal((await answer(admin, "1")).status_code, 200);
      await running(admin, cut.runid);
      const [run] = await admin`select * from cron.job_run_details where runid = ${cut.runid}`;
      assert.deepEqual([run!.status, run!.return_message], ["failed", "server restarted"]);
      assert.deepEqual([run!.start_time, run!.end_time], [cut.start_time, null]);
      const [sending] = await admin`select * from cron.job_run_details where jobid = 0`;
      assert.deepEqual([sending!.status, sending!.return_message], ["sending", null]);
    })));

Deno.test("a pg_cron worker that is terminated comes back, and what it ran has failed without an end", () =>
  withWorkers(async (admin) => {
    await admin`select cron.schedule('long', '1 second', 'select pg_sleep(60)')`;
    const cut = await running(admin);
    const former = await admin`
      select pid from pg_stat_activity
      where application_name = 'pg_cron scheduler' and query not ilike 'listen%'`;
    await admin`select pg_terminate_backend(${former[0]!.pid})`;
    await running(admin, cut.runid);
    const [run] = await admin`select * from cron.job_run_details where runid = ${cut.runid}`;
    assert.deepEqual([run!.status, run!.return_message, run!.end_time], [
      "failed",
      "server restarted",
      null,
    ]);
  }));
