// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { type CliProject, withCliProject } from "../../support/cli-project.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";

/** What only the database has. */
const HAND_MADE = `
create table public.scheduler_state (last_daily_run_key text);
insert into public.scheduler_state values ('2026-03-05');
create function public.try_mark_daily_run(p_today_key text) returns void language sql as
  'insert into public.scheduler_state values (p_today_key)';
`;

Deno.test("what a refused push says leads out, with the Supabase CLI, and everything gets its old name back later", () =>
  withCliProject((project) =>
    withDatabase(async (database) => {
      await database.sql.unsafe(HAND_MADE);
      await says(project, "install", ["."], /CRON_SECRET/);
      const refused = await push(project, database).then(() => "", ({ message }) => message);
      const [, args] =
        /^ERROR: .*try_mark_daily_run.*deno task install <project> (--pack \S+ --move-aside)/m
          .exec(refused)!;

      const aside = [".", ...args!.split(" "), "--db-url", database.url];
      const said = await says(project, "install", [...aside, "--dry-run"], /dry run/);
      assert.match(
        said,
        /^rename {2}table scheduler_state \(in the database\) becomes scheduler_state_before_daybook$/m,
      );
      assert.doesNotMatch(said, /warning|--db-url/);
      const next = await says(project, "install", aside, /supabase db push/);
      assert.doesNotMatch(next, /secret/i);
      await push(project, database);
      assert.deepEqual(await days(database, "scheduler_state"), ["2026-03-05"]);
      await says(project, "install", aside, /Nothing is to be done/);

      await says(project, "uninstall", ["."], /^stay {4}.*scheduler_state_before_daybook \(/m);
      await push(project, database);
      assert.deepEqual(await days(database, "scheduler_state_before_daybook"), ["2026-03-05"]);
      const [row] = await database.sql`select to_regprocedure('try_mark_daily_run(text)') as back`;
      assert.equal(row!.back, null);
      await says(project, "uninstall", [".", "--drop-ledger"], /delete {2}supabase\/daybook\.json/);
      await push(project, database);
      await database.sql`select try_mark_daily_run('2026-03-06')`;
      assert.deepEqual(await days(database, "scheduler_state"), ["2026-03-05", "2026-03-06"]);
    }, { packs: "none" })
  ));

async function days({ sql }: TestDatabase, table: string): Promise<string[]> {
  const rows = await sql`select last_daily_run_key from ${sql(table)} order by 1`;
  return rows.map((row) => row.last_daily_run_key);
}

async function push(project: CliProject, { url }: TestDatabase) {
  await project.supabase(["db", "push", `--remote=${url}`, "--yes"]);
}

async function says(project: CliProject, name: string, args: string[], said: RegExp) {
  const { code, stdout, stderr } = await project.daybook(name, args);
  assert.equal(code, 0, stderr);
  assert.match(stdout, said);
  return stdout;
}
