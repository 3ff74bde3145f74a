// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { join } from "node:path";
import { readFiles } from "../../install/files.ts";
import { type CliProject, withCliProject } from "../support/cli-project.ts";
import { beatUntilIdle, fire } from "../support/faults.ts";
import { packagesOfAnyAge } from "../support/moments.ts";
import { run } from "../support/scheduler.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

/** What people have: names that packs of Daybook want, and others. */
const MINE = `
create table public.app_settings (key text primary key, value text);
create table public.tasks (id bigint primary key, title text not null);
insert into public.tasks values (1, 'mine');
select cron.schedule('system-health', '*/5 * * * *', 'select 1');
select cron.schedule('nightly', '0 3 * * *', 'select 2');
`;

Deno.test("a project of the Supabase CLI gets the core, runs a job of its own, gets devices, and loses all of it again", () =>
  withCliProject(async (project) => {
    await project.supabase(["functions", "new", "hello"]);
    await project.write("supabase/migrations/20260101000000_mine.sql", MINE);
    const config = await project.read("supabase/config.toml");
    const before = await readFiles(join(project.folder, "supabase"));

    await refuses(project, ["."], ["pg_cron entry system-health (20260101000000_mine.sql)"]);
    assert.deepEqual(await readFiles(join(project.folder, "supabase")), before);
    await project.write(
      "supabase/migrations/20260102000000_other_name.sql",
      "select cron.unschedule('system-health'); select cron.schedule('health', '*/5 * * * *', 'select 1');",
    );
    await refuses(project, [".", "--pack", "agents", "--pack", "ecosystem"], [
      "table app_settings (20260101000000_mine.sql)",
      "table tasks (20260101000000_mine.sql)",
    ]);
    await succeeds(project, "install", ["."], /write .*_daybook_scheduler_/);
    await succeeds(
      project,
      "new-job",
      ["send-letters", "--into", "."],
      /write .*_send_letters\.sql/,
    );

    await withStack({
      cron: false,
      functionsDirectories: [join(project.folder, "supabase/functions")],
      migrationsDirectory: join(project.folder, "supabase/migrations"),
    }, async (stack) => {
      await runsToItsEnd(stack);
      await testsPass(project, stack);

      // What only the database knows.
      const devices = [".", "--pack", "devices", "--db-url", stack.databaseUrl];
      await stack.sql`create view devices as select 1 as one`;
      await refuses(project, devices, ["view devices (in the database)"]);
      await stack.sql`drop view devices`;
      await succeeds(project, "install", devices, /_daybook_devices_/);
      await push(project, stack);
      assert.equal(await count(stack, "devices.unsummarized_stretches()") >= 0, true);
      await schedulesAreCode(project, stack);

      const refused = await project.daybook("uninstall", ["."]);
      assert.equal(refused.code, 1);
      assert.match(
        refused.stderr,
        /file supabase\/functions\/send-letters\/job\.ts, which imports /,
      );
      for (const path of ["send-letters", "tests"]) {
        await Deno.remove(join(project.folder, "supabase/functions", path), { recursive: true });
      }
      await succeeds(
        project,
        "uninstall",
        [".", "--drop-ledger"],
        /delete .*system-health\/job\.ts/,
      );
      await push(project, stack);
      const left = await stack.sql`
        select to_regnamespace('scheduler')::text as scheduler, to_regnamespace('devices')::text as devices,
          (select title from tasks) as task, (select count(*)::int from send_letters_items) as letters,
          (select string_agg(jobname, ' ' order by jobname) from cron.job) as entries`;
      assert.deepEqual([...left], [
        { scheduler: null, devices: null, task: "mine", letters: 3, entries: "health nightly" },
      ]);
    });
    // The section of the job stays its owner's, and so do the entries that they changed and added.
    const after = await readFiles(join(project.folder, "supabase"));
    const { $schema: _, ...schedules } = JSON.parse(after.get("schedules.json")!);
    assert.deepEqual(Object.keys(schedules).sort(), ["mine", "scheduler"]);
    assert.deepEqual(schedules.scheduler.map(({ name }: { name: string }) => name), [
      "system-health",
    ]);
    assert.match(after.get("config.toml")!, /^\[functions\.send-letters\]$/m);
    assert.ok(after.get("config.toml")!.startsWith(config.trimEnd()));
    for (const [path, text] of before) {
      if (path !== "config.toml") assert.equal(after.get(path), text, path);
    }
    assert.deepEqual([...after.keys()].filter((path) => path.includes("daybook.json")), []);
  }));

/** The own job does the items that are due, by the path that pg_cron takes. */
async function runsToItsEnd({ sql, apiUrl, keys }: Stack) {
  await sql`
    insert into send_letters_items (due_at) select now() + make_interval(hours => hours) from unnest(array[-1, -2, 1]) as hours`;
  await sql`notify pgrst, 'reload schema'`;
  await waitUntil("PostgREST to know the function", async () => {
    const response = await fetch(`${apiUrl}/rest/v1/`, { headers: { apikey: keys.secretKey } });
    return "/rpc/send_letters" in (await response.json()).paths;
  });
  const [made] = await sql`select scheduler.run_now('send-letters', 'ann') as id`;
  await beatUntilIdle(sql);
  const own = await run(sql, made!.id);
  assert.deepEqual([own.status, own.verdict], ["completed", "ok"], own.error_message);
  assert.deepEqual(own.result, { summary: "2 items done", items: 2 });
  const health = await run(
    sql,
    await fire(sql, "system-health").then(async (id) => (await beatUntilIdle(sql), id)),
  );
  assert.deepEqual([health.status, health.verdict], ["completed", "ok"], health.error_message);
}

/** The file is edited, its plan is applied, and the database follows; what new-job registered in SQL stays. */
async function schedulesAreCode(project: CliProject, { databaseUrl, sql }: Stack) {
  const call = (verb: string, ...args: string[]) =>
    project.daybook("daybook", [verb, "--db-url", databaseUrl, ...args]);
  const same = await call("plan");
  assert.equal(same.code, 0, same.stderr);
  assert.match(same.stdout, /^Left alone: send-letters \(registered in SQL\)$/m);

  const path = "supabase/schedules.json";
  const file = JSON.parse(await project.read(path));
  file.scheduler[0].schedule = "40 * * * *";
  file.mine = [{ name: "hello-daily", schedule: "@daily", target: "hello", receipt: "response" }];
  await project.write(path, JSON.stringify(file, null, 2));
  const plan = await call("plan");
  assert.equal(plan.code, 5, plan.stderr);
  const [, fingerprint] = / apply .*--plan ([0-9a-f]{12})/.exec(plan.stdout)!;
  const applied = await call(
    "apply",
    ...["--plan", fingerprint!, "--reason", "a test", "--author", "ann"],
  );
  assert.equal(applied.code, 0, applied.stderr);
  assert.equal((await call("plan")).code, 0);
  const jobs = await sql`
    select jobname, schedule from cron.job where jobname in ('system-health', 'hello-daily') order by 1`;
  assert.deepEqual([...jobs], [
    { jobname: "hello-daily", schedule: "0 0 * * *" },
    { jobname: "system-health", schedule: "40 * * * *" },
  ]);
}

/** The tests that new-job wrote, with the job's own deno.json, as it says. */
async function testsPass({ folder }: CliProject, { databaseUrl }: Stack) {
  const tests = "supabase/functions/tests/send-letters";
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "test",
        "-A",
        ...packagesOfAnyAge,
        "--config",
        "supabase/functions/send-letters/deno.json",
      ],
      ...[`${tests}_test.ts`, `${tests}_database_test.ts`],
    ],
    cwd: folder,
    env: { NO_COLOR: "1", DATABASE_URL: databaseUrl },
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
  assert.match(text, /ok \| 7 passed \| 0 failed/);
}

async function push(project: CliProject, { databaseUrl }: Stack) {
  await project.supabase(["db", "push", `--remote=${databaseUrl}`, "--yes"]);
}

async function count({ sql }: Stack, from: string): Promise<number> {
  const [row] = await sql.unsafe(`select count(*)::int as number from ${from}`);
  return row!.number;
}

async function refuses(project: CliProject, args: string[], named: string[]) {
  const { code, stderr } = await project.daybook("install", args);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /--move-aside/);
  const lines = stderr.split("\n").filter((line) => line.startsWith("  ")).map((line) =>
    line.trim()
  );
  assert.deepEqual(lines.sort(), named);
}

async function succeeds(project: CliProject, name: string, args: string[], said: RegExp) {
  const { code, stdout, stderr } = await project.daybook(name, args);
  assert.equal(code, 0, stderr);
  assert.match(stdout, said);
}
