// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { daybook } from "../../support/command-line.ts";
import { linesOf } from "../../support/adopt.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { CRON_SECRET, dispatch, PROJECT_URL, setSecret } from "../../support/scheduler.ts";

const now = () => new Date("2026-01-15T12:00:00Z");
const cause = ["--reason", "a test", "--author", "ann"];
const works = ["--works", "3-6@America/New_York"];

const adopt = (url: string, args: string[]) =>
  daybook(["adopt", "--db-url", url, ...args], { now });

async function succeeds(url: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await adopt(url, args);
  assert.deepEqual([code, stderr], [0, ""], `${args.join(" ")}: ${stdout}`);
  return stdout;
}

/** Entries that are not Daybook's, in the columns that an undoing restores. */
async function entriesOf(sql: Sql) {
  const rows = await sql`
    select jobname, schedule, command, database, username, active from cron.job
    where command !~ '^(select scheduler|do \\$beat\\$)' order by jobname collate "C", username, schedule`;
  return rows.map((row) => ({ ...row }));
}

const schedule = (sql: Sql, name: string, at: string, command: string) =>
  sql`select cron.schedule(${name}, ${at}, ${command})`;

const call = (name: string, more = ", timeout_milliseconds := 60000") =>
  `select net.http_post(
  url := '${PROJECT_URL}/functions/v1/${name}', body := '{}'::jsonb${more}
) as request_id; -- it's "quoted"`;

/** A project with Daybook alone, its two secrets and no job. */
function withProject(fn: (database: TestDatabase) => Promise<void>) {
  return withDatabase(async (database) => {
    const { sql } = database;
    await setSecret(sql, "project_url", PROJECT_URL);
    await setSecret(sql, "cron_secret", CRON_SECRET);
    await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
    await fn(database);
  }, { packs: "core" });
}

async function scheduleDailyBatch(sql: Sql, url = PROJECT_URL) {
  for (const [name, at, , functionName] of await linesOf("daily-batch-audited.tsv")) {
    await schedule(sql, name!, at!, call(functionName!).replace(PROJECT_URL, url));
  }
}

Deno.test("the nine entries of the daily batch come out as two jobs, which dispatch; undone, the nine are back", () =>
  withProject(async ({ sql, url }) => {
    await scheduleDailyBatch(sql);
    const before = await entriesOf(sql);
    assert.equal(before.length, 9);

    const proposed = await succeeds(url, works);
    assert.match(proposed, /^2 jobs in the place of 9 entries of postgres:/);
    assert.match(proposed, /^daily-batch-trigger {2}\*\/15 3-5 \* \* \* America\/New_York$/m);
    assert.match(proposed, /^batch-reconciler {2}\*\/30 \* \* \* \* UTC$/m);
    assert.match(proposed, /are one local time\n? +as two entries, and both run \(zone-pair\)/);
    assert.match(proposed, /Nothing was changed\. --into/);
    assert.deepEqual(await entriesOf(sql), before);

    const applied = await succeeds(url, [...works, "--apply", ...cause]);
    assert.match(applied, /\nDone$/);
    assert.deepEqual(await entriesOf(sql), []);
    const jobs = await sql`
      select name, schedule, time_zone, receipt, timeout_seconds, max_attempts from scheduler_jobs order by name`;
    assert.deepEqual(jobs.map((row) => ({ ...row })), [
      {
        name: "batch-reconciler",
        schedule: "*/30 * * * *",
        time_zone: "UTC",
        receipt: "response",
        timeout_seconds: 60,
        max_attempts: 3,
      },
      {
        name: "daily-batch-trigger",
        schedule: "*/15 3-5 * * *",
        time_zone: "America/New_York",
        receipt: "response",
        timeout_seconds: 60,
        max_attempts: 3,
      },
    ]);
    for (const { name } of jobs) {
      const [due] = await sql`select next_run_at from scheduler_jobs where name = ${name}`;
      assert.ok(await dispatch(sql, name, due!.next_run_at), name);
    }
    const asked =
      await sql`select url, headers ->> 'x-cron-secret' as secret from net.http_request_queue order by url`;
    assert.deepEqual(asked.map((row) => ({ ...row })), [
      { url: `${PROJECT_URL}/functions/v1/batch-reconciler`, secret: CRON_SECRET },
      { url: `${PROJECT_URL}/functions/v1/daily-batch-trigger`, secret: CRON_SECRET },
    ]);

    assert.match(
      await succeeds(url, ["--apply", ...cause]),
      /^Nothing to adopt.*\n\nAlready adopted\n- /ms,
    );
    assert.match(
      await succeeds(url, ["daily-batch-midnight-edt", "--apply", ...cause]),
      /Already adopted\n- daily-batch-trigger, since .*daily-batch-midnight-edt/s,
    );

    const toUndo = await succeeds(url, ["--undo"]);
    assert.match(
      toUndo,
      /^Entries to put back, .*daily-batch-trigger, since .*Nothing was changed/s,
    );
    assert.match(await succeeds(url, ["--undo", "--apply", ...cause]), /\nDone$/);
    assert.deepEqual(await entriesOf(sql), before);
    assert.deepEqual([...await sql`select name from scheduler_jobs`], []);
    assert.match(await succeeds(url, ["--undo", "--apply", ...cause]), /No entry is kept/);
    const log =
      await sql`select distinct author, verb, reason from scheduler_audit where reason is not null order by verb`;
    assert.deepEqual(log.map((row) => ({ ...row })), [
      { author: "ann", verb: "adopt_entry", reason: "a test" },
      { author: "ann", verb: "undo_adoption", reason: "a test" },
    ]);
  }));

Deno.test("where Daybook's own batch is installed its jobs stay and take the place of the nine", () =>
  withDatabase(async ({ sql, url }) => {
    await setSecret(sql, "project_url", PROJECT_URL);
    await scheduleDailyBatch(sql);
    const before = await entriesOf(sql);
    const jobs = await sql`select * from scheduler_jobs order by name`;
    const text = await succeeds(url, [...works, "--apply", ...cause]);
    assert.match(
      text,
      /daily-batch-trigger {2}\*\/15 3-5 \* \* \* America\/New_York {2}\(registered, and stays/,
    );
    assert.match(text, /batch-reconciler {2}\*\/30 \* \* \* \* UTC {2}\(registered, and stays/);
    assert.match(text, /starts the same work at\s+these times, when its run_if batches\./);
    assert.deepEqual(await entriesOf(sql), []);
    assert.deepEqual(await sql`select * from scheduler_jobs order by name`, jobs);
    await succeeds(url, ["--undo", "--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), before);
    assert.deepEqual(await sql`select * from scheduler_jobs order by name`, jobs);
  }));

Deno.test("the migration is refused when an entry was changed after it was written", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await schedule(sql, "hourly", "0 * * * *", call("hourly"));
    const migration = await succeeds(url, ["--output", "-"]);
    await sql`select cron.alter_job(jobid, schedule => '0 4 * * *') from cron.job where jobname = 'nightly'`;
    const before = await entriesOf(sql);
    await assert.rejects(() => sql.unsafe(migration), /not as they were read: nightly was changed/);
    assert.deepEqual(await entriesOf(sql), before);
    await sql.unsafe(await succeeds(url, ["--output", "-"]));
    assert.deepEqual(await entriesOf(sql), []);
  }));

Deno.test("the migration is refused when the registered job that is to take the place was changed after it was written", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "old", "0 3 * * *", call("work"));
    const register = (more = "") =>
      sql.unsafe(
        `select scheduler.register_job('work', '0 * * * *'${more})`,
      );
    await register();
    const migration = await succeeds(url, ["--output", "-"]);
    assert.match(migration, /^-- work \(0 \* \* \* \* UTC, which is registered\)/m);
    for (
      const change of [
        ", payload => '{\"a\": 1}'",
        ", target => 'other'",
        ", secret_name => 'other'",
        ", time_zone => 'Europe/Berlin'",
        ", stretch_after => 3, stretch_at_most_seconds => 7200",
        ", enabled => false",
      ]
    ) {
      await register(change);
      await assert.rejects(
        () => sql.unsafe(migration),
        /the job work was changed, or is off/,
        change,
      );
      assert.equal((await entriesOf(sql)).length, 1);
    }
    await register();
    await sql.unsafe(migration);
    assert.deepEqual(await entriesOf(sql), []);
  }));

Deno.test("names in any form, equal names of two roles, quotes, seconds and inactive entries are adopted and put back", () =>
  withProject(async ({ sql, admin, url }) => {
    await schedule(sql, 'It\'s "odd" $adopt$; --\n☃', "@daily", call("odd"));
    await schedule(sql, "twin", "5 3 * * *", call("twin"));
    await admin`select cron.schedule('twin', '6 3 * * *', ${call("theirs")})`;
    await sql`select cron.schedule('7 3 * * *', ${call("unnamed")})`;
    await sql`select cron.schedule('8 3 * * *', ${call("unnamed-too", ", headers := '{}'")})`;
    await schedule(sql, "seconds", "30 seconds", call("seconds"));
    await schedule(sql, "last-day", "0 3 $ * *", call("last-day"));
    await schedule(sql, "off", "9 3 * * *", call("off"));
    await sql`select cron.alter_job(jobid, active => false) from cron.job where jobname = 'off'`;
    await sql`select scheduler.register_job('mine', '* * * * *')`;
    const before = await entriesOf(sql);
    assert.equal(before.length, 8);

    assert.match(
      await succeeds(url, ["twin", "--output", "-"]),
      /"name":"twin","schedule":"5 3 \* \* \*","username":"postgres"/,
    );
    const text = await succeeds(url, ["--apply", ...cause]);
    assert.match(text, /- twin \(cron\.job \d+\): it is an entry of the role supabase_admin/);
    assert.match(text, /- off \(cron\.job \d+\): it is switched off/);
    assert.match(text, /2 entries are Daybook's own\./);
    const named = await succeeds(url, ["off", "--apply", ...cause]);
    assert.match(named, /switched off/);
    assert.deepEqual((await entriesOf(sql)).map(({ username }) => username), ["supabase_admin"]);
    const jobs = await sql`select name, schedule, enabled from scheduler_jobs order by name`;
    assert.deepEqual(jobs.map((row) => Object.values(row).join(" ")), [
      "it-s-odd-adopt @daily true",
      "last-day 0 3 L * * true",
      "mine * * * * * true",
      "off 9 3 * * * false",
      "seconds 30 seconds true",
      "twin 5 3 * * * true",
      "unnamed 7 3 * * * true",
      "unnamed-too 8 3 * * * true",
    ]);

    assert.match(
      await succeeds(url, ["--undo", "twin", "off", "--apply", ...cause]),
      /to put back/,
    );
    assert.equal((await entriesOf(sql)).length, 3);
    await succeeds(url, ["--undo", "--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), before);
    assert.deepEqual((await sql`select name from scheduler_jobs`).map(({ name }) => name), [
      "mine",
    ]);
  }));

Deno.test("a body that Postgres's JSON refuses leaves its entry alone, and stops no other", () =>
  withProject(async ({ sql, url }) => {
    const bodies = { nul: '{"a": "\\u0000"}', half: '{"a": "\\ud800"}', huge: '{"a": 1e999999}' };
    for (const [name, body] of Object.entries(bodies)) {
      await schedule(sql, name, "0 3 * * *", call(name).replace("{}", body));
    }
    await schedule(sql, "twice", "0 3 * * *", call("twice").replace("{}", '{"a": 1, "a": 2}'));
    await schedule(
      sql,
      "LONG",
      "0 3 * * *",
      call("long").replace("{}", `{"a": "${"☃".repeat(100_000)}"}`),
    );
    const before = await entriesOf(sql);
    const text = await succeeds(url, ["--apply", ...cause]);
    assert.match(text, /- nul \(cron\.job \d+\): unsupported Unicode escape sequence/);
    assert.match(text, /- half \(cron\.job \d+\): invalid input syntax for type json/);
    assert.match(text, /- huge \(cron\.job \d+\): value overflows numeric format/);
    const jobs = await sql`
      select name, left(payload::text, 10) as payload, length(payload::text) as length from scheduler_jobs order by name`;
    assert.deepEqual(jobs.map((row) => Object.values(row).join(" ")), [
      'long {"a": "☃☃☃ 100009',
      'twice {"a": 2} 8',
    ]);
    await succeeds(url, ["--undo", "--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), before);
  }));

Deno.test("a secret in a command is in nothing that is printed or written, and comes back with the entry", () =>
  withProject(async ({ sql, url }) => {
    const secret = "hunter2-and-more";
    const headers = `, headers := '{"Authorization": "Bearer ${secret}"}'::jsonb`;
    await schedule(sql, "nightly", "0 3 * * *", call("nightly", headers));
    await sql`select scheduler.register_job('served', null)`;
    await schedule(
      sql,
      "served-too",
      "0 4 * * *",
      call("served", `, headers := '{"x-cron-secret": "${secret}", "apikey": "short"}'::jsonb`),
    );
    const before = await entriesOf(sql);
    const all: string[] = [];
    const run = async (args: string[]) => {
      const { stdout, stderr } = await adopt(url, args);
      all.push(stdout, stderr);
      return stdout;
    };
    assert.match(await run([]), /vault\.create_secret\('<the\s+secret>', 'nightly_token'\)/);
    const refused = await adopt(url, ["nightly", "--apply", ...cause]);
    assert.deepEqual([refused.code, (await entriesOf(sql)).length], [4, 2]);
    assert.match(refused.stderr, /Nothing was done: nightly cannot be adopted/);

    await sql`select vault.create_secret(${secret}, 'as_it_is_called')`;
    assert.match(await run([]), /secret as_it_is_called of Vault/);
    const migration = await run(["--output", "-"]);
    assert.match(migration, /secret_name => 'as_it_is_called'/);
    await run(["--json"]);
    await run(["--apply", ...cause]);
    assert.deepEqual(await entriesOf(sql), []);
    const [job] =
      await sql`select receipt, secret_name from scheduler_jobs where name = 'served-too'`;
    assert.deepEqual({ ...job }, { receipt: "function", secret_name: "cron_secret" });
    await run([]);
    await run(["--undo", "--json"]);
    await run(["--undo", "--apply", ...cause]);
    for (const text of all) assert.ok(!/hunter2|"short"/.test(text), text);
    assert.deepEqual(await entriesOf(sql), before);
  }));

Deno.test("a secret of a header that also stands in a body, a URL or a name is in no migration", () =>
  withProject(async ({ sql, url }) => {
    const secret = "hunter2-and-more";
    const headers = `, headers := '{"Authorization": "Bearer ${secret}"}'::jsonb`;
    await sql`select vault.create_secret(${secret}, 'token')`;
    await schedule(sql, "in-url", "0 3 * * *", call(`f/${secret}`, headers));
    await schedule(
      sql,
      "in-body",
      "0 3 * * *",
      call("f", headers).replace("{}", `{"a": "${secret}"}`),
    );
    await schedule(sql, `in-${secret}`, "0 3 * * *", call("f", headers));
    await schedule(sql, "of-another", "0 3 * * *", call(`g/${secret}`));
    await schedule(sql, "held", "0 3 * * *", call("g", headers));
    const text = (await succeeds(url, [])).replaceAll(/\s+/g, " ");
    assert.equal(
      text.match(/the secret of its headers also stands in its name, URL or body/g)?.length,
      3,
    );
    assert.match(text, /of-another \(cron\.job \d+\): a secret of another entry's headers stands/);
    const json = await succeeds(url, ["--output", "-"]);
    for (const shown of [text, json]) assert.ok(!shown.includes("hunter2"), shown);
    assert.match(json, /"name":"held"/);
  }));

Deno.test("with --json and --output - nothing but JSON and SQL is printed, also where there is nothing to do", () =>
  withProject(async ({ sql, url }) => {
    for (
      const [args, said] of [
        [["--output", "-"], /^Nothing to adopt in postgres:/],
        [["--undo", "--output", "-"], /^No entry is kept/],
      ] as const
    ) {
      const { code, stdout, stderr } = await adopt(url, [...args]);
      assert.deepEqual([code, stdout], [0, ""]);
      assert.match(stderr, said);
    }
    const nothing = await adopt(url, ["--undo", "--json"]);
    assert.deepEqual(JSON.parse(nothing.stdout), { jobs: [], entries: [] });
    assert.deepEqual(JSON.parse((await adopt(url, ["--json"])).stdout).jobs, []);

    await schedule(
      sql,
      "nightly",
      "0 3 * * *",
      call("nightly").replace("{}", '{"id": 12345678901234567890, "n": 1.50}'),
    );
    const { stdout } = await adopt(url, ["--json"]);
    assert.match(stdout, /"id": 12345678901234567890,\n\s+"n": 1\.50/);
    const applied = await adopt(url, ["--json", "--apply", ...cause]);
    assert.equal(JSON.parse(applied.stdout).jobs[0].name, "nightly");
    assert.equal(applied.stderr, "Done");
    const undone = await adopt(url, ["--undo", "--json", "--apply", ...cause]);
    assert.deepEqual(JSON.parse(undone.stdout).jobs, ["nightly"]);
  }));

Deno.test("a notice of the database's own is shown, and what was done is called done", () =>
  withProject(async ({ admin, sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await admin.unsafe(`
      create function public.speak() returns trigger language plpgsql as $$
      begin raise notice 'an entry is kept'; return null; end $$;
      create trigger speak after insert on scheduler.adopted_entries execute function public.speak()`);
    assert.match(await succeeds(url, ["--apply", ...cause]), /\nan entry is kept\n\nDone$/);
  }));

Deno.test("what is kept can be given up, by --forget --apply alone", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await succeeds(url, ["--apply", ...cause]);
    const { code, stderr } = await adopt(url, ["--forget"]);
    assert.deepEqual([code, /--forget is done in the database/.test(stderr)], [2, true]);
    assert.match(
      await succeeds(url, ["--forget", "--apply", ...cause]),
      /^Entries to forget, .*Done$/s,
    );
    assert.match(await succeeds(url, ["--undo"]), /No entry is kept/);
    assert.deepEqual((await sql`select name from scheduler_jobs`).map(({ name }) => name), [
      "nightly",
    ]);
  }));

Deno.test("without the secrets that Daybook sends nothing is carried out: no run could be sent", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await setSecret(sql, "cron_secret", "too-short");
    assert.match(await succeeds(url, []), /Vault has no cron_secret that could be used/);
    const { code, stderr } = await adopt(url, ["--apply", ...cause]);
    assert.deepEqual([code, /Vault has no cron_secret/.test(stderr)], [4, true]);
    assert.equal((await entriesOf(sql)).length, 1);
    await setSecret(sql, "cron_secret", CRON_SECRET);
    await succeeds(url, ["--apply", ...cause]);
  }));

Deno.test("without Daybook it proposes and writes, says how Daybook gets there, and carries nothing out", () =>
  withDatabase(async ({ sql, url }) => {
    await scheduleDailyBatch(sql, "https://abcdefghijabcdefghij.supabase.co");
    const text = await succeeds(url, works);
    assert.match(text, /^2 jobs in the place of 9 entries/);
    assert.match(text, /There is no Daybook in this database: deno task install <project>/);
    const refused = await adopt(url, [...works, "--apply", ...cause]);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /There is no Daybook in this database/);
    const migration = await succeeds(url, [...works, "--output", "-"]);
    await assert.rejects(() => sql.unsafe(migration), /there is no Daybook here, or an older one/);
    assert.equal((await entriesOf(sql)).length, 9);
  }, { packs: "none" }));

Deno.test("it asks for what it needs: names that are there, one way to write, why and who", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await schedule(sql, "other", "0 4 * * *", call("other"));
    for (
      const [args, message] of [
        [["nigthly"], /pg_cron has no entry 'nigthly'/],
        [["--keep", "none"], /pg_cron has no entry 'none'/],
        [["nightly", "--keep", "other"], /'other' is not among those that are named/],
        [["--apply"], /--reason must say why/],
        [["--apply", "--reason", "x"], /--author must say who acts/],
        [["--apply", "--output", "-"], /Cannot do --output and --apply at once/],
        [["--undo", "--forget", "--apply"], /Cannot do --undo and --forget at once/],
        [["--undo", "unknown"], /Nothing is kept of 'unknown'/],
        [["--works", "3-6"], /it must be hours and a zone/],
      ] as const
    ) {
      const { code, stderr } = await adopt(url, [...args]);
      assert.deepEqual([code, message.test(stderr)], [2, true], stderr);
    }
    const { code, stderr } = await daybook(["adopt", "--url", "https://x.supabase.co"]);
    assert.deepEqual([code, /no project over HTTP/.test(stderr)], [2, true], stderr);
    await schedule(sql, "sql", "0 5 * * *", "select 1");
    const kept = await adopt(url, ["--keep", "sql", "--apply", ...cause]);
    assert.deepEqual([kept.code, /sql cannot be adopted/.test(kept.stderr)], [4, true]);
    const nowhere = await daybook(["adopt"]);
    assert.deepEqual([nowhere.code, /needs the database/.test(nowhere.stderr)], [3, true]);
    assert.equal((await entriesOf(sql)).length, 3);
  }));

Deno.test("a database whose pg_cron reads another zone is refused", () =>
  withProject(async ({ admin, sql, url, name }) => {
    await admin.unsafe(`alter database ${name} set cron.timezone = 'Europe/Berlin'`);
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    const { code, stderr } = await adopt(url, []);
    assert.equal(code, 4);
    assert.match(stderr, /pg_cron reads its entries in Europe\/Berlin here/);
  }));

Deno.test("a schedule that Daybook refuses is left alone, with what it says", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await sql.unsafe(`
      create or replace function scheduler.compile_schedule(
        p_schedule text, p_time_zone text, p_from timestamptz default now()
      ) returns text
      language plpgsql as $$ begin raise exception using errcode = '22023', message = 'not this one'; end $$`);
    assert.match(await succeeds(url, []), /Left alone\n- nightly \(cron\.job \d+\): not this one/);
  }));

Deno.test("where Vault cannot be read that is said, and what needs no secret is adopted", () =>
  withProject(async ({ admin, sql, url }) => {
    await schedule(
      sql,
      "nightly",
      "0 3 * * *",
      "select net.http_post('https://api.example.com/x')",
    );
    await schedule(
      sql,
      "by-vault",
      "0 3 * * *",
      "select net.http_post((select decrypted_secret from vault.decrypted_secrets where name = 'project_url') || '/x')",
    );
    await admin`alter view vault.decrypted_secrets rename to renamed`;
    const text = await succeeds(url, []);
    assert.match(text, /Not knowable here: What Vault holds: relation .* does not exist/);
    assert.match(text, /^nightly {2}0 3 \* \* \* UTC/m);
    assert.match(text, /by-vault \(cron\.job \d+\): its URL begins with the project's/);
  }));

Deno.test("where the project has Daybook the migration goes there, once, and so does the undoing", () =>
  withProject(async ({ sql, url }) => {
    await schedule(sql, "nightly", "0 3 * * *", call("nightly"));
    await schedule(sql, "ours", "0 4 * * *", call("ours"));
    const before = await entriesOf(sql);
    const folder = await Deno.makeTempDir({ prefix: "daybook-adopt-" });
    const write = async (path: string, text: string) => {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    };
    const migrations = async () =>
      (await Array.fromAsync(Deno.readDir(`${folder}/supabase/migrations`), ({ name }) => name))
        .sort();
    try {
      await write("supabase/config.toml", "");
      const without = await adopt(url, ["--into", folder]);
      assert.equal(without.code, 4);
      assert.match(without.stderr, /has no Daybook\nhint: deno task install/);

      const manifest = { version: "0.11.0", packs: ["scheduler"], files: {}, migrations: {} };
      await write("supabase/daybook.json", JSON.stringify(manifest));
      await write("supabase/migrations/20990101000000_later.sql", "select 1;");
      await write(
        "supabase/functions/ours/index.ts",
        'import { serveJob } from "../_shared/daybook/job/serve-job.ts";',
      );
      assert.match(
        await succeeds(url, ["--into", folder]),
        /Written: supabase\/migrations\/20990101000003_adopt_cron_entries\.sql\. Next: supabase db push$/,
      );
      assert.match(await succeeds(url, ["--into", folder]), /Written already, and not applied yet/);
      assert.equal((await migrations()).length, 2);
      const text = await Deno.readTextFile(
        `${folder}/supabase/migrations/20990101000003_adopt_cron_entries.sql`,
      );
      await sql.begin((sql) => sql.unsafe(text));
      assert.deepEqual(await entriesOf(sql), []);
      const [job] = await sql`select receipt from scheduler_jobs where name = 'ours'`;
      assert.equal(job!.receipt, "function");

      await succeeds(url, ["--undo", "--into", folder]);
      const [, , undo] = await migrations();
      assert.equal(undo, "20990101000006_undo_adoption.sql");
      await sql.begin(async (sql) =>
        await sql.unsafe(await Deno.readTextFile(`${folder}/supabase/migrations/${undo}`))
      );
      assert.deepEqual(await entriesOf(sql), before);

      // Applied and undone, the same text is another migration.
      await sql`create schema supabase_migrations`;
      await sql`create table supabase_migrations.schema_migrations as select '20990101000003' as version`;
      assert.match(
        await succeeds(url, ["--into", folder]),
        /Written: .*20990101000009_adopt_cron_entries/,
      );
      const file = `${folder}/plain.sql`;
      assert.match(await succeeds(url, ["--output", file]), /Written: /);
      assert.match((await adopt(url, ["--output", file])).stderr, /it is there already/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }));
