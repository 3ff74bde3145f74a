import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import type { Steps, Stretch } from "./steps.ts";
import { type Figures, summarize } from "./summarize.ts";

/** A run begins no further step when less time than this is left. */
const reserveMs = 10_000;

export type MonitorContext = Pick<
  JobContext,
  "runId" | "signal" | "remainingMs" | "reportProgress"
>;

/**
 * Expires commands, sweeps the connections and hands over commands, step by step, until it is done or the time runs
 * out. Each run begins at its own id and goes round all device ids, so that no device is always the last one.
 */
export async function monitor(
  context: MonitorContext,
  steps: Steps,
): Promise<JsonObject> {
  const figures: Figures = {
    devices: 0,
    sessionsEnded: 0,
    heartbeatsCorrected: 0,
    devicesOnline: 0,
    devicesOffline: 0,
    commandsExpired: 0,
    commandsHandedOver: 0,
    commandsHandedOverAgain: 0,
    leftForNextRun: 0,
    stopped: "done",
  };
  try {
    await work(context, steps, figures);
  } catch (error) {
    // The deadline aborted this step and the database rolled it back. The results of the earlier steps stay.
    if (!context.signal.aborted || events(figures) + figures.devices === 0) throw error;
    figures.stopped = "time";
  }
  return {
    summary: summarize(figures),
    ...figures,
    ...(events(figures) > 0 ? { notable: "info" } : {}),
  };
}

/** The number of events that a person should see. Devices that go online or offline are routine. */
function events(figures: Figures): number {
  return figures.sessionsEnded + figures.commandsExpired + figures.commandsHandedOver +
    figures.commandsHandedOverAgain;
}

async function work(
  context: MonitorContext,
  steps: Steps,
  figures: Figures,
): Promise<void> {
  const atLeast = (ms: number) => () => {
    if (context.remainingMs() >= ms && !context.signal.aborted) return true;
    figures.stopped = "time";
    return false;
  };
  const hasTime = atLeast(reserveMs);
  const report = () => context.reportProgress({ ...figures });

  for (let more = true; more && hasTime();) {
    const step = await steps.expire();
    figures.commandsExpired += step.commands_expired;
    more = step.more;
    report();
  }
  // The sweep may use half of the time; the commands get the rest.
  const hasTimeToSweep = atLeast(
    reserveMs + (context.remainingMs() - reserveMs) / 2,
  );
  await goRound(context.runId, hasTimeToSweep, async (stretch) => {
    const step = await steps.sweep(stretch);
    figures.devices += step.devices;
    figures.sessionsEnded += step.sessions_ended;
    figures.heartbeatsCorrected += step.heartbeats_corrected;
    figures.devicesOnline += step.devices_online;
    figures.devicesOffline += step.devices_offline;
    figures.leftForNextRun += step.left;
    report();
    return step.next_after;
  });
  await goRound(context.runId, hasTime, async (stretch) => {
    const step = await steps.handOver(stretch);
    figures.commandsHandedOver += step.handed_over;
    figures.commandsHandedOverAgain += step.handed_over_again;
    report();
    return step.next_after;
  });
}

/** Steps along all ids: from `start` to the end, then from the beginning to `start`. */
async function goRound(
  start: string,
  hasTime: () => boolean,
  step: (stretch: Stretch) => Promise<string | null>,
): Promise<void> {
  for (
    const { after, until } of [{ after: start, until: undefined }, {
      after: undefined,
      until: start,
    }]
  ) {
    let at: string | null | undefined = after;
    do {
      if (!hasTime()) return;
      at = await step({
        ...(at === undefined ? {} : { after: at }),
        ...(until === undefined ? {} : { until }),
      });
    } while (at !== null);
  }
}
