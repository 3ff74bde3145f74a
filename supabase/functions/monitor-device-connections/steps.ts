import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const count = z.number().int().nonnegative();
/** The next step begins after this id; null when there is no next step. */
const nextAfter = z.guid().nullable();

const sweepStep = z.object({
  next_after: nextAfter,
  devices: count,
  sessions_ended: count,
  heartbeats_corrected: count,
  devices_online: count,
  devices_offline: count,
  left: count,
});
const expireStep = z.object({ commands_expired: count, more: z.boolean() });
const handOverStep = z.object({
  next_after: nextAfter,
  handed_over: count,
  handed_over_again: count,
});

export type SweepStep = z.output<typeof sweepStep>;
export type ExpireStep = z.output<typeof expireStep>;
export type HandOverStep = z.output<typeof handOverStep>;

/** Devices whose ids come after `after`, up to `until` inclusive. */
export type Stretch = { after?: string; until?: string };

/** The bounded transactions of a run. supabase/migrations has the function behind each. */
export interface Steps {
  sweep(stretch: Stretch): Promise<SweepStep>;
  expire(): Promise<ExpireStep>;
  handOver(stretch: Stretch): Promise<HandOverStep>;
}

/** @throws PermanentError for a setting that the database refuses, Error for every other failure. */
export function createSteps(
  { db, signal }: Pick<JobContext, "db" | "signal">,
): Steps {
  const bounds = ({ after, until }: Stretch) => ({
    ...(after === undefined ? {} : { p_after: after }),
    ...(until === undefined ? {} : { p_until: until }),
  });
  return {
    sweep: async (stretch) =>
      readAnswer(
        "monitor device connections (sweep)",
        sweepStep,
        await db.rpc("monitor_device_connections_sweep", bounds(stretch))
          .abortSignal(signal),
      ),
    expire: async () =>
      readAnswer(
        "monitor device connections (expire)",
        expireStep,
        await db.rpc("monitor_device_connections_expire").abortSignal(signal),
      ),
    handOver: async (stretch) =>
      readAnswer(
        "monitor device connections (hand over)",
        handOverStep,
        await db.rpc("monitor_device_connections_hand_over", bounds(stretch))
          .abortSignal(signal),
      ),
  };
}
