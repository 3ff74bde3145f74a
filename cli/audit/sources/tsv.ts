import type { Budget, Entry } from "../entry.ts";
import { workOfText } from "../work.ts";
import { linesOf, type ReadText, type TextSource } from "./text-source.ts";

/**
 * A line an entry: name, schedule, zone, what it does. Where the heading says `interval seconds` the columns are name,
 * seconds, budget (`mentions 10/15min`) and the calls of a run, and a comment begins a list of its own.
 */
export function readTsv({ name, text }: TextSource): ReadText {
  const entries: Entry[] = [];
  let section: string | undefined;
  const hasIntervals = /^#.*\binterval seconds\b/m.test(text);
  for (const [line, number] of linesOf(text)) {
    const where = `${name}:${number}`;
    if (line.trim() === "") continue;
    if (line.startsWith("#")) {
      if (hasIntervals && !line.includes("\t")) section = line.slice(1).trim();
      continue;
    }
    const [entry, schedule, third, fourth] = line.split("\t").map((cell) => cell.trim());
    if (!entry || !schedule || !third) {
      throw new Error(`Cannot read ${where}: it must be name, schedule, zone and what, by tabs`);
    }
    const command = hasIntervals ? entry : fourth ?? entry;
    const budget = hasIntervals ? budgetOf(third, fourth, where) : undefined;
    entries.push({
      name: entry,
      schedule: hasIntervals ? `${schedule} seconds` : schedule,
      zone: hasIntervals ? "UTC" : third,
      engine: "list",
      command,
      work: workOfText(command),
      where,
      active: true,
      ...(section === undefined ? {} : { section }),
      ...(budget === undefined ? {} : { budget }),
    });
  }
  return { entries, unknown: [] };
}

function budgetOf(text: string, calls: string | undefined, where: string): Budget | undefined {
  if (text === "-") return undefined;
  const match = /^(\S+) (\d+)\/(\d+)(s|min|h|d)$/.exec(text);
  if (match === null || !/^\d+$/.test(calls ?? "")) {
    throw new Error(
      `Cannot read ${where}: a budget must be like mentions 10/15min, then its calls`,
    );
  }
  const [, name, limit, count, unit] = match;
  const seconds = { s: 1, min: 60, h: 3600, d: 86_400 }[unit as "s"];
  return {
    name: name!,
    calls: Number(limit),
    seconds: Number(count) * seconds,
    callsPerRun: Number(calls),
  };
}
