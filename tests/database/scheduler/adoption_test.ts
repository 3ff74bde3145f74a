// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { waitUntil } from "../../support/wait-until.ts";

const post = "select net.http_post('https://api.example.com/''it''s \"quoted\"\\')";

interface Wanted {
  name: string | null;
  schedule: string;
  command: string;
  active?: boolean;
  job: string;
  job_is?: Record<string, string | null>;
  without?: [number, number][];
}

/** The list that `adopt_entries` takes. */
function listOf(entries: Wanted[], username = "postgres") {
  return entries.map(({ command, active = true, without = [], ...entry }) => {
    const letters = [...command];
    for (const [from, length] of without) letters.fill("", from - 1, from - 1 + length);
    const command_sha256 = createHash("sha256").update(letters.join("")).digest("hex");
    return { ...entry, active, without, username, command_sha256 };
  });
}

async function assertRefused(run: () => PromiseLike<unknown>, code: string, message: RegExp) {
  const error = await refusal(run());
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
}

const nightly = { name: "nightly", schedule: "0 3 * * *", command: post, job: "nightly" };

async function schedule(sql: Sql, { name, schedule, command, active = true }: Wanted) {
  const [row] = name === null
    ? await sql`select cron.schedule(${schedule}, ${command}) as id`
    : await sql`select cron.schedule(${name}, ${schedule}, ${command}) as id`;
  if (!active) await sql`select cron.alter_job(${row!.id}, active => false)`;
}

/** What a migration does, in one transaction as `supabase db push` does it. */
async function adopt(sql: Sql, entries: Wanted[], more: { mayBeMissing?: boolean } = {}) {
  return await sql.begin(async (sql) => {
    const [row] = await sql<{ adopted: boolean }[]>`
      select scheduler.adopt_entries(${sql.json(listOf(entries))}, ${
      more.mayBeMissing ?? false
    }) as adopted`;
    if (row!.adopted) {
      for (const job of new Set(entries.filter(({ job_is }) => !job_is).map(({ job }) => job))) {
        await sql`select scheduler.register_job(${job}, '0 3 * * *', target => 'some-function', receipt => 'response')`;
      }
      await sql`select scheduler.end_adoption()`;
    }
    return row!.adopted;
  });
}

const entriesOf = (sql: Sql) =>
  sql`select jobname, schedule, command, database, username, active from cron.job
    where command not like 'select scheduler.%' and jobname is distinct from 'scheduler-pulse' order by jobid`;

const jobsOf = async (sql: Sql) =>
  (await sql`select name from scheduler_jobs where target = 'some-function' order by 1`)
    .map(({ name }) => name);

Deno.test("adopted entries are gone and their job is there; undone, they are back as they were, and the job is gone", () =>
  withDatabase(async ({ sql }) => {
    const entries: Wanted[] = [
      nightly,
      {
        name: "Ünnamed 'job'\n;",
        schedule: "30 seconds",
        command: "select '\\', $$x$$ -- ☃",
        job: "nightly",
      },
      { name: null, schedule: "0 4 * * *", command: post, job: "other" },
      { name: null, schedule: "0 4 * * *", command: post, job: "other" },
      { name: "off", schedule: "@daily", command: post, active: false, job: "other" },
    ];
    for (const entry of entries) await schedule(sql, entry);
    await schedule(sql, { name: "mine", schedule: "0 5 * * *", command: "select 1", job: "" });
    const before = await entriesOf(sql);
    assert.equal(before.length, 6);

    assert.equal(await adopt(sql, entries), true);
    assert.deepEqual((await entriesOf(sql)).map(({ jobname }) => jobname), ["mine"]);
    assert.deepEqual(await jobsOf(sql), ["nightly", "other"]);
    assert.equal(
      (await sql`select command from cron.job where jobname = 'nightly'`)[0]!.command,
      "select scheduler.dispatch('nightly')",
    );

    const [undone] = await sql`select scheduler.undo_adoption() as count`;
    assert.equal(undone!.count, 5);
    const after = await entriesOf(sql);
    const sorted = (rows: object[]) => rows.map((row) => JSON.stringify(row)).sort();
    assert.deepEqual(sorted([...after]), sorted([...before]));
    assert.deepEqual(await jobsOf(sql), []);
    assert.deepEqual([...await sql`select from scheduler.adopted_entries`], []);
  }));

Deno.test("a second time adopting says that it is done, and undoing that there is nothing to put back", () =>
  withDatabase(async ({ sql, connect }) => {
    const said: string[] = [];
    const heard = connect("postgres", { onnotice: ({ message }) => said.push(message!) });
    await schedule(sql, nightly);
    assert.equal(await adopt(heard, [nightly]), true);
    await sql`select scheduler.register_job('nightly', '0 6 * * *', target => 'some-function')`;
    assert.equal(await adopt(heard, [nightly]), false);
    const [job] = await sql`select schedule from scheduler_jobs where name = 'nightly'`;
    assert.equal(job!.schedule, "0 6 * * *", "what a person changed since stays");

    const other = { ...nightly, job: "another-job" };
    assert.equal(await adopt(heard, [other]), false, "by another migration");

    await heard`select scheduler.undo_adoption('{nightly}')`;
    const [again] = await heard`select scheduler.undo_adoption('{nightly}') as count`;
    assert.equal(again!.count, 0);
    assert.equal((await entriesOf(sql)).length, 1);
    assert.deepEqual(said, [
      "already adopted: nightly",
      "already adopted: nightly",
      "nothing to put back: no entry is kept of nightly",
    ]);
    assert.equal(await adopt(heard, [nightly]), true, "it can be adopted anew");
  }));

for (
  const [what, change, said] of [
    [
      "has another schedule",
      "select cron.alter_job(jobid, schedule => '0 4 * * *')",
      /nightly was changed/,
    ],
    [
      "has another command",
      "select cron.alter_job(jobid, command => command || ' ')",
      /nightly was changed/,
    ],
    ["is switched off", "select cron.alter_job(jobid, active => false)", /nightly was changed/],
    ["is gone", "select cron.unschedule(jobid)", /nightly is gone/],
  ] as const
) {
  Deno.test(`nothing is adopted when an entry ${what}`, () =>
    withDatabase(async ({ sql }) => {
      const other = { ...nightly, name: "other" };
      await schedule(sql, nightly);
      await schedule(sql, other);
      await sql.unsafe(`${change} from cron.job where jobname = 'nightly'`);
      const before = await entriesOf(sql);
      await assertRefused(() => adopt(sql, [nightly, other]), "SD208", said);
      assert.deepEqual(await entriesOf(sql), before);
      assert.deepEqual(await jobsOf(sql), []);
    }));
}

Deno.test("an entry that is changed while its adoption waits is seen", () =>
  withDatabase(async ({ sql, connect }) => {
    await schedule(sql, nightly);
    const other = connect();
    const changed = Promise.withResolvers<void>();
    const commit = Promise.withResolvers<void>();
    const changing = other.begin(async (other) => {
      await other`select cron.alter_job(jobid, schedule => '0 9 * * *') from cron.job where jobname = 'nightly'`;
      changed.resolve();
      await commit.promise;
    });
    await changed.promise;
    const adopting = adopt(sql, [nightly]).catch((error) => error);
    const waits = async () => {
      const [row] = await sql`
        select exists (select from pg_locks where not granted and pid in (
          select pid from pg_stat_activity where datname = current_database())) as waits`;
      return row!.waits;
    };
    await waitUntil("the adoption to wait", waits);
    commit.resolve();
    await changing;
    assert.match(String((await adopting).message), /nightly was changed/);
    assert.equal((await entriesOf(sql)).length, 1);
  }));

Deno.test("of two that adopt or undo at once one does it, and the other finds it done", () =>
  withDatabase(async ({ sql, connect }) => {
    await schedule(sql, nightly);
    const before = await entriesOf(sql);
    const [one, other] = [connect(), connect()];
    const adopted = await Promise.all([one, other].map((sql) => adopt(sql, [nightly])));
    assert.deepEqual(adopted.sort(), [false, true]);
    assert.equal((await sql`select from scheduler.adopted_entries`).length, 1);
    const undone = await Promise.all(
      [one, other].map((sql) => sql`select scheduler.undo_adoption() as count`),
    );
    assert.deepEqual(undone.map(([row]) => row!.count).sort(), [0, 1]);
    assert.deepEqual(await entriesOf(sql), before);
  }));

Deno.test("undone after a person changed the job or took it out, the entries are back and the job is gone", () =>
  withDatabase(async ({ sql }) => {
    await schedule(sql, nightly);
    const before = await entriesOf(sql);
    for (
      const change of [
        "select scheduler.register_job('nightly', '5 5 * * *', target => 'some-function', enabled => false)",
        "select scheduler.unregister_job('nightly')",
      ]
    ) {
      await adopt(sql, [nightly]);
      await sql.unsafe(change);
      assert.equal((await sql`select scheduler.undo_adoption() as count`)[0]!.count, 1, change);
      assert.deepEqual(await entriesOf(sql), before, change);
      assert.deepEqual(await jobsOf(sql), [], change);
    }
  }));

Deno.test("a job that was registered since stops the adoption; so does one that was to stay and has other times", () =>
  withDatabase(async ({ sql }) => {
    await schedule(sql, { ...nightly, name: "old" });
    const old = { ...nightly, name: "old" };
    await sql`select scheduler.register_job('nightly', '5 3 * * *', target => 'some-function')`;
    await assertRefused(() => adopt(sql, [old]), "SD208", /there is a job nightly/);
    const stays = { ...old, job_is: { schedule: "0 3 * * *", time_zone: "UTC" } };
    await assertRefused(
      () => adopt(sql, [stays]),
      "SD208",
      /the job nightly was changed, or is off/,
    );
    await assertRefused(
      () => adopt(sql, [{ ...stays, job: "gone" }]),
      "SD208",
      /the job gone is gone/,
    );
    for (
      const was of [{ target: "other" }, { payload: '{"a": 1}' }, { run_if: "public.f" }, {
        paused_at: "2026-01-01",
      }]
    ) {
      const job_is = { schedule: "5 3 * * *", time_zone: "UTC", ...was };
      await assertRefused(() => adopt(sql, [{ ...old, job_is }]), "SD208", /nightly was changed/);
    }

    const job_is = { schedule: "5 3 * * *", time_zone: "UTC", payload: "{}", run_if: null };
    const right = { ...old, job_is };
    assert.equal(await adopt(sql, [right]), true);
    assert.equal((await entriesOf(sql)).length, 0);
    await sql`select scheduler.undo_adoption()`;
    assert.deepEqual(await jobsOf(sql), ["nightly"], "a job that was there before stays");
    assert.equal((await entriesOf(sql)).length, 1);
  }));

Deno.test("entries without a job in their place are not lost: the adoption is refused as a whole", () =>
  withDatabase(async ({ sql }) => {
    await schedule(sql, nightly);
    await assertRefused(
      () =>
        sql.begin(async (sql) => {
          await sql`select scheduler.adopt_entries(${sql.json(listOf([nightly]))})`;
          await sql`select scheduler.register_job('renamed', '0 3 * * *')`;
          await sql`select scheduler.end_adoption()`;
        }),
      "22023",
      /no job was registered in their place: nightly/,
    );
    assert.equal((await entriesOf(sql)).length, 1);
  }));

Deno.test("in a database that never had the entries the jobs are registered only where that is allowed", () =>
  withDatabase(async ({ sql }) => {
    await assertRefused(() => adopt(sql, [nightly]), "SD208", /nightly is gone/);
    assert.equal(await adopt(sql, [nightly], { mayBeMissing: true }), true);
    assert.deepEqual(await jobsOf(sql), ["nightly"]);
    await sql`select scheduler.unregister_job('nightly')`;
    await schedule(sql, { ...nightly, schedule: "0 9 * * *" });
    await assertRefused(
      () => adopt(sql, [nightly], { mayBeMissing: true }),
      "SD208",
      /was changed/,
    );
  }));

Deno.test("a secret in a command is no part of what is compared, and comes back with it", () =>
  withDatabase(async ({ sql }) => {
    const command = "select net.http_post('https://x.example', headers := '{\"a\": \"☃s3cret\"}')";
    const at = [...command].findIndex((letter) => letter === "☃") + 1;
    const entry = { ...nightly, command, without: [[at, 7]] as [number, number][] };
    await schedule(sql, { ...entry, command: command.replace("☃s3cret", "☃s4cret") });
    assert.equal(await adopt(sql, [entry]), true);
    await sql`select scheduler.undo_adoption()`;
    assert.match((await entriesOf(sql))[0]!.command, /☃s4cret/);
  }));

Deno.test("an entry is not put back over one that has its name now", () =>
  withDatabase(async ({ sql }) => {
    const old = { ...nightly, name: "old", job: "new" };
    await schedule(sql, old);
    await adopt(sql, [old]);
    await schedule(sql, { ...old, command: "select 'another'" });
    await assertRefused(
      () => sql`select scheduler.undo_adoption()`,
      "42710",
      /put back the entry old/,
    );
    assert.deepEqual(await jobsOf(sql), ["new"]);
    assert.equal((await entriesOf(sql))[0]!.command, "select 'another'");
  }));

Deno.test("entries of another role are neither adopted nor put back", () =>
  withDatabase(async ({ sql, admin }) => {
    await admin`select cron.schedule('theirs', '0 3 * * *', 'select 1')`;
    const list = listOf([{ ...nightly, name: "theirs" }], "supabase_admin");
    await assertRefused(
      () => sql`select scheduler.adopt_entries(${sql.json(list)})`,
      "42501",
      /those of supabase_admin, and this is run by postgres/,
    );
    await schedule(sql, nightly);
    await adopt(sql, [nightly]);
    await admin`update scheduler.adopted_entries set username = 'supabase_admin'`;
    await assertRefused(
      () => sql`select scheduler.undo_adoption()`,
      "42501",
      /those of supabase_admin/,
    );
    assert.deepEqual(await jobsOf(sql), ["nightly"]);
  }));

Deno.test("what is kept is nobody's to read, and can be forgotten; the audit log has no command", () =>
  withDatabase(async ({ sql, connect }) => {
    await schedule(sql, nightly);
    await adopt(sql, [nightly]);
    for (const role of ["anon", "authenticated", "service_role"] as const) {
      await assertRefused(
        () => connect(role)`select * from scheduler.adopted_entries`,
        "42501",
        /permission denied/,
      );
    }
    const [forgotten] = await sql`
      select scheduler.forget_adopted_entries('{nightly,unknown}', 'it works', 'ann') as count`;
    assert.equal(forgotten!.count, 1);
    assert.equal((await sql`select scheduler.forget_adopted_entries() as count`)[0]!.count, 0);
    assert.equal((await sql`select scheduler.undo_adoption() as count`)[0]!.count, 0);
    assert.deepEqual(await jobsOf(sql), ["nightly"]);
    const log = await sql`
      select author, verb, subject, reason, before from scheduler_audit where verb like '%adopt%' order by id`;
    assert.deepEqual(log.map((row) => ({ ...row })), [
      {
        author: "postgres",
        verb: "adopt_entry",
        subject: "nightly",
        reason: null,
        before: { entry: "nightly", schedule: "0 3 * * *" },
      },
      {
        author: "ann",
        verb: "forget_adopted_entries",
        subject: "nightly",
        reason: "it works",
        before: { entries: ["nightly"] },
      },
    ]);
  }));

Deno.test("entries change places in no second in which a minute begins", () =>
  withDatabase(async ({ sql }) => {
    const rows = await sql`
      select second, scheduler.seconds_to_quiet(timestamptz '2026-03-01 12:00+00' + make_interval(secs => second))::float
        as wait
      from unnest(array[0, 0.25, 1, 30, 58.9, 59, 59.5, 60]::float[]) as second`;
    assert.deepEqual(rows.map(({ second, wait }) => [second, wait]), [
      [0, 1],
      [0.25, 0.75],
      [1, 0],
      [30, 0],
      [58.9, 0],
      [59, 2],
      [59.5, 1.5],
      [60, 1],
    ]);
  }));

for (const what of ["adopting", "undoing"] as const) {
  Deno.test(`${what} waits for the quiet second last, when it has all locks`, () =>
    withDatabase(async ({ sql, connect }) => {
      await schedule(sql, nightly);
      if (what === "undoing") await adopt(sql, [nightly]);
      await sql.unsafe(`
        create or replace function scheduler.seconds_to_quiet(p_now timestamptz) returns numeric
        language sql immutable set search_path = '' as 'select 600.0'`);
      const acting = connect("postgres", { connection: { application_name: "acting" } });
      const ended =
        (what === "adopting" ? adopt(acting, [nightly]) : acting`select scheduler.undo_adoption()`)
          .catch((error: Error) => error.message);
      const sleeper = await waitUntil(
        "it to wait",
        async () =>
          (await sql`select pid from pg_stat_activity where application_name = 'acting' and wait_event = 'PgSleep'`)[
            0
          ],
      );
      const other = connect();
      await other`set lock_timeout = '50ms'`;
      await assertRefused(
        () =>
          what === "adopting"
            ? other`select cron.alter_job(jobid, active => false) from cron.job where jobname = 'nightly'`
            : other`select from scheduler_jobs where name = 'nightly' for update`,
        "55P03",
        /lock timeout/,
      );
      await sql`select pg_cancel_backend(${sleeper.pid})`;
      await ended;
      assert.equal((await jobsOf(sql)).length, what === "adopting" ? 0 : 1);
    }));
}

Deno.test("a job begins where its entries ended: what came due in the transaction is not its own", () =>
  withDatabase(async ({ sql }) => {
    await schedule(sql, nightly);
    const next = await sql.begin(async (sql) => {
      await sql`select scheduler.adopt_entries(${sql.json(listOf([nightly]))})`;
      await sql`select scheduler.register_job('nightly', '* * * * *', target => 'some-function')`;
      await sql`update scheduler_jobs set next_run_at = now() - interval '1 second' where name = 'nightly'`;
      await sql`select scheduler.end_adoption()`;
      const [row] =
        await sql`select next_run_at > clock_timestamp() as ahead from scheduler_jobs where name = 'nightly'`;
      return row!.ahead;
    });
    assert.equal(next, true);
  }));
