import assert from "node:assert/strict";
import {
  createCronWorker,
  type CronWorker,
  type CronWorkerOptions,
} from "../../../local/cron-worker.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { waitUntil } from "../../support/wait-until.ts";
import { assertQuick } from "../../support/assert-quick.ts";

type WorkerOptions = Omit<CronWorkerOptions, "adminUrl">;

/** A worker that has just seen 12:00:30 and is told the time by the test. */
async function withWorker(
  fn: (worker: CronWorker, db: TestDatabase) => Promise<void>,
  options: WorkerOptions = {},
): Promise<void> {
  await withDatabase(async (db) => {
    const adminUrl = new URL(db.url);
    adminUrl.username = "supabase_admin";
    const worker = await createCronWorker({
      adminUrl: adminUrl.href,
      now: () => at("12:00:30"),
      ...options,
    });
    try {
      await fn(worker, db);
    } finally {
      await worker.stop();
    }
  }, { packs: "none" });
}

const at = (time: string) => new Date(`2026-11-21T${time}Z`);

Deno.test("a due command runs once, as its owner, and leaves its row", () =>
  withWorker(async (worker, { sql, name }) => {
    await sql`create table public.said (who text, session text)`;
    await sql`
      select cron.schedule('say', '1 12 * * *',
        'insert into public.said values (current_user, session_user)')`;
    await worker.tick(at("12:01:00"));
    await worker.tick(at("12:01:40"));
    await worker.tick(at("12:02:00"));
    assert.deepEqual([...await sql`select * from public.said`], [
      { who: "postgres", session: "postgres" },
    ]);
    const [run] = await sql`select * from cron.job_run_details`;
    assert.equal(run!.status, "succeeded");
    assert.equal(run!.return_message, "INSERT 1");
    assert.equal(run!.username, "postgres");
    assert.equal(run!.database, name);
    assert.ok(run!.job_pid > 0 && run!.start_time <= run!.end_time);
  }));

Deno.test("a query that succeeds leaves its number of rows, one that fails its message", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('good', '* * * * *', 'select generate_series(1, 3)')`;
    await sql`select cron.schedule('bad', '* * * * *', 'select 1 / 0')`;
    await worker.tick(at("12:01:00"));
    const runs = await sql`select status, return_message from cron.job_run_details order by status`;
    assert.deepEqual([...runs], [
      { status: "failed", return_message: "ERROR:  division by zero\n" },
      { status: "succeeded", return_message: "3 rows" },
    ]);
  }));

Deno.test("an inactive job, another minute's job and another database's job do not run", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.alter_job(cron.schedule('off', '* * * * *', 'select 1'), active := false)`;
    await sql`select cron.schedule('later', '2 * * * *', 'select 1')`;
    await sql`select cron.schedule_in_database('elsewhere', '* * * * *', 'select 1', 'postgres')`;
    await worker.tick(at("12:01:00"));
    assert.equal((await sql`select * from cron.job_run_details`).length, 0);
  }));

Deno.test("up to 5 minutes slept through are run, after more only what has a fixed time", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('each', '* * * * *', 'select 1')`;
    await sql`select cron.schedule('fixed', '8 12 * * *', 'select 2')`;
    const runs = async () => {
      const rows = await sql`
        select command, count(*)::integer from cron.job_run_details group by 1 order by 1`;
      return rows.map((row) => row.count);
    };
    await worker.tick(at("12:05:00"));
    assert.deepEqual(await runs(), [5]);
    await worker.tick(at("12:15:00"));
    assert.deepEqual(await runs(), [6, 1]);
    // A clock that was set ahead by hours, then back a little.
    await worker.tick(at("18:00:00"));
    assert.deepEqual(await runs(), [7, 1]);
    await worker.tick(at("17:30:00"));
    assert.deepEqual(await runs(), [7, 1]);
  }));

Deno.test("one job runs one at a time, two jobs run side by side", () =>
  withWorker(async (worker, { sql }) => {
    await sql`create table public.spans (job text, began timestamptz, ended timestamptz)`;
    for (const job of ["a", "b"]) {
      await sql`select cron.schedule(${job}, '* * * * *',
        ${`insert into public.spans select '${job}', clock_timestamp() from pg_sleep(0.2)`})`;
    }
    await worker.tick(at("12:02:00"));
    const overlaps = await sql`
      select one.jobid = other.jobid as same, count(*)::integer
      from cron.job_run_details as one
      join cron.job_run_details as other on one.runid < other.runid
        and one.start_time < other.end_time and other.start_time < one.end_time
      group by 1`;
    assert.ok(!overlaps.some((row) => row.same), "a job overlapped itself");
    assert.ok(overlaps.some((row) => !row.same), "two jobs waited for each other");
  }));

Deno.test("after a crash starting and running rows have failed, without a time; the others stay", () =>
  withWorker(async (_, { sql, admin, url }) => {
    await admin`
      insert into cron.job_run_details (jobid, username, status, start_time, return_message) values
        (1, 'postgres', 'starting', null, null), (2, 'postgres', 'connecting', null, null),
        (3, 'postgres', 'sending', null, null), (4, 'postgres', 'running', '2026-11-21', null),
        (5, 'postgres', 'succeeded', '2026-11-21', '1 row')`;
    const adminUrl = new URL(url);
    adminUrl.username = "supabase_admin";
    await (await createCronWorker({ adminUrl: adminUrl.href })).stop();
    const runs = await sql`
      select status, return_message, start_time is not null as began, end_time
      from cron.job_run_details order by jobid`;
    const row = (status: string, message: string | null, began: boolean) => ({
      status,
      return_message: message,
      began,
      end_time: null,
    });
    assert.deepEqual([...runs], [
      row("failed", "server restarted", false),
      row("connecting", null, false),
      row("sending", null, false),
      row("failed", "server restarted", true),
      row("succeeded", "1 row", true),
    ]);
  }));

Deno.test("a run that is cut off leaves its row without an end, as a crash does", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('long', '* * * * *', 'select pg_sleep(60)')`;
    const tick = worker.tick(at("12:01:00"));
    await waitUntil("the run to begin", async () => await runningJobs(sql) === 1);
    await worker.stop();
    await tick;
    const [row] = await sql`select status, start_time, end_time from cron.job_run_details`;
    assert.equal(row!.status, "running");
    assert.ok(row!.start_time !== null && row!.end_time === null);
  }));

Deno.test("the entries of a minute start together, in an order that is never promised", () =>
  withWorker(async (worker, { sql }) => {
    const names = ["a", "b", "c", "d", "e", "f"];
    // Each waits for all the others to be under way.
    await sql`create table public.here (job text)`;
    for (const name of names) {
      await sql`select cron.schedule(${name}, '* * * * *', ${waiting(name)})`;
    }
    const orders = new Set<string>();
    for (const time of ["12:01:00", "12:02:00", "12:03:00", "12:04:00"]) {
      await sql`truncate public.here`;
      await worker.tick(at(time));
      const runs = await sql`
        delete from cron.job_run_details
        returning status, runid, (select jobname from cron.job where job.jobid = job_run_details.jobid)`;
      assert.deepEqual(runs.map((run) => run.status), names.map(() => "succeeded"));
      orders.add(
        [...runs].sort((a, b) => Number(a.runid) - Number(b.runid)).map((run) => run.jobname)
          .join(),
      );
    }
    // Four times the same of 720 orders: once in 373 million.
    assert.ok(orders.size > 1, `always ${[...orders]}`);
  }));

/** Says that the job is here, and returns when six are. */
function waiting(name: string): string {
  return `do $$ begin
    insert into public.here values ('${name}'); commit;
    for i in 1..500 loop
      exit when (select count(*) = 6 from public.here);
      perform pg_sleep(0.01);
      if i = 500 then raise exception 'nobody else came'; end if;
    end loop;
  end $$`;
}

Deno.test("a test can hand in the order in which the entries of a minute start", () =>
  withWorker(async (worker, { sql }) => {
    for (const name of ["a", "b", "pulse"]) {
      await sql`select cron.schedule(${name}, '* * * * *', 'select 1')`;
    }
    await worker.tick(at("12:01:00"));
    const runs = await sql`
      select jobname from cron.job_run_details join cron.job using (jobid) order by runid`;
    assert.deepEqual(runs.map((run) => run.jobname), ["pulse", "b", "a"]);
  }, { order: (jobs) => jobs.toSorted((a, b) => a.jobname! < b.jobname! ? 1 : -1) }));

/** A clock that the test sets, and a tick at the moment it shows. */
function handClock() {
  let time = at("12:00:30");
  return {
    now: () => time,
    tick: (worker: CronWorker, to: string) => worker.tick(time = at(to)),
    set: (to: string) => time = at(to),
  };
}

const runningJobs = async (sql: TestDatabase["sql"]): Promise<number> =>
  (await sql`select from cron.job_run_details where status = 'running'`).length;

const finishedRuns = async (sql: TestDatabase["sql"]): Promise<number> =>
  (await sql`select from cron.job_run_details where status = 'succeeded'`).length;

Deno.test("an entry with seconds first starts a period after it was seen, then a period after each start", () => {
  const clock = handClock();
  return withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('often', '10 seconds', 'select 1')`;
    const runsAt: [string, number][] = [
      ["12:00:33", 0],
      ["12:00:40", 0],
      ["12:00:43", 1],
      ["12:00:52", 1],
      // It is late by 4 seconds; there is no grid to go back to, and nothing to make up for.
      ["12:00:57", 2],
      ["12:01:06", 2],
      ["12:01:07", 3],
      ["12:03:00", 4],
      ["12:03:09", 4],
      ["12:03:10", 5],
    ];
    for (const [time, runs] of runsAt) {
      await clock.tick(worker, time);
      assert.equal(await finishedRuns(sql), runs, time);
    }
  }, clock);
});

Deno.test("a run that is longer than its period is followed by one as it ends, never by two", () => {
  const clock = handClock();
  return withWorker(async (worker, { sql, admin }) => {
    await sql`create table public.gate (open boolean)`;
    await sql`select cron.schedule('slow', '5 seconds', 'update public.gate set open = open')`;
    await sql`select cron.schedule('marker', '1 12 * * *', 'select')`;
    await clock.tick(worker, "12:00:31");
    const ticks: Promise<void>[] = [];
    await admin.begin(async (locking) => {
      await locking`lock table public.gate`;
      ticks.push(clock.tick(worker, "12:00:36"));
      await waitUntil("the run to begin", async () => await runningJobs(sql) === 1);
      for (const time of ["12:00:40", "12:00:41", "12:00:46", "12:01:00"]) {
        ticks.push(clock.tick(worker, time));
      }
      await waitUntil("the last tick's own entry", async () => await finishedRuns(sql) === 1);
      clock.set("12:01:03");
    });
    await Promise.all(ticks);
    // The one that was due meanwhile began at 12:01:03, as the first ended: the next is due at 12:01:08.
    assert.equal(await finishedRuns(sql), 1 + 2);
    await clock.tick(worker, "12:01:07");
    assert.equal(await finishedRuns(sql), 1 + 2);
    await clock.tick(worker, "12:01:08");
    assert.equal(await finishedRuns(sql), 1 + 3);
    const overlaps = await sql`
      select from cron.job_run_details as one
      join cron.job_run_details as other on one.jobid = other.jobid and one.runid < other.runid
        and other.start_time < one.end_time`;
    assert.equal(overlaps.length, 0, "two runs at once");
  }, clock);
});

Deno.test("entries with seconds run beside those of a minute: every 10 seconds for 80 are 8 runs", () => {
  const clock = handClock();
  return withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('often', '10 seconds', 'select 1')`;
    await sql`select cron.schedule('minutely', '* * * * *', 'select 2')`;
    await clock.tick(worker, "12:00:30");
    for (let second = 31; second <= 110; second++) {
      await clock.tick(
        worker,
        `12:0${Math.floor(second / 60)}:${String(second % 60).padStart(2, "0")}`,
      );
    }
    const runs = await sql`
      select command, count(*)::int from cron.job_run_details group by 1 order by 1`;
    assert.deepEqual([...runs], [{ command: "select 1", count: 8 }, {
      command: "select 2",
      count: 1,
    }]);
  }, clock);
});

Deno.test("an entry with seconds that was off begins anew when it is on again", () => {
  const clock = handClock();
  return withWorker(async (worker, { sql }) => {
    const [made] = await sql`select cron.schedule('often', '10 seconds', 'select 1') as id`;
    await clock.tick(worker, "12:00:31");
    await sql`select cron.alter_job(${made!.id}, active := false)`;
    await clock.tick(worker, "12:00:41");
    await sql`select cron.alter_job(${made!.id}, active := true)`;
    await clock.tick(worker, "12:00:45");
    await clock.tick(worker, "12:00:54");
    assert.equal(await finishedRuns(sql), 0);
    await clock.tick(worker, "12:00:55");
    assert.equal(await finishedRuns(sql), 1);
  }, clock);
});

Deno.test("a worker left to itself hears of a new entry and starts it after its second, and again", async () => {
  await assertQuick("the slowest of three runs", 2_500, async () => {
    let slowest = 0;
    await withWorker(async (worker, { sql }) => {
      worker.start();
      await waitUntil("the worker to listen", async () =>
        (await sql`
        select from pg_stat_activity
        where application_name = 'pg_cron scheduler' and query ilike 'listen%'
          and datname = current_database()`).length === 1);
      await sql`select cron.schedule('often', '1 second', 'select 1')`;
      const [{ made }] = await sql`select clock_timestamp() as made` as [{ made: Date }];
      await waitUntil("three runs", async () => await finishedRuns(sql) >= 3);
      const runs = await sql`select start_time from cron.job_run_details order by runid limit 3`;
      const times = [made, ...runs.map((run) => run.start_time as Date)].map(Number);
      for (let run = 1; run <= 3; run++) {
        const passed = times[run]! - times[run - 1]!;
        assert.ok(passed >= 980, `run ${run} began after ${passed} ms`);
        slowest = Math.max(slowest, passed);
      }
    }, { now: () => new Date() });
    return slowest;
  });
});

Deno.test("a worker left to itself starts the entries of a minute just after it", () =>
  assertQuick("the start after the minute", 1_000, async () => {
    // From its start on its clock runs, with the minute 300 ms away.
    let ahead: number | undefined;
    let after = -1;
    await withWorker(async (worker, { sql }) => {
      await sql`select cron.schedule('minutely', '* * * * *', 'select 1')`;
      ahead = at("12:00:59.700").getTime() - Date.now();
      worker.start();
      await waitUntil("the run", async () => await finishedRuns(sql) === 1);
      const [run] = await sql`select start_time from cron.job_run_details`;
      after = (run!.start_time as Date).getTime() + ahead - at("12:01:00").getTime();
      assert.ok(after >= 0, `it began ${after} ms after the minute`);
    }, { now: () => ahead === undefined ? at("12:00:30") : new Date(Date.now() + ahead) });
    return after;
  }));
