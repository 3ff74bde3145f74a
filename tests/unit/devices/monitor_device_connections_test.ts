import assert from "node:assert/strict";
import {
  monitor,
  type MonitorContext,
} from "../../../supabase/functions/monitor-device-connections/monitor.ts";
import {
  createSteps,
  type Steps,
  type Stretch,
  type SweepStep,
} from "../../../supabase/functions/monitor-device-connections/steps.ts";
import { PermanentError } from "../../../shared/job/errors.ts";

const runId = "88888888-0000-4000-8000-000000000000";
const nothing: SweepStep = {
  next_after: null,
  devices: 0,
  sessions_ended: 0,
  heartbeats_corrected: 0,
  devices_online: 0,
  devices_offline: 0,
  left: 0,
};

/** A job's world in which each step takes `stepMs` of the 130 s there are. */
function world(parts: Partial<Steps> = {}, stepMs = 0) {
  let remaining = 130_000;
  const asked: string[] = [];
  const stop = new AbortController();
  const context: MonitorContext = {
    runId,
    signal: stop.signal,
    remainingMs: () => remaining,
    reportProgress() {},
  };
  const took = <T>(name: string, stretch: Stretch, step: T): T => {
    remaining -= stepMs;
    asked.push([name, stretch.after, stretch.until].map((part) => part?.slice(0, 8)).join(" "));
    return step;
  };
  const steps: Steps = {
    expire: () => took("expire", {}, parts.expire?.() ?? expired(0)),
    sweep: (stretch) => took("sweep", stretch, parts.sweep?.(stretch) ?? swept({})),
    handOver: (stretch) => took("hand", stretch, parts.handOver?.(stretch) ?? handed(0, 0)),
  };
  return { context, steps, asked, stop };
}

const expired = (commands_expired: number, more = false) =>
  Promise.resolve({ commands_expired, more });
const swept = (step: Partial<SweepStep>) => Promise.resolve({ ...nothing, ...step });
const handed = (handed_over: number, handed_over_again: number, next_after: string | null = null) =>
  Promise.resolve({ handed_over, handed_over_again, next_after });

Deno.test("monitor() begins at its own id and wraps around, so that no device is always the last", async () => {
  const next = "ffff0000-0000-4000-8000-000000000000";
  const { context, steps, asked } = world({
    sweep: ({ after }) => swept({ next_after: after === runId ? next : null }),
  });
  await monitor(context, steps);
  assert.deepEqual(asked, [
    "expire  ",
    "sweep 88888888 ",
    "sweep ffff0000 ",
    "sweep  88888888",
    "hand 88888888 ",
    "hand  88888888",
  ]);
});

Deno.test("monitor() sums its steps and describes them", async () => {
  let expiries = 0;
  const { context, steps } = world({
    expire: () => expired(2, ++expiries < 3),
    sweep: ({ until }) =>
      swept({
        devices: until ? 1200 : 4,
        sessions_ended: 1,
        heartbeats_corrected: until ? 1 : 0,
        devices_online: 2,
        devices_offline: 1,
        left: until ? 1 : 0,
      }),
    handOver: () => handed(7, 1),
  });
  assert.deepEqual(await monitor(context, steps), {
    summary: "1,204 devices looked at: 2 sessions ended, 4 devices online, 2 devices offline, " +
      "14 commands handed over, 2 commands handed over again, 6 commands expired, " +
      "1 heartbeat brought back from the future, 1 row left for the next run",
    devices: 1204,
    sessionsEnded: 2,
    heartbeatsCorrected: 1,
    devicesOnline: 4,
    devicesOffline: 2,
    commandsExpired: 6,
    commandsHandedOver: 14,
    commandsHandedOverAgain: 2,
    leftForNextRun: 1,
    stopped: "done",
    notable: "info",
  });
});

Deno.test("monitor() writes no line when nothing happened", async () => {
  const quiet = world();
  const result = await monitor(quiet.context, quiet.steps);
  assert.equal(result.summary, "0 devices looked at: nothing to do");
  assert.equal("notable" in result, false);
  const coming = world({ sweep: () => swept({ devices: 1, devices_online: 1 }) });
  assert.equal("notable" in await monitor(coming.context, coming.steps), false);
});

Deno.test("monitor() leaves half of its time to the commands, and stops before the end", async () => {
  const endless = "ffffffff-0000-4000-8000-000000000000";
  const { context, steps, asked } = world({
    sweep: () => swept({ devices: 10, next_after: endless }),
    handOver: () => handed(5, 0, endless),
  }, 10_000);
  const result = await monitor(context, steps);
  const count = (name: string) => asked.filter((step) => step.startsWith(name)).length;
  assert.deepEqual([count("expire"), count("sweep"), count("hand")], [1, 6, 6]);
  assert.equal(result.stopped, "time");
  assert.equal(
    result.summary,
    "60 devices looked at: 30 commands handed over, stopped for want of time",
  );
});

Deno.test("monitor() reports its earlier steps when its signal cuts a step short", async () => {
  const cut = () => Promise.reject(new DOMException("aborted", "AbortError"));
  const { context, steps, stop } = world({ sweep: () => swept({ sessions_ended: 3 }) });
  steps.handOver = () => (stop.abort(), cut());
  const result = await monitor(context, steps);
  assert.deepEqual([result.sessionsEnded, result.stopped], [6, "time"]);
  const early = world({ expire: () => (early.stop.abort(), cut()) });
  await assert.rejects(monitor(early.context, early.steps), /aborted/);
});

Deno.test("monitor() fails when a step fails, also after others succeeded", async () => {
  const { context, steps } = world({
    sweep: () => swept({ sessions_ended: 3 }),
    handOver: () => Promise.reject(new Error("no database")),
  });
  await assert.rejects(monitor(context, steps), /no database/);
});

Deno.test("createSteps() tells refused settings from other errors", async () => {
  const failing = (code: string) => {
    const answer = { data: null, error: { code, message: "because" } };
    const db = { rpc: () => ({ abortSignal: () => Promise.resolve(answer) }) };
    // deno-lint-ignore no-explicit-any
    return createSteps({ db: db as any, signal: new AbortController().signal });
  };
  const message = "Cannot monitor device connections (sweep): because";
  await assert.rejects(failing("22023").sweep({}), PermanentError);
  await assert.rejects(failing("57014").sweep({}), { name: "Error", message });
});
