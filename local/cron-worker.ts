/**
 * The background worker of the pg_cron stand-in: it runs the commands that are due, each in a session of its
 * own as the job's owner, and writes cron.job_run_details. It keeps pg_cron's timing and its faults.
 */
import postgres, { type Sql } from "postgres";
import { atMost } from "../shared/at-most.ts";
import { isDue, isWildcard, periodMs } from "./cron-schedule.ts";

export interface CronJob {
  jobid: string;
  jobname: string | null;
  schedule: string;
  command: string;
  username: string;
}

export interface CronWorkerOptions {
  /** URL of the database as a superuser. */
  adminUrl: string;
  now?(): Date;
  /** The order in which jobs that are due together start. Default: a random one, as pg_cron promises none. */
  order?(jobs: CronJob[]): CronJob[];
  onError?(message: string): void;
}

export interface CronWorker {
  /** Runs what is due up to `now`; resolves when all of it has ended. */
  tick(now: Date): Promise<void>;
  /** From here on it ticks by itself, whenever something is due. */
  start(): void;
  /** No further tick; what runs is cut off, as at a stop of the server. */
  stop(): Promise<void>;
}

/** What the worker knows of an entry; in memory only, as in pg_cron. */
interface Task {
  job: CronJob;
  active: boolean;
  /** Milliseconds since the epoch: the start of its last run, at first the moment the entry was seen. */
  lastStart: number;
  /** Runs that are due and have not begun. */
  pending: number;
  busy: boolean;
  /** Settles when the pending runs have ended. */
  ended: Promise<void>;
}

const MINUTE_MS = 60_000;
/** The timer ends a little after the minute, never before it. */
const AFTER_MINUTE_MS = 5;
/** Postgres starts a worker that has ended again after a second. */
const RESTART_MS = 1000;
const STOP_LIMIT_MS = 1000;
/** As pg_cron's `cron.max_running_jobs`. */
const MAX_RUNNING_JOBS = 32;
/** Up to here every minute that was slept through is run; the limits are pg_cron's. */
const CATCH_UP_MINUTES = 5;
/** Up to here entries at a fixed time are still run; beyond, the clock was set anew. */
const JUMP_MINUTES = 180;

/** Connects, and marks what a former worker left unfinished as pg_cron does. */
export async function createCronWorker(options: CronWorkerOptions): Promise<CronWorker> {
  const now = options.now ?? (() => new Date());
  const order = options.order ?? shuffle;
  const onError = options.onError ?? (() => {});
  const sql = postgres(options.adminUrl, {
    // One connection, as pg_cron has one launcher: what is read and written keeps its order.
    max: 1,
    max_lifetime: null,
    onclose: () => endLife(),
    onnotice: () => {},
    // The types that it fetches when it connects are not needed, and no code could catch that failure.
    fetch_types: false,
    connection: { application_name: "pg_cron scheduler" },
  });
  const sessions = new Set<Sql>();
  const tasks = new Map<string, Task>();
  const slots = createSlots(MAX_RUNNING_JOBS);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let started = false;
  let ticking = false;
  let stopped = false;
  /** A run belongs to the life of the worker that it began in. */
  let life = { over: false };
  // Kept in memory only: minutes that pass while no worker runs are not made up for.
  let lastMinute = minuteOf(now());

  await beginLife().catch(async (error) => {
    stopped = true;
    endLife();
    await sql.end({ timeout: 0 });
    throw error;
  });

  async function beginLife() {
    // pg_cron sets no time, and forgets the statuses `connecting` and `sending`: those rows stay for good.
    await sql`
      update cron.job_run_details set status = 'failed', return_message = 'server restarted'
      where status in ('starting', 'running')`;
    if (stopped) return;
    lastMinute = minuteOf(now());
    life = { over: false };
    // What it knew of the entries it has to learn anew.
    if (started) await tickByItself();
  }

  /** The server has crashed or the worker was terminated: Postgres starts another one after a second. */
  function endLife() {
    life.over = true;
    tasks.clear();
    clearTimeout(timer);
    for (const session of sessions) void session.end({ timeout: 0 });
    if (!stopped) timer = setTimeout(() => beginLife().catch(endLife), RESTART_MS);
  }

  /** Learns which entries there are now; one that is new is as if it had last started at `at`. */
  async function readJobs(at: Date) {
    const jobs = await sql<CronJob[]>`
      select jobid, jobname, schedule, command, username from cron.job
      where active and database = current_database()`;
    const gone = new Set(tasks.keys());
    for (const job of jobs) {
      gone.delete(job.jobid);
      const task = tasks.get(job.jobid);
      if (task) Object.assign(task, { job, active: true });
      else tasks.set(job.jobid, newTask(job, at));
    }
    for (const jobId of gone) {
      const task = tasks.get(jobId)!;
      Object.assign(task, { active: false, pending: 0 });
      if (!task.busy) tasks.delete(jobId);
    }
  }

  /** Starts what is due at `at`; the runs it gives are not awaited here. */
  async function startDue(at: Date): Promise<Promise<void>[]> {
    const minute = minuteOf(at);
    const from = lastMinute + 1;
    const isNewMinute = minute > lastMinute || lastMinute - minute >= JUMP_MINUTES;
    if (isNewMinute) lastMinute = minute;
    await readJobs(at);
    for (const task of tasks.values()) {
      if (!task.active) continue;
      if (isNewMinute) task.pending += countDue(task.job, from, minute);
      const next = nextPeriod(task);
      if (next !== undefined && next <= at.getTime()) task.pending = 1;
    }
    const due = [...tasks.values()].filter((task) => task.pending > 0);
    for (const job of order(due.filter((task) => !task.busy).map((task) => task.job))) {
      const task = tasks.get(job.jobid)!;
      task.ended = runPending(task, at);
    }
    return due.map((task) => task.ended);
  }

  function countDue(job: CronJob, from: number, to: number): number {
    const passed = to - from + 1;
    try {
      const due = (minute: number) => isDue(job.schedule, new Date(minute * MINUTE_MS)) ? 1 : 0;
      if (passed < 0 || passed >= JUMP_MINUTES) return due(to);
      if (passed > CATCH_UP_MINUTES && isWildcard(job.schedule)) return due(to);
      let count = 0;
      for (let minute = from; minute <= to; minute++) count += due(minute);
      return count;
    } catch (error) {
      report(job, error);
      return 0;
    }
  }

  /** One run of a job at a time; the next waits for it. */
  async function runPending(task: Task, at: Date) {
    const mine = life;
    task.busy = true;
    let earliest = at.getTime();
    while (task.pending > 0 && !mine.over) {
      await slots(async () => {
        if (task.pending === 0 || mine.over) return;
        task.pending--;
        task.lastStart = Math.max(earliest, now().getTime());
        await execute(task, mine);
      }).catch((error) => report(task.job, error));
      earliest = 0;
    }
    task.busy = false;
    if (mine.over) return;
    if (!task.active) tasks.delete(task.job.jobid);
    wakeForNext();
  }

  async function execute(task: Task, mine: typeof life) {
    const { job } = task;
    const [details] = await sql`
      insert into cron.job_run_details (jobid, database, username, command, status)
      values (${job.jobid}, current_database(), ${job.username}, ${job.command}, 'starting')
      returning runid`;
    const runId = details!.runid;
    await sql`update cron.job_run_details set status = 'connecting' where runid = ${runId}`;
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
        update cron.job_run_details set status = 'sending', job_pid = ${backend!.pid}
        where runid = ${runId}`;
      await session`set session authorization ${session(job.username)}`;
      task.lastStart = Math.max(task.lastStart, now().getTime());
      await sql`
        update cron.job_run_details set status = 'running', start_time = clock_timestamp()
        where runid = ${runId}`;
      const result = await session.unsafe(job.command);
      await finish(runId, "succeeded", describe(result));
    } catch (error) {
      if (mine.over) return;
      await finish(runId, "failed", `ERROR:  ${error instanceof Error ? error.message : error}\n`);
    } finally {
      sessions.delete(session);
      await session.end({ timeout: 1 });
    }
  }

  async function finish(runId: unknown, status: string, message: string) {
    await sql`
      update cron.job_run_details
      set status = ${status}, return_message = ${message}, end_time = clock_timestamp(),
        start_time = coalesce(start_time, clock_timestamp())
      where runid = ${runId as string}`;
  }

  function report(job: CronJob, error: unknown) {
    onError(`job ${job.jobid}: ${error instanceof Error ? error.message : error}`);
  }

  async function tickByItself() {
    if (life.over) return;
    ticking = true;
    await startDue(now()).catch((error) => onError(`pg_cron: ${error.message}`));
    ticking = false;
    wakeForNext();
  }

  /** Sets the timer to the next minute, or to an entry with seconds that is due before it. */
  function wakeForNext() {
    if (!started || ticking || life.over) return;
    const at = now().getTime();
    const periods = [...tasks.values()].map(nextPeriod).filter((next) => next !== undefined);
    const next = Math.min((minuteOf(now()) + 1) * MINUTE_MS + AFTER_MINUTE_MS, ...periods);
    clearTimeout(timer);
    timer = setTimeout(tickByItself, Math.max(next - at, 1));
  }

  return {
    async tick(at) {
      await Promise.all(await startDue(at));
    },
    start() {
      started = true;
      const look = () => void tickByItself();
      // An entry with seconds counts from when it was made, so the worker has to hear of it.
      sql.listen("pg_cron", look, look).catch((error) => onError(`pg_cron: ${error.message}`));
      wakeForNext();
    },
    async stop() {
      stopped = true;
      const runs = [...tasks.values()].map((task) => task.ended);
      endLife();
      await Promise.all([...sessions].map((session) => session.end({ timeout: 0 })));
      await sql.end({ timeout: 1 });
      // A query that was on its way when the server died may never be answered, not even with an error.
      await atMost(STOP_LIMIT_MS, Promise.allSettled(runs));
    },
  };
}

function newTask(job: CronJob, at: Date): Task {
  return {
    job,
    active: true,
    lastStart: at.getTime(),
    pending: 0,
    busy: false,
    ended: Promise.resolve(),
  };
}

/** When an entry with seconds is due next; undefined for all others and for one that is due already. */
function nextPeriod(task: Task): number | undefined {
  const period = periodMs(task.job.schedule);
  return period === undefined || !task.active || task.pending > 0
    ? undefined
    : task.lastStart + period;
}

/** In random order: Fisher and Yates. */
function shuffle<T>(items: T[]): T[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
  }
  return shuffled;
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
