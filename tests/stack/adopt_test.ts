// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { fileURLToPath } from "node:url";
import { linesOf } from "../support/adopt.ts";
import { withCliProject } from "../support/cli-project.ts";
import { daybook } from "../support/command-line.ts";
import { withDatabase } from "../support/database.ts";
import { beatUntilIdle } from "../support/faults.ts";
import { runs } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const cause = ["--reason", "a test", "--author", "ann"];

const entriesOf = async (sql: Sql) =>
  (await sql`
    select jobname, schedule, command, database, username, active from cron.job
    where command !~ '^(select scheduler|do \\$beat\\$)' order by jobname`).map((row) => ({
    ...row,
  }));

async function adopt(databaseUrl: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daybook(["adopt", "--db-url", databaseUrl, ...args]);
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

Deno.test("pg_cron, real or stand-in, gives up entries that call a function for a job that calls it, and takes them back", () =>
  withStack({ cron: false }, async ({ sql, databaseUrl, apiUrl }) => {
    for (
      const [name, active] of [["old-echo", true], ["old echo too", true], ["off", false]] as const
    ) {
      const [row] =
        await sql`select cron.schedule(${name}, '*/10 4 * * 1', ${`select net.http_post('${apiUrl}/functions/v1/${
          active ? "echo" : "takes"
        }', body := '{"it''s": "\\"echo\\""}') -- ${name}`}) as id`;
      if (!active) await sql`select cron.alter_job(${row!.id}, active => false)`;
    }
    await sql`select cron.schedule('1 2 3 4 *', ${`select net.http_post('${apiUrl}/functions/v1/inbox')`})`;
    const before = await entriesOf(sql);

    await adopt(databaseUrl, ["--apply", ...cause]);
    await adopt(databaseUrl, ["off", "--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), []);
    const jobs =
      await sql`select name, cron_entry, enabled from scheduler_jobs where target in ('echo', 'inbox', 'takes') order by name`;
    assert.deepEqual(jobs.map((row) => Object.values(row).join(" ")), [
      "echo */10 4 * * 1 true",
      "inbox 1 2 3 4 * true",
      "off */10 4 * * 1 false",
    ]);
    await sql`update scheduler_jobs set next_run_at = date_trunc('milliseconds', now()) where name = 'echo'`;
    await sql`select scheduler.dispatch('echo')`;
    await beatUntilIdle(sql);
    const [run, ...more] = await runs(sql, "echo");
    assert.deepEqual([run!.status, run!.verdict, run!.response_status, more], [
      "completed",
      "ok",
      200,
      [],
    ]);

    await adopt(databaseUrl, ["--undo", "--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), before);
  }));

Deno.test("a command that is killed while it adopts or undoes leaves all of it done or none, and can be run again", () =>
  withStack({ cron: false }, async ({ sql, databaseUrl, apiUrl }) => {
    await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
    for (const [name, at, , target] of await linesOf("daily-batch-audited.tsv")) {
      await sql`select cron.schedule(${name!}, ${at!}, ${`select net.http_post('${apiUrl}/functions/v1/${target}')`})`;
    }
    const before = await entriesOf(sql);
    const waiting = async () =>
      (await sql`select pid from pg_stat_activity where application_name = 'daybook adopt' and wait_event = 'advisory'`)[
        0
      ];

    for (const [args, done] of [[[], 2], [["--undo"], 0]] as const) {
      const killed = async (ends: "killed" | "cancelled") => {
        await sql.begin(async (holder) => {
          // What registers waits for this, and with it the command.
          await holder`select pg_advisory_xact_lock(hashtextextended('daybook: registry', 0))`;
          const command = new Deno.Command(Deno.execPath(), {
            args: [
              "run",
              "-A",
              "--no-check",
              "cli/daybook.ts",
              "adopt",
              "--db-url",
              databaseUrl,
              ...args,
              "--apply",
              ...cause,
            ],
            cwd: fileURLToPath(new URL("../..", import.meta.url)),
            stdout: "null",
            stderr: "null",
          }).spawn();
          const backend = await waitUntil("the command to wait", waiting, 30_000);
          command.kill("SIGKILL");
          await command.status;
          if (ends === "cancelled") await holder`select pg_terminate_backend(${backend.pid})`;
        });
        await waitUntil(
          "the database to be done with it",
          async () => await waiting() === undefined,
        );
      };
      // Its connection breaks: nothing was done. It waits on: what it had sent is carried out, all of it.
      const [jobsBefore] = await sql`select count(*)::int from scheduler_jobs`;
      await killed("cancelled");
      const [jobs] = await sql`select count(*)::int from scheduler_jobs`;
      assert.equal(jobs!.count, jobsBefore!.count);
      await killed("killed");
      await waitUntil(
        "it to be carried out",
        async () => (await sql`select from scheduler_jobs`).length === done,
      );
      assert.deepEqual(await entriesOf(sql), done === 2 ? [] : before);
      const again = await adopt(databaseUrl, [...args, "--apply", ...cause]);
      assert.match(again, done === 2 ? /Already adopted/ : /No entry is kept/);
    }
  }));

Deno.test("the Supabase CLI pushes the migration of adopt after Daybook's own, and that of its undoing after it", () =>
  withCliProject((project) =>
    withDatabase(async ({ sql, url }) => {
      const push = () => project.supabase(["db", "push", `--remote=${url}`, "--yes"]);
      await sql`select cron.schedule('it''s $adopt$', '0 3 * * *', ${"select net.http_post('https://api.example.com/x', body := '{\"a\": \"it''s\"}') -- $adopt$ ;"})`;
      const before = await entriesOf(sql);
      const into = ["--into", project.folder];

      const without = await daybook(["adopt", "--db-url", url, ...into]);
      assert.deepEqual([without.code, /deno task install/.test(without.stderr)], [4, true]);
      const installed = await project.daybook("install", ["."]);
      assert.equal(installed.code, 0, installed.stderr);
      assert.match(
        await adopt(url, into),
        /Written: supabase\/migrations\/\d+_adopt_cron_entries\.sql/,
      );
      await push();
      assert.deepEqual(await entriesOf(sql), []);
      const [job] = await sql`select name, payload from scheduler_jobs where target like 'https:%'`;
      assert.deepEqual({ ...job }, { name: "it-s-adopt", payload: { a: "it's" } });

      assert.match(await adopt(url, ["--undo", ...into]), /Written: .*_undo_adoption\.sql/);
      await push();
      assert.deepEqual(await entriesOf(sql), before);
    }, { packs: "none" })
  ));
