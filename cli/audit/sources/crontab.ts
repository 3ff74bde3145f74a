import type { Entry } from "../entry.ts";
import { workOfText } from "../work.ts";
import { linesOf, type ReadText, type TextSource } from "./text-source.ts";

/** A crontab, or a list of lines `schedule command`. In /etc/crontab and cron.d the sixth field is a user. */
export function readCrontab({ name, text, zone }: TextSource): ReadText {
  const hasUser = /(^|\/)etc\/crontab$|(^|\/)cron\.d\//.test(name);
  const entries: Entry[] = [];
  const unknown: string[] = [];
  let inForce = zone;
  let comment: string[] = [];
  for (const [line, number] of linesOf(text)) {
    const where = `${name}:${number}`;
    const trimmed = line.trim();
    if (trimmed.startsWith("#")) {
      comment.push(trimmed.replace(/^#+\s*/, ""));
      continue;
    }
    const above = comment.join(" ");
    comment = [];
    if (trimmed === "") continue;
    const [, variable, value] = /^(\w+)\s*=\s*["']?(.*?)["']?$/.exec(trimmed) ?? [];
    if (variable !== undefined) {
      if (variable === "CRON_TZ") inForce = value!;
      if (variable === "TZ") {
        inForce = value!;
        unknown.push(
          `${where}: whether TZ=${value} moves the schedules. Debian's cron passes it to the commands alone; here it is taken for the zone of the schedules.`,
        );
      }
      continue;
    }
    const match = /^(@\w+|(?:\S+\s+){4}\S+)\s+(.+)$/.exec(trimmed);
    if (match === null) {
      throw new Error(`Cannot read ${where}: it must be a schedule and a command`);
    }
    const [, schedule, rest] = match as unknown as [string, string, string];
    const [, username, inner] = (hasUser && /^(\S+)\s+(.+)$/.exec(rest)) || [];
    const command = inner ?? rest;
    const work = workOfText(command);
    entries.push({
      name: work.functionName ?? work.label,
      schedule: schedule.replace(/\s+/g, " "),
      zone: inForce ?? "UTC",
      engine: "crontab",
      command,
      work,
      where,
      active: true,
      ...(above === "" ? {} : { comment: above }),
      ...(username === undefined ? {} : { username }),
    });
    if (inForce === undefined && entries.length === 1) {
      unknown.push(
        `${name}: the zone of the machine, which a crontab without CRON_TZ does not name. Taken as UTC; --zone says another.`,
      );
    }
  }
  return { entries, unknown };
}
