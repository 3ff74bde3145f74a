import { counted } from "../../../shared/text.ts";

/** The counts of a run so far. */
export interface Figures {
  /** Devices that had an open session or the status `online`. */
  devices: number;
  sessionsEnded: number;
  heartbeatsCorrected: number;
  devicesOnline: number;
  devicesOffline: number;
  commandsExpired: number;
  commandsHandedOver: number;
  commandsHandedOverAgain: number;
  /** Silent sessions and devices that were skipped because another transaction had locked their rows. */
  leftForNextRun: number;
  /** Why the run stopped: the work is done, or its time ran out. */
  stopped: "done" | "time";
}

/** One line for lists: "1,204 devices looked at: 3 sessions ended, 2 devices offline, 14 commands handed over". */
export function summarize(figures: Figures): string {
  const parts: string[] = [];
  const add = (count: number, noun: string, what: string) => {
    if (count > 0) parts.push(`${counted(count, noun)} ${what}`);
  };
  add(figures.sessionsEnded, "session", "ended");
  add(figures.devicesOnline, "device", "online");
  add(figures.devicesOffline, "device", "offline");
  add(figures.commandsHandedOver, "command", "handed over");
  add(figures.commandsHandedOverAgain, "command", "handed over again");
  add(figures.commandsExpired, "command", "expired");
  if (parts.length === 0) parts.push("nothing to do");
  add(figures.heartbeatsCorrected, "heartbeat", "brought back from the future");
  add(figures.leftForNextRun, "row", "left for the next run");
  if (figures.stopped === "time") parts.push("stopped for want of time");
  return `${counted(figures.devices, "device")} looked at: ${parts.join(", ")}`;
}
