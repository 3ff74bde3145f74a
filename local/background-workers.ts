import type { StandIns } from "./bootstrap.ts";
import { createCronWorker, type CronWorker } from "./cron-worker.ts";
import { type NetWorker, startNetWorker } from "./net-worker.ts";

/** The workers of the stand-ins; where the server has the real extension there is none. */
export function backgroundWorkers(
  adminUrl: string,
  standIns: StandIns,
  cron: boolean,
  onError: (message: string) => void,
) {
  let net: NetWorker | undefined;
  let scheduler: CronWorker | undefined;
  let paused = false;
  return {
    async start() {
      if (standIns.pgNet) net = await startNetWorker({ adminUrl, onError });
      if (paused) net?.pause();
      if (standIns.pgCron) {
        scheduler = await createCronWorker({ adminUrl, onError });
        if (cron) scheduler.start();
      }
    },
    async stop() {
      await scheduler?.stop();
      await net?.stop();
      scheduler = net = undefined;
    },
    pause() {
      paused = true;
      net?.pause();
    },
    resume() {
      paused = false;
      net?.resume();
    },
  };
}
