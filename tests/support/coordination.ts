/** The 22 jobs of a running system that know of each other, and two weeks in which much goes wrong. */
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import type { Random } from "./random.ts";
import { after } from "./scheduler.ts";
import type { Act, Behaviour, Simulation } from "./simulation.ts";

const SCHEDULES = fileURLToPath(new URL("schedules/coordination.tsv", import.meta.url));
const INVARIANTS = new URL("coordination_invariants.sql", import.meta.url);

/** A Monday; the jobs were registered in the minute before. */
export const START = new Date("2026-03-02T00:00:00Z");
const MINUTES_A_DAY = 24 * 60;

interface Group {
  limit: number;
  members: string[];
}

/** In the order in which they are resumed. */
const GROUPS: Record<string, Group> = {
  maintenance: {
    limit: 2,
    members: ["fixtures_scheduler", "fixture_mapping_maintainer", "fixture_status_updater"],
  },
  core: {
    limit: 2,
    members: [
      "oddyssey_scheduler",
      "oddyssey_creator",
      "contract_sync",
      "cycle_health_monitor",
      "airdrop_scheduler",
    ],
  },
  oracle: { limit: 1, members: ["crypto_scheduler", "football_scheduler", "oracle_cron"] },
  results: {
    limit: 2,
    members: ["unified_results_manager", "results_resolver", "slip_evaluator", "auto_evaluation"],
  },
  services: {
    limit: 7,
    members: [
      "pool_settlement_service",
      "oddyssey_oracle_bot",
      "football_oracle_bot",
      "crypto_oracle_bot",
      "cycle_monitor",
      "health_monitoring",
      "reputation_sync",
    ],
  },
};

/** Results wait for the newest fixtures, an evaluation for results; the last four only order the resume. */
const DEPENDS_ON: Record<string, string[]> = {
  oddyssey_creator: ["oddyssey_scheduler"],
  contract_sync: ["oddyssey_creator"],
  unified_results_manager: ["fixtures_scheduler"],
  results_resolver: ["fixtures_scheduler"],
  slip_evaluator: ["unified_results_manager"],
  auto_evaluation: ["unified_results_manager"],
  pool_settlement_service: ["contract_sync"],
  oddyssey_oracle_bot: ["oddyssey_creator"],
  football_oracle_bot: ["fixtures_scheduler"],
  cycle_monitor: ["oddyssey_creator"],
};

const MORE: Record<string, Record<string, unknown>> = {
  oddyssey_creator: { misfire_policy: "all", misfire_cap: 5, dependency_timeout_seconds: 14_400 },
  contract_sync: { on_dependency_failure: "run" },
  slip_evaluator: { on_dependency_timeout: "run", dependency_timeout_seconds: 1_800 },
  auto_evaluation: {
    dependency_timeout_seconds: 1_200,
    defer_if: "public.is_rush",
    defer_at_most_seconds: 600,
  },
  results_resolver: { on_dependency_failure: "run", overlap_policy: "queue" },
  fixture_mapping_maintainer: { overlap_policy: "allow", parallel_least: 1, parallel_limit: 2 },
  oracle_cron: { overlap_policy: "queue", priority: 2 },
  football_scheduler: { jitter_seconds: 120 },
  crypto_scheduler: { breaker_failures: 3, breaker_cooldown_seconds: 2_400 },
  fixture_status_updater: { breaker_failures: 3, breaker_cooldown_seconds: 1_500, max_attempts: 1 },
  football_oracle_bot: { breaker_failures: 4, breaker_cooldown_seconds: 120 },
  cycle_monitor: { idle_seconds: 60 },
  reputation_sync: { idle_seconds: 120 },
};

/** Of each schedule: its period, and how long a run of it may last. */
const PERIODS: [pattern: RegExp, periodSeconds: number, timeoutSeconds: number][] = [
  [/^\*\/(10|15|20) /, 900, 2_400],
  [/^\d+,\d+ /, 1_800, 3_000],
  [/^\d+ \d+ /, 3_600, 5_400],
  [/^@continuous$/, 3_600, 4_000],
];

export interface Job {
  name: string;
  schedule: string;
  dependsOn: string[];
  group: string;
  periodSeconds: number;
  timeoutSeconds: number;
}

/** The jobs of the running system, in the file's order. */
export async function readJobs(): Promise<Job[]> {
  const lines = (await Deno.readTextFile(SCHEDULES)).split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [name, schedule] = line.split("\t") as [string, string];
    const [, periodSeconds, timeoutSeconds] = PERIODS.find(([pattern]) => pattern.test(schedule))!;
    const [group] = Object.entries(GROUPS).find(([, { members }]) => members.includes(name))!;
    return {
      name,
      schedule,
      dependsOn: DEPENDS_ON[name] ?? [],
      group,
      periodSeconds,
      timeoutSeconds,
    };
  });
}

/** Registers groups and jobs, as if the first occurrence of each were the first one from `START` on. */
export async function registerJobs(sql: Sql, jobs: Job[]): Promise<void> {
  for (const [place, [name, { limit }]] of Object.entries(GROUPS).entries()) {
    await sql`select scheduler.register_group(${name}, parallel_limit => ${limit}, place => ${place})`;
  }
  await sql.unsafe(`create function public.is_rush(timestamptz) returns boolean language sql as
    $$ select extract(minute from $1)::integer % 15 < 7 $$`);
  for (const job of inOrder(jobs)) {
    const values: Record<string, unknown> = {
      name: job.name,
      schedule: job.schedule,
      group_name: job.group,
      depends_on: job.dependsOn,
      timeout_seconds: job.timeoutSeconds,
      backoff_cap_seconds: 120,
      ...MORE[job.name],
    };
    const keys = Object.keys(values);
    await sql.unsafe(
      `select scheduler.register_job(${keys.map((key, i) => `${key} => $${i + 1}`).join(", ")})`,
      Object.values(values) as never[],
    );
  }
  await sql`
    update scheduler_jobs set created_at = ${after(-1, START)}, previous_run_at = null,
      next_run_at = case when schedule is not null
        then scheduler.next_occurrence(schedule, time_zone, ${after(-1, START)}) end`;
}

function inOrder(jobs: Job[]): Job[] {
  const ordered: Job[] = [];
  while (ordered.length < jobs.length) {
    ordered.push(...jobs.filter((job) =>
      !ordered.includes(job) &&
      job.dependsOn.every((needed) => ordered.some(({ name }) => name === needed))
    ));
  }
  return ordered;
}

/** What functions do: mostly they succeed in time. */
export function randomBehaviour(jobs: Job[], random: Random, badTimes: BadTime[]): Behaviour {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  return ({ job: name, timeout }, now) => {
    const job = byName.get(name)!;
    const isBad = badTimes.some((bad) => bad.job === name && bad.from <= now && now < bad.to);
    const isContinuous = job.schedule === "@continuous";
    const begin: Act = { after: random.chance(0.05) ? 20 : 1, kind: "begin" };
    const chosen = random.whole(1, 1000);
    if (chosen <= 5) return [];
    if (chosen <= 10) return [{ after: 1, kind: "refuse" }];
    if (chosen <= 20) return [begin, { after: begin.after + random.whole(1, 60), kind: "die" }];
    let seconds = 5 * random.whole(1, 18);
    if (isContinuous && !isBad) seconds = 60 * random.whole(20, 60);
    if (chosen <= 50) seconds = Math.round(job.periodSeconds * random.whole(105, 160) / 100);
    const outcome = isBad || chosen > 960 ? "failed" : "completed";
    return [
      begin,
      seconds >= timeout
        ? { after: begin.after + timeout, kind: "finish", outcome: "timed_out" }
        : {
          after: begin.after + seconds,
          kind: "finish",
          outcome,
          isIdle: isContinuous && random.chance(0.3),
        },
    ];
  };
}

/** A time in which every run of a job fails. */
export interface BadTime {
  job: string;
  from: Date;
  to: Date;
}

export function randomBadTimes(jobs: Job[], random: Random, days: number): BadTime[] {
  return jobs.filter((job) => job.schedule !== "@continuous" || job.name === "football_oracle_bot")
    .map((job) => {
      const isDaily = job.periodSeconds === 3_600 && job.schedule !== "@continuous";
      const from = isDaily
        ? after(random.whole(0, days - 1) * MINUTES_A_DAY, START)
        : after(random.whole(0, days * MINUTES_A_DAY), START);
      const minutes = job.schedule === "@continuous" ? 15 : isDaily ? MINUTES_A_DAY : 200;
      return { job: job.name, from, to: after(minutes, from) };
    });
}

/** What befell the machine, for those who judge the ledger. */
export interface Outage {
  from: Date;
  to: Date;
}

/** Pauses of jobs and groups, an outage and two incidents, each on a day of its own. */
export function plan(simulation: Simulation, jobs: Job[], random: Random, days: number): Outage {
  const at = (day: number) =>
    after(day * MINUTES_A_DAY + random.whole(0, 12 * 60) + random.pick([0, 0.4]), START);
  const order = shuffled(Array.from({ length: days }, (_, day) => day), random);
  const outageFrom = at(order.pop()!);
  const outage = { from: outageFrom, to: after(random.whole(60, 300), outageFrom) };
  simulation.isDown(outage.from, outage.to);
  for (const endsRuns of [true, false]) {
    const from = at(order.pop()!);
    const to = after(random.whole(20, 150), from);
    const ramp = endsRuns ? 1_800 : 600;
    simulation.happens(
      from,
      (sql, now) => sql`select scheduler.start_incident('a leak', 'Ada', ${endsRuns}, ${now})`,
    );
    simulation.happens(
      to,
      (sql, now) => sql`select scheduler.end_incident('Bob', ${ramp}, ${now})`,
    );
  }
  for (const day of order) {
    const from = at(day);
    const to = after(random.whole(10, 300), from);
    const until = random.chance(0.5) ? to : null;
    const isGroup = random.chance(0.3);
    const name = isGroup ? random.pick(Object.keys(GROUPS)) : random.pick(jobs).name;
    simulation.happens(
      from,
      (sql, now) =>
        isGroup
          ? sql`select scheduler.pause_group(${name}, 'a test', 'Ada', ${until}, ${now})`
          : sql`select scheduler.pause(${name}, 'a test', 'Ada', ${until}, ${now})`,
    );
    if (until !== null) continue;
    simulation.happens(
      to,
      (sql, now) =>
        isGroup
          ? sql`select scheduler.resume_group(${name}, 'Bob', ${now})`
          : sql`select scheduler.resume(${name}, 'Bob', ${now})`,
    );
  }
  return outage;
}

function shuffled<T>(values: T[], random: Random): T[] {
  const left = [...values];
  return values.map(() => left.splice(random.whole(0, left.length - 1), 1)[0]!);
}

/** What is wrong with the ledger of [from, to), a line each. */
export async function judge(
  sql: Sql,
  from: Date,
  to: Date,
  outage: Outage = { from, to: from },
): Promise<string[]> {
  await sql.unsafe(await Deno.readTextFile(INVARIANTS));
  await sql`
    select simulation.prepare_judgement(${from}, ${to},
      tstzmultirange(tstzrange(${outage.from}, ${outage.to})))`;
  const faults = await sql`select fault, detail from simulation.faults(0.99, '3 hours')`;
  return faults.map(({ fault, detail }) => `${fault}: ${detail}`);
}
