import type { Sql } from "postgres";
import { type Figure, milliseconds } from "./figure.ts";

const jobs = 300;
const days = 365;
/** How often the pulse beats in a minute where pg_cron has seconds. */
const beatsAMinute = 6;
const receipts = 200;

/**
 * A year in which nothing beat, over 300 jobs of every minute: how many beats it takes until every occurrence is in the ledger,
 * whether the first one sends each job's current occurrence, and how long a receipt waits meanwhile. `beating` and
 * `receiving` are connections of their own.
 */
export async function benchOutage(beating: Sql, receiving: Sql): Promise<Figure[]> {
  await beating`select scheduler.unregister_job(name) from public.scheduler_jobs`;
  await beating`
    select scheduler.register_job('job-' || i, '* * * * *', target => 'bench') from generate_series(1, ${jobs}::int) as i`;
  await beating`
    select scheduler.register_job('waiting-' || i, '0 0 1 1 *', target => 'bench', overlap_policy => 'allow')
    from generate_series(1, ${receipts}::int) as i`;
  const runs = await beating<{ id: string }[]>`
    select scheduler.run_now('waiting-' || i, 'bench') as id from generate_series(1, ${receipts}::int) as i`;
  const [clock] = await beating`
    update public.scheduler_jobs set next_run_at = date_trunc('minute', now()) - make_interval(days => ${days})
    where name like 'job-%' returning next_run_at`;

  const [command] = await beating`select scheduler.pulse_command() as text`;
  const waits: number[] = [];
  const beats: number[] = [];
  let beatingNow = true;
  const receive = async () => {
    for (const { id } of runs) {
      if (!beatingNow) return;
      waits.push(
        await milliseconds(async () => {
          await receiving`select scheduler.begin_run(${id}, 'bench')`;
          await receiving`select scheduler.finish_run(${id}, 'completed')`;
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const received = receive();
  let behind = jobs;
  let sentInFirst = 0;
  while (behind > 0 && beats.length < 3 * beatsAMinute) {
    beats.push(await milliseconds(() => beating.unsafe(command!.text)));
    const [row] = await beating`
      select (select count(*) from public.scheduler_jobs where name like 'job-%' and next_run_at <= ${
      clock!.next_run_at
    }::timestamptz + make_interval(days => ${days}))::int as behind,
        (select count(distinct job_name) from public.scheduler_runs where job_name like 'job-%' and status = 'dispatched')::int as sent`;
    behind = row!.behind;
    if (beats.length === 1) sentInFirst = row!.sent;
  }
  beatingNow = false;
  await received;
  const [counted] = await beating`
    select sum(occurrences)::bigint::text as occurrences, count(*)::int as rows from public.scheduler_runs where job_name like 'job-%'`;
  const [due] = await beating`
    select count(*)::bigint * ${jobs} as occurrences from scheduler.occurrences('* * * * *', 'UTC', ${
    clock!.next_run_at
  },
      (select min(next_run_at) from public.scheduler_jobs where name like 'job-%'))`;
  if (Number(counted!.occurrences) < Number(due!.occurrences)) {
    throw new Error(
      `Cannot measure the outage: ${counted!.occurrences} of ${
        due!.occurrences
      } occurrences have a row`,
    );
  }
  return [
    {
      name:
        `an outage of ${days} days over ${jobs} jobs of every minute: beats until all of it is in the ledger`,
      value: beats.length,
      unit: "beats",
      limit: beatsAMinute,
      parts: [
        `${Number(counted!.occurrences).toLocaleString("en-US")} occurrences in ${
          counted!.rows
        } rows`,
        `beats of ${beats.map((ms) => ms.toFixed(0)).join(", ")} ms`,
      ],
    },
    {
      name: "the same: jobs whose current occurrence the first beat sent",
      value: sentInFirst,
      unit: "jobs",
      limit: jobs,
      bound: "at least",
      parts: [],
    },
    {
      name: "the same: the longest that a run waited to report its begin and its end meanwhile",
      value: Math.max(...waits),
      unit: "ms",
      limit: 100,
      parts: [`${waits.length} runs reported`],
    },
  ];
}
