import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

/** Minutes before now. */
interface Job {
  made?: number;
  started?: number;
  heartbeat?: number;
  progress?: number;
  resumed?: number;
  resumes?: number;
}
interface Seen {
  alive?: true;
  waits?: true;
}

const silent = { made: 60, started: 50, heartbeat: 10, progress: 12 };
/** Limits: 2 minutes without a heartbeat, 3 without a task that ended, 5 resumes. */
const cases: [name: string, job: Job, seen: Seen, action: string][] = [
  ["heard of lately", { made: 60, started: 50, heartbeat: 1, progress: 1 }, {}, "none"],
  ["heard of just in time", { made: 60, started: 50, heartbeat: 2, progress: 3 }, {}, "none"],
  ["without a heartbeat", { made: 60, started: 50, heartbeat: 2.1, progress: 1 }, {}, "resumed"],
  [
    "with heartbeats and without progress",
    {
      made: 60,
      started: 50,
      heartbeat: 1,
      progress: 3.1,
    },
    {},
    "resumed",
  ],
  ["begun lately, and no task has ended", { made: 60, started: 1, heartbeat: 1 }, {}, "none"],
  ["made lately, and not begun", { made: 2 }, {}, "none"],
  ["made a while ago, and not begun", { made: 2.1 }, {}, "resumed"],
  ["silent, and a processor is alive", silent, { alive: true }, "alive"],
  ["silent, and a run waits", silent, { waits: true }, "waits"],
  ["silent, and one is alive while another waits", silent, { alive: true, waits: true }, "alive"],
  ["silent", silent, {}, "resumed"],
  ["resumed a moment ago", { ...silent, resumed: 1, resumes: 1 }, {}, "none"],
  ["resumed, and silent again", { ...silent, resumed: 4, resumes: 1 }, {}, "resumed"],
  ["resumed four times in vain", { ...silent, resumed: 4, resumes: 4 }, {}, "resumed"],
  ["resumed five times in vain", { ...silent, resumed: 4, resumes: 5 }, {}, "gave_up"],
  [
    "resumed five times, and a task has ended since",
    {
      ...silent,
      resumed: 14,
      resumes: 5,
    },
    {},
    "resumed",
  ],
  [
    "resumed five times in vain, and a run waits",
    {
      ...silent,
      resumed: 4,
      resumes: 5,
    },
    { waits: true },
    "waits",
  ],
];

Deno.test("decide_resume(): what an open batch job needs", async (test) => {
  await withDatabase(async ({ sql }) => {
    const before = (minutes: number | undefined) =>
      minutes === undefined ? null : after(-minutes).toISOString();
    for (const [name, job, { alive, waits }, action] of cases) {
      await test.step(name, async () => {
        const [row] = await sql`
          select batches.decide_resume(jsonb_populate_record(null::batch_jobs, ${
          sql.json({
            created_at: before(job.made),
            started_at: before(job.started),
            last_heartbeat: before(job.heartbeat),
            last_progress_at: before(job.progress),
            resumed_at: before(job.resumed),
            resumes: job.resumes ?? 0,
          })
        }), ${alive ?? false}, ${waits ?? false},
            ('2 minutes', '3 minutes', 5)::batches.stuck_limits, ${NOON}) as action`;
        assert.equal(row!.action, action);
      });
    }
  });
});
