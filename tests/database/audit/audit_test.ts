import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { daybook } from "../../support/command-line.ts";
import { withDatabase } from "../../support/database.ts";

const begin = new Date("2026-01-15T09:00:00Z");
const minutes = (count: number, seconds = 0) =>
  new Date(begin.getTime() + count * 60_000 + seconds * 1000);
const now = () => new Date("2026-01-15T12:00:00Z");

/** Made of parts, so that no scanner takes this file for a leak. */
const base64 = (value: object) => btoa(JSON.stringify(value)).replaceAll("=", "");
const serviceKey = [
  base64({ alg: "HS256", typ: "JWT" }),
  base64({ iss: "supabase", role: "service_role" }),
  "s".repeat(43),
].join(".");

const bearer = `jsonb_build_object('Authorization', 'Bearer ' || (
  select decrypted_secret from vault.decrypted_secrets where name = 'service_role_key'))`;
const call = (functionName: string, headers = bearer, timeout = "timeout_milliseconds := 60000") =>
  `select net.http_post(
  url := 'https://abc.supabase.co/functions/v1/${functionName}',
  headers := ${headers},
  body := '{}'::jsonb${timeout && `,\n  ${timeout}`}
) as request_id;`;

interface Report {
  score: number;
  unknown: string[];
  findings: {
    rule: string;
    certainty: string;
    title: string;
    evidence: string[];
    entries: { name: string; where: string }[];
  }[];
}

async function audit(url: string, args: string[] = []): Promise<Report> {
  const { stdout, stderr } = await daybook(["audit", "--db-url", url, "--json", ...args], { now });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

const brief = ({ findings }: Report) =>
  findings.map(({ rule, certainty, entries }) =>
    `${rule}, ${certainty}: ${entries.map(({ name }) => name).join(", ")}`
  );

async function schedule(sql: Sql, name: string, at: string, command: string): Promise<string> {
  const [row] = await sql`select cron.schedule(${name}, ${at}, ${command})::text as id`;
  return row!.id;
}

/** A run as pg_cron 1.6 writes it: it starts some 30 ms after the minute. */
async function ran(
  admin: Sql,
  id: string,
  at: Date,
  more: { status?: string; message?: string; ms?: number } = {},
): Promise<void> {
  const { status = "succeeded", message = "1 row", ms = 12 } = more;
  const start = new Date(at.getTime() + 30);
  await admin`
    insert into cron.job_run_details (jobid, job_pid, database, username, command, status, return_message, start_time, end_time)
    select jobid, 4711, database, username, command, ${status}, ${message}, ${start},
      ${new Date(start.getTime() + ms)}
    from cron.job where jobid = ${id}`;
}

/** An answer as pg_net 0.20 keeps it: its time is the begin of the batch, about a second after the run. */
async function answered(admin: Sql, at: Date, status: number | null, error: string | null = null) {
  await admin`
    insert into net._http_response (id, status_code, timed_out, error_msg, created)
    select coalesce(max(id), 0) + 1, ${status}, ${
    status === null && error!.startsWith("Timeout")
  }, ${error},
      ${new Date(at.getTime() + 1060)}
    from net._http_response`;
}

/** All that the role can see is changed by nobody else: two looks are equal where an audit changed nothing. */
async function everything(admin: Sql) {
  const [row] = await admin`
    select (select jsonb_agg(job order by jobid) from cron.job) as jobs,
      (select jsonb_agg(details order by runid) from cron.job_run_details as details) as runs,
      (select jsonb_agg(answer order by id) from net._http_response as answer) as answers`;
  return row;
}

Deno.test("the nine entries of the daily batch as pg_cron has them get what their audit found; nothing is changed", () =>
  withDatabase(async ({ sql, admin, url }) => {
    const list = await Deno.readTextFile(
      new URL("../../support/schedules/daily-batch-audited.tsv", import.meta.url),
    );
    const ids = new Map<string, string>();
    for (const line of list.split("\n").filter((line) => line !== "" && !line.startsWith("#"))) {
      const [name, at, , functionName] = line.split("\t") as [string, string, string, string];
      ids.set(name, await schedule(sql, name, at, call(functionName)));
    }
    assert.equal(ids.size, 9);
    // At :05 and :25 only the trigger of every 5 minutes fires: those answers are its own.
    for (const minute of [5, 25, 35, 55]) {
      await ran(admin, ids.get("daily-batch-trigger-every-5min")!, minutes(minute));
      await answered(admin, minutes(minute), 401);
    }
    // At :00 five fire, and as many answers come: whose is whose is not known.
    for (
      const name of [
        "daily-batch-trigger-resilient",
        "daily-batch-trigger-every-5min",
        "batch-reconciler-cleanup",
        "batch-reconciler-every-10min",
      ]
    ) {
      await ran(admin, ids.get(name)!, minutes(60));
      await answered(admin, minutes(60), 500);
    }
    const before = await everything(admin);
    const report = await audit(url, ["--works", "3-6@America/New_York"]);
    assert.deepEqual(await everything(admin), before);
    assert.deepEqual(brief(report), [
      "same-work-same-times, proven: daily-batch-midnight-edt, daily-batch-trigger-12am-est",
      "failed-answers, proven: daily-batch-trigger-every-5min",
      "shared-minutes, proven: daily-batch-trigger-resilient, daily-batch-trigger-every-5min, " +
      "batch-reconciler-cleanup, batch-reconciler-every-10min, daily-batch-midnight-edt, " +
      "daily-batch-midnight-est, daily-batch-trigger-12am-est, daily-scheduler-3am-edt, daily-scheduler-3am-est",
      "same-work-covered, proven: daily-batch-trigger-every-5min, daily-batch-trigger-resilient, " +
      "daily-batch-midnight-edt, daily-batch-midnight-est, daily-batch-trigger-12am-est, " +
      "daily-scheduler-3am-edt, daily-scheduler-3am-est",
      "idle-hours, proven: daily-batch-trigger-resilient, daily-batch-trigger-every-5min, " +
      "batch-reconciler-cleanup, batch-reconciler-every-10min",
      "idle-hours, proven: daily-batch-midnight-edt, daily-batch-midnight-est, daily-batch-trigger-12am-est",
      "same-work-covered, proven: batch-reconciler-every-10min, batch-reconciler-cleanup",
      "zone-pair, proven: daily-batch-midnight-edt, daily-batch-midnight-est",
      "zone-pair, proven: daily-scheduler-3am-edt, daily-scheduler-3am-est",
      "name-says-other-time, proven: daily-batch-midnight-edt",
      "name-says-other-time, proven: daily-batch-midnight-est",
      "idle-hours, proven: daily-scheduler-3am-edt",
      "utc-called-local, likely: daily-batch-trigger-12am-est",
      `unknown-answers, not knowable here: ${[...ids.keys()].join(", ")}`,
    ]);
    const of = (rule: string) => report.findings.find((finding) => finding.rule === rule)!;
    assert.equal(of("failed-answers").evidence[0], "4 × 401");
    assert.match(of("unknown-answers").title, /^What became of 4 of 8 runs/);
    assert.deepEqual(report.unknown, []);
  }, { packs: "none" }));

Deno.test("what a database itself shows is found: secrets, what is missing, failures, long runs, timeouts, growth", () =>
  withDatabase(async ({ sql, admin, url, name }) => {
    await sql`create table public.orders (id int)`;
    await sql`create function public.nightly() returns void language sql as ''`;
    await admin.unsafe(
      `alter database ${name} set app.settings.cron_secret = 'correct-horse-battery-1'`,
    );
    const good = await schedule(sql, "good", "1 3 * * *", "select public.nightly() from orders");
    await schedule(
      sql,
      "gone",
      "2 3 * * *",
      "select tidy_up(); delete from public.old_orders; delete from net.orders",
    );
    const long = await schedule(sql, "long", "*/5 * * * *", "delete from orders where id < 0");
    const failing = await schedule(sql, "failing", "3 3 * * *", "select 1 / id from orders");
    await schedule(
      sql,
      "plain",
      "4 3 * * *",
      call("plain", `'{"Authorization": "Bearer ${serviceKey}"}'`, ""),
    );
    const off = await schedule(sql, "off", "6 3 * * *", "select no_such_thing()");
    await sql`select cron.alter_job(${off}, active => false)`;
    await admin`create role ${admin(`gone_owner_${name.slice(5, 15)}`)}`;
    await admin`select cron.schedule_in_database('unowned', '7 3 * * *', 'select 1', ${name}, 'postgres')`;
    await admin`update cron.job set username = ${`gone_owner_${
      name.slice(5, 15)
    }`} where jobname = 'unowned'`;
    await ran(admin, good, minutes(-300 * 24 * 60));
    await ran(admin, long, minutes(0), { ms: 400_000 });
    await ran(admin, failing, minutes(0), {
      status: "failed",
      message: `ERROR:  bad ${serviceKey}\n`,
    });

    const adminUrl = new URL(url);
    adminUrl.username = "supabase_admin";
    const report = await audit(adminUrl.href);
    assert.deepEqual(brief(report), [
      "cannot-succeed, proven: gone, unowned",
      "secret-in-command, proven: plain",
      "failed-runs, proven: failing",
      "secret-in-settings, proven: ",
      "legacy-key, proven: plain",
      "short-timeout, proven: plain",
      "outlasts-interval, proven: long",
      "run-details-grow, proven: ",
    ]);
    const evidence = (rule: string) => report.findings.find((one) => one.rule === rule)!.evidence;
    assert.deepEqual(
      evidence("cannot-succeed").map((line) => line.replace(/^cron\.job \d+, /, "")),
      [
        "gone: there is no table public.old_orders, table net.orders and function tidy_up",
        `unowned: the role gone_owner_${name.slice(5, 15)} may not log in`,
      ],
    );
    assert.match(evidence("short-timeout")[0]!, /: 5000 ms, the default$/);
    assert.match(evidence("run-details-grow")[0]!, /kB, some 3 rows, the oldest 300 days old$/);
    assert.match(evidence("failed-runs")[0]!, /^1 × ERROR: {2}bad \[masked-\d+\]$/);
    const all = JSON.stringify(report);
    assert.ok(!all.includes(serviceKey) && !all.includes("correct-horse"), all);
    assert.deepEqual(report.unknown, []);
    await admin`drop role ${admin(`gone_owner_${name.slice(5, 15)}`)}`;
  }, { packs: "none" }));

Deno.test("a table that is missing or not readable is said, and the rest is audited", () =>
  withDatabase(async ({ admin, url, name }) => {
    const reader = `reader_${name.slice(5, 15)}`;
    await admin.unsafe(`create role ${reader} login password 'reads'`);
    try {
      await admin`grant usage on schema cron to ${admin(reader)}`;
      await admin`grant connect on database ${admin(name)} to ${admin(reader)}`;
      await admin`select cron.schedule('of postgres', '0 0 30 2 *', 'select 1')`;
      await admin`
        select cron.schedule_in_database('never', '0 0 31 2 *', 'select 1', ${name}, ${reader})`;
      await admin`drop extension pg_net cascade`;
      await admin`revoke select on cron.job_run_details from public`;
      const readerUrl = new URL(url);
      readerUrl.username = reader;
      readerUrl.password = "reads";
      const report = await audit(readerUrl.href);
      assert.deepEqual(brief(report), ["never-occurs, proven: never"]);
      assert.deepEqual(report.unknown, [
        `Entries of other roles: cron.job shows ${reader} its own alone.`,
        "What the size of cron.job_run_details would tell: permission denied for table job_run_details.",
        "What cron.job_run_details would tell: permission denied for table job_run_details.",
        'What net._http_response would tell: relation "net._http_response" does not exist.',
      ]);
    } finally {
      await admin`drop owned by ${admin(reader)}`;
      await admin`drop role ${admin(reader)}`;
    }
  }, { packs: "none" }));

Deno.test("a database without pg_cron is refused, and no password is shown", () =>
  withDatabase(async ({ admin, url }) => {
    await admin`drop extension pg_cron cascade`;
    const { password } = new URL(url);
    const { code, stderr } = await daybook(["audit", "--db-url", url], { now });
    assert.equal(code, 3);
    assert.match(
      stderr,
      /^Cannot read postgres:\/\/\S+: relation "cron.job" does not exist\nhint: /,
    );
    assert.ok(password !== "" && !stderr.includes(`:${password}@`));
  }, { packs: "none" }));

Deno.test("--watch ties answers to entries by the URL of the request, also those that fire together", () =>
  withDatabase(async ({ sql, admin, url }) => {
    // The database's clock is the real one; the command's is an hour behind, and moves on by what it pauses.
    let paused = 0;
    const now = () => new Date(Date.now() - 3_600_000 + paused);
    const start = new Date();
    const seconds = (count: number) => new Date(start.getTime() + count * 1000);
    const one = await schedule(sql, "one", "0 * * * *", call("one"));
    const two = await schedule(sql, "two", "0 * * * *", call("two"));
    await schedule(sql, "slow", "59 seconds", call("slow"));
    const queue = (id: number, functionName: string) =>
      admin`
        insert into net.http_request_queue (id, method, url, timeout_milliseconds)
        values (${id}, 'POST', ${`https://abc.supabase.co/functions/v1/${functionName}`}, 60000)`;
    const answer = async (id: number, status: number, at: Date) => {
      await admin`delete from net.http_request_queue where id = ${id}`;
      await admin`
        insert into net._http_response (id, status_code, timed_out, created) values (${id}, ${status}, false, ${at})`;
    };
    await schedule(sql, "quick", "58 seconds", call("quick"));
    // Before it watches: whose it is stays unknown, also where its id is given again after a crash.
    await answer(1, 500, seconds(-60));
    await queue(1, "one");
    // What happens between two looks, by the second of the watch in which it does.
    const events: Record<number, () => Promise<unknown>> = {
      1: async () => {
        await ran(admin, one, start);
        await ran(admin, two, start);
        await queue(3, "two");
        await queue(4, "slow");
        await queue(5, "quick");
        await queue(6, "unknown");
      },
      3: async () => {
        await answer(1, 200, seconds(1));
        await answer(3, 503, seconds(1));
      },
      // One batch comes together: which of the two took so long is not known.
      80: async () => {
        await answer(5, 200, seconds(2));
        await answer(6, 200, seconds(2));
      },
      90: () => answer(4, 200, seconds(3)),
    };
    const { stdout, stderr } = await daybook(
      ["audit", "--db-url", url, "--json", "--watch", "0.03"],
      {
        now,
        pause: async (ms) => {
          const before = Math.floor(paused / 1000);
          paused += ms;
          const second = Math.floor(paused / 1000);
          if (second > before) await events[second]?.();
        },
      },
    );
    assert.equal(stderr, "");
    assert.ok(paused > 90_000 && paused <= 108_000, `${paused}`);
    const report: Report = JSON.parse(stdout);
    assert.deepEqual(brief(report).filter((line) => !/^(shared|unknown)/.test(line)), [
      "failed-answers, likely: two",
      "outlasts-interval, proven: slow",
    ]);
    const { evidence } = report.findings.find(({ rule }) => rule === "outlasts-interval")!;
    // It was not there after 89 s, and its batch began after 3.
    assert.match(evidence[0]!, /^the longest took at least 1 min (2[5-9]|[345]\d) s, by --watch/);
  }, { packs: "none" }));

Deno.test("an audit cannot write, not even through a function that what it reads calls", () =>
  withDatabase(async ({ sql, admin, url }) => {
    await admin`drop extension pg_cron cascade`;
    await admin.unsafe(`
      create schema cron;
      create table public.written (at timestamptz);
      create function cron.trap() returns boolean language plpgsql as $$
      begin
        insert into public.written values (now());
        return true;
      end
      $$;
      create view cron.job as
        select 1 as jobid, 'x' as jobname, '0 3 * * *' as schedule, 'select 1' as command, 'd' as database,
          'u' as username, true as active
        where cron.trap();
      grant usage on schema cron to postgres;
      grant all on all tables in schema cron, public to postgres;`);
    const { code, stderr } = await daybook(["audit", "--db-url", url], { now });
    assert.equal(code, 3);
    assert.match(stderr, /cannot execute INSERT in a read-only transaction/);
    assert.equal((await sql`select from public.written`).length, 0);
    await sql`select from cron.job`;
    assert.equal((await sql`select from public.written`).length, 1, "the trap works");
  }, { packs: "none" }));
