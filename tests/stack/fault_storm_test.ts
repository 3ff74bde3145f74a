// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres from "postgres";
import {
  assertAllRunsOver,
  beatUntilIdle,
  passTime,
  registerJob,
  release,
  untilRestAnswers,
} from "../support/faults.ts";
import { assertInvariants } from "../support/scheduler.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const SEED = Number(Deno.env.get("DAYBOOK_STORM_SEED") ?? 20260705);
const ROUNDS = 10;
const POLICIES = ["skip", "queue", "allow"];
const JOBS = POLICIES.flatMap((
  policy,
) => [`${policy}-short`, `${policy}-long`, `${policy}-throws`]);

async function registerAll({ sql }: Stack): Promise<void> {
  for (const job of JOBS) {
    const [policy, kind] = job.split("-");
    await registerJob(sql, job, {
      overlap_policy: policy,
      max_attempts: 20,
      payload: {
        short: { workMs: 10 },
        long: { behaviour: "wait", attempts: 6, workMs: 100 },
        throws: { behaviour: "throw", attempts: 2 },
      }[kind!],
    });
  }
}

/** Dispatches and beats at random over connections of its own until told to stop; returns how to stop it. */
function callAllTheTime(databaseUrl: string, random: Random): () => Promise<number> {
  let stopped = false;
  let calls = 0;
  const connections = Array.from({ length: 4 }, async () => {
    // Without the types that it fetches when it connects: no code could catch that failure.
    const sql = postgres(databaseUrl, { max: 1, connect_timeout: 2, fetch_types: false });
    while (!stopped) {
      try {
        const job = random.pick(JOBS);
        switch (random.pick(["pulse", "due", "dispatch", "dispatch", "look"])) {
          case "pulse":
            await sql`select scheduler.pulse()`;
            break;
          case "due":
            await sql`
              update scheduler_jobs set next_run_at = clock_timestamp() where name = ${job}`;
            break;
          case "dispatch":
            await sql`select scheduler.dispatch(${job})`;
            break;
          case "look":
            await assertInvariants(sql);
        }
        calls++;
      } catch (error) {
        // The server was killed, or comes up again. Any other error is one of ours.
        const code = (error as { code?: string }).code ?? "";
        assert.match(code, /^(57P0\d|CONNECT|CONNECTION_\w+|EPIPE|ECONN\w+)$/, `${error}`);
      }
      await new Promise((resolve) => setTimeout(resolve, random.whole(0, 40)));
    }
    await sql.end({ timeout: 1 });
  });
  return async () => {
    stopped = true;
    await Promise.all(connections);
    return calls;
  };
}

/** One thing goes wrong; what it returns puts it right again. */
const FAULTS: Record<string, (stack: Stack) => Promise<() => Promise<void>>> = {
  async functionsKilled({ functions }) {
    await functions.kill();
    return functions.start;
  },
  async functionsStopped({ functions }) {
    await functions.stop();
    return functions.start;
  },
  async postgresKilled(stack) {
    await stack.postgres.kill();
    return async () => {
      await stack.postgres.start();
      await untilRestAnswers(stack);
    };
  },
  netStandsStill({ net }) {
    net.pause();
    return Promise.resolve(() => Promise.resolve(net.resume()));
  },
  async timePasses({ sql }) {
    await passTime(sql, 61);
    return () => Promise.resolve();
  },
};

Deno.test("a random storm of faults: every occurrence of every job ends in one completed run, or says why not", () =>
  withStack({ cron: false }, async (stack) => {
    const { sql } = stack;
    const random = seededRandom(SEED);
    await registerAll(stack);
    const stopCalling = callAllTheTime(stack.databaseUrl, random);
    const kinds = Object.keys(FAULTS);
    for (let round = 0; round < ROUNDS; round++) {
      // Each kind comes before any comes again.
      const kind = kinds.splice(random.whole(0, kinds.length - 1), 1)[0]!;
      if (kinds.length === 0) kinds.push(...Object.keys(FAULTS));
      await new Promise((resolve) => setTimeout(resolve, random.whole(100, 400)));
      const mend = await FAULTS[kind]!(stack);
      await new Promise((resolve) => setTimeout(resolve, random.whole(50, 300)));
      await mend();
    }
    const calls = await stopCalling();

    await release(sql);
    await waitUntil("the end of all that lives", async () => {
      await beatUntilIdle(sql, 3_000).catch(() => passTime(sql, 61));
      const [row] = await sql`select from scheduler_runs where completed_at is null limit 1`;
      return !row;
    }, 90_000);
    await assertAllRunsOver(sql);

    const occurrences = await sql`
      select job_name, scheduled_for, json_agg(status order by attempt) as statuses,
        (array_agg(verdict order by attempt desc))[1] as verdict
      from scheduler_runs group by 1, 2`;
    for (const { job_name, statuses, verdict } of occurrences) {
      const completed = statuses.filter((status: string) => status === "completed").length;
      assert.equal(completed, verdict === "skipped" ? 0 : 1, `${job_name}: ${statuses}`);
    }
    const verdicts = await sql`
      select verdict, count(*)::int as count from scheduler_runs group by 1 order by 2 desc`;
    console.log(
      `${calls} calls, ${occurrences.length} occurrences, runs:`,
      verdicts.map(({ verdict, count }) => `${count} ${verdict}`).join(", "),
    );
    const ends = verdicts.map((row) => row.verdict);
    for (const verdict of ["ok", "job_error", "skipped"]) {
      assert.ok(ends.includes(verdict), `the storm was too weak to bring about ${verdict}`);
    }
    assert.ok(ends.length > 4, `the storm was too weak: ${ends}`);
  }));
