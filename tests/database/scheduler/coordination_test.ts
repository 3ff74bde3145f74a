import assert from "node:assert/strict";
import { cases } from "../../support/cases.ts";
import * as c from "../../support/coordination.ts";
import { pollersBehaviour, readPollers, registerPollers } from "../../support/pollers.ts";
import { seededRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";
import { Simulation } from "../../support/simulation.ts";

/** Other seeds: DAYBOOK_SIMULATION_SEED. Two weeks take two minutes. */
const SEED = Number(Deno.env.get("DAYBOOK_SIMULATION_SEED") ?? 20260302);
const HOURS = 2;
const DAYS = cases(14, 3);

t.ledgerTest(
  "22 jobs that know of each other keep their promises through days of trouble",
  async ({ sql }) => {
    await sql`update scheduler_settings set value = '90' where key = 'scheduler.keep_successes_days'`;
    const random = seededRandom(SEED);
    const jobs = await c.readJobs();
    assert.equal(jobs.length, 22);
    await c.registerJobs(sql, jobs);
    const badTimes = c.randomBadTimes(jobs, random, DAYS);
    const simulation = await Simulation.over(
      sql,
      random,
      c.randomBehaviour(jobs, random, badTimes),
    );
    const outage = c.plan(simulation, jobs, random, DAYS);
    const end = t.after(DAYS * 24 * 60, c.START);
    await simulation.run(c.START, end);

    const faults = await c.judge(sql, c.START, end, outage);
    const [seen] = await sql`
    select count(*)::int as runs, count(*) filter (where status = 'completed')::int as completed,
      count(*) filter (where trigger = 'retry')::int as retries,
      count(distinct verdict)::int as verdicts, count(distinct skip_kind)::int as skips from scheduler_runs`;
    console.log(`${simulation.steps} steps, ${JSON.stringify(seen)}`);
    assert.deepEqual(faults, []);
  },
);

t.ledgerTest(
  "pollers that want more than their API grants share it, and never pass it",
  async ({ sql }) => {
    const random = seededRandom(SEED);
    const pollers = await readPollers("before");
    assert.deepEqual(pollers.map(({ seconds }) => seconds), [120, 60, 90]);
    await registerPollers(sql, pollers, ["validate-entries"], c.START);
    const simulation = await Simulation.over(sql, random, pollersBehaviour(pollers, random, true));
    const end = t.after(HOURS * 60, c.START);
    await simulation.run(c.START, end);
    assert.deepEqual(await c.judge(sql, c.START, end), []);
    const takes = await sql`
      select job_name, count(*)::int as takes, max(apart)::text as apart from (
        select job_name, completed_at - lag(completed_at) over (partition by job_name order by completed_at) as apart
        from scheduler_runs where result ? 'budget') as takes
      group by 1 order by 1`;
    const [seen] = await sql`
      select count(*) filter (where status = 'deferred')::int as deferred,
        count(*) filter (where trigger = 'deferred' and status = 'completed')::int as continued from scheduler_runs`;
    // All of what the API grants is used, and nobody is starved.
    const lookups = takes.filter(({ job_name }) => job_name !== "twitter-poller");
    assert.equal(lookups.length, 2);
    assert.ok(
      lookups[0]!.takes + lookups[1]!.takes >= 0.9 * HOURS * 4 * 15,
      JSON.stringify(lookups),
    );
    assert.ok(lookups.every(({ takes }) => takes >= HOURS * 4 * 2), JSON.stringify(lookups));
    assert.ok(seen!.deferred > 0 && seen!.continued > 0, JSON.stringify(seen));
  },
);

t.ledgerTest("at intervals that fit the API's budgets no poller waits", async ({ sql }) => {
  const random = seededRandom(SEED);
  const pollers = await readPollers("after");
  assert.deepEqual(pollers.map(({ seconds }) => seconds), [120, 180, 180, 300]);
  await registerPollers(sql, pollers, pollers.map(({ name }) => name), c.START);
  const simulation = await Simulation.over(sql, random, pollersBehaviour(pollers, random, false));
  const end = t.after(60, c.START);
  await simulation.run(c.START, end);
  assert.deepEqual(await c.judge(sql, c.START, end), []);
  const late = await sql`
    select job_name, scheduled_for, status from scheduler_runs
    where (dispatched_at > scheduled_for + interval '30 seconds' or status in ('deferred', 'queued', 'skipped'))
      and scheduled_for < ${t.after(-1, end)}`;
  assert.deepEqual([...late], []);
});
