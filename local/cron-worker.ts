/**
 * The background worker of the pg_cron stand-in: once a minute it runs the commands that are due, each in a
 * session of its own as the job's owner, and writes cron.job_run_details.
 */
import postgres, { type Sql } from "postgres";
import { isDue, isWildcard } from "./cron-schedule.ts";
import { within } from "./within.ts";

export interface CronWorkerOptions {
  /** URL of the database as a superuser. */
  adminUrl: string;
  now?(): Date;
  onError?(message: string): void;
}

export interface CronWorker {
  /** Runs what is due up to `now`; resolves when all of it has ended. */
  tick(now: Date): Promise<void>;
  /** Ticks at the start of every minute from here on. */
  start(): void;
  /** No further tick; what runs is cut off, as at a stop of the server. */
  stop(): Promise<void>;
}

interface Job {
  jobid: string;
  schedule: string;
  command: string;
  username: string;
}

const MINUTE_MS = 60_000;
const STOP_LIMIT_MS = 1000;
/** As pg_cron's `cron.max_running_jobs`. */
const MAX_RUNNING_JOBS = 32;
/** Up to here every minute that was slept through is run; the limits are pg_cron's. */
const CATCH_UP_MINUTES = 5;
/** Up to here entries at a fixed time are still run; beyond, the clock was set anew. */
const JUMP_MINUTES = 180;

/** Connects, and marks what a former worker left unfinished as failed. */
export async function createCronWorker(options: CronWorkerOptions): Promise<CronWorker> {
  const now = options.now ?? (() => new Date());
  const onError = options.onError ?? (() => {});
  const sql = postgres(options.adminUrl, {
    max: 2,
    onnotice: () => {},
    // What it would look up when it connects is not needed, and nobody could catch its failure.
    fetch_types: false,
    connection: { application_name: "pg_cron scheduler" },
  });
  const sessions = new Set<Sql>();
  const chains = new Map<string, Promise<void>>();
  const slots = createSlots(MAX_RUNNING_JOBS);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  // Kept in memory only: minutes that pass while no worker runs are not made up for.
  let lastMinute = minuteOf(now());

  await sql`
    update cron.job_run_details
    set status = 'failed', return_message = 'server restarted', end_time = now()
    where status in ('starting', 'running', 'sending', 'connecting')`;

  async function tick(at: Date) {
    const minute = minuteOf(at);
    const passed = minute - lastMinute;
    const from = lastMinute + 1;
    if (passed === 0 || passed < 0 && passed > -JUMP_MINUTES) return;
    lastMinute = minute;
    const jobs = await sql<Job[]>`
      select jobid, schedule, command, username from cron.job
      where active and database = current_database() order by jobid`;
    const runs = jobs.flatMap((job) =>
      Array.from({ length: countDue(job, from, minute) }, () => enqueue(job))
    );
    await Promise.all(runs);
  }

  function countDue(job: Job, from: number, to: number): number {
    const passed = to - from + 1;
    try {
      const due = (minute: number) => isDue(job.schedule, new Date(minute * MINUTE_MS)) ? 1 : 0;
      if (passed < 0 || passed >= JUMP_MINUTES) return due(to);
      if (passed > CATCH_UP_MINUTES && isWildcard(job.schedule)) return due(to);
      let count = 0;
      for (let minute = from; minute <= to; minute++) count += due(minute);
      return count;
    } catch (error) {
      onError(`job ${job.jobid}: ${error instanceof Error ? error.message : error}`);
      return 0;
    }
  }

  /** One run of a job at a time; the next waits for it. */
  function enqueue(job: Job): Promise<void> {
    const before = chains.get(job.jobid) ?? Promise.resolve();
    const run = before.then(() => slots(() => stopped ? Promise.resolve() : execute(job)))
      .catch((error) =>
        onError(`job ${job.jobid}: ${error instanceof Error ? error.message : error}`)
      );
    chains.set(job.jobid, run);
    return run;
  }

  async function execute(job: Job) {
    const [details] = await sql`
      insert into cron.job_run_details (jobid, database, username, command, status)
      values (${job.jobid}, current_database(), ${job.username}, ${job.command}, 'starting')
      returning runid`;
    const runId = details!.runid;
    const session = postgres(options.adminUrl, {
      max: 1,
      onnotice: () => {},
      fetch_types: false,
      connection: { application_name: "pg_cron" },
    });
    sessions.add(session);
    try {
      const [backend] = await session<{ pid: number }[]>`select pg_backend_pid() as pid`;
      await sql`
        update cron.job_run_details
        set status = 'running', job_pid = ${backend!.pid}, start_time = clock_timestamp()
        where runid = ${runId}`;
      await session`set session authorization ${session(job.username)}`;
      const result = await session.unsafe(job.command);
      await finish(runId, "succeeded", describe(result));
    } catch (error) {
      if (stopped) return;
      await finish(runId, "failed", `ERROR:  ${error instanceof Error ? error.message : error}\n`);
    } finally {
      sessions.delete(session);
      await session.end({ timeout: 1 });
    }
  }

  async function finish(runId: unknown, status: string, message: string) {
    await sql`
      update cron.job_run_details
      set status = ${status}, return_message = ${message}, end_time = clock_timestamp()
      where runid = ${runId as string}`;
  }

  function scheduleNext() {
    const time = now().getTime();
    timer = setTimeout(() => {
      tick(now()).catch((error) => onError(`pg_cron: ${error.message}`));
      scheduleNext();
    }, MINUTE_MS - time % MINUTE_MS + 5);
  }

  return {
    tick,
    start: scheduleNext,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.all([...sessions].map((session) => session.end({ timeout: 0 })));
      await sql.end({ timeout: 1 });
      // A query that was on its way when the server died may never be answered, not even with an error.
      await within(STOP_LIMIT_MS, Promise.allSettled(chains.values()));
    },
  };
}

/** What pg_cron keeps of a result: the rows of a query, else the command's tag. */
// deno-lint-ignore no-explicit-any
function describe(result: any): string {
  const last = Array.isArray(result) && Array.isArray(result[result.length - 1])
    ? result[result.length - 1]
    : result;
  if (last.columns?.length >= 0 && last.command === "SELECT") {
    return `${last.count} row${last.count === 1 ? "" : "s"}`;
  }
  return [last.command, last.count ?? undefined].filter((part) => part !== undefined).join(" ");
}

function minuteOf(date: Date): number {
  return Math.floor(date.getTime() / MINUTE_MS);
}

/** Lets at most `count` of the things handed to it run at a time. */
function createSlots(count: number) {
  const waiting: (() => void)[] = [];
  let free = count;
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
