/** Reads entries from a text, whatever kind of file it is. */
import type { z } from "zod";
import type { Entry } from "../entry.ts";
import { isZone } from "../zones.ts";
import { readCrontab } from "./crontab.ts";
import { readKubernetes } from "./kubernetes.ts";
import { readSchedulesJson } from "./schedules-json.ts";
import { readTsv } from "./tsv.ts";
import { readVercel } from "./vercel.ts";

export interface ReadText {
  entries: Entry[];
  /** What the text does not tell. */
  unknown: string[];
}

export interface TextSource {
  /** As findings name it. */
  name: string;
  text: string;
  /** The zone of a machine or cluster that the text does not name. */
  zone: string | undefined;
}

/** @throws Error where the text is none of the kinds, or an entry in it cannot be read. */
export function readText(source: TextSource): ReadText {
  const read = kindOf(source)(source);
  if (read.entries.length === 0) throw new Error(`Cannot find an entry in ${source.name}`);
  for (const { zone, where } of read.entries) {
    if (!isZone(zone)) throw new Error(`Cannot read ${where}: there is no time zone ${zone}`);
  }
  return read;
}

function kindOf({ name, text }: TextSource): (source: TextSource) => ReadText {
  const begin = text.trimStart();
  if (begin.startsWith("{")) {
    return /"crons"\s*:/.test(text) && !/"kind"\s*:/.test(text)
      ? readVercel
      : /"kind"\s*:/.test(text)
      ? readKubernetes
      : readSchedulesJson;
  }
  if (/^\s*kind:\s*["']?(CronJob|List)\b/m.test(text)) return readKubernetes;
  if (/\.ya?ml$/.test(name)) return readKubernetes;
  const isTable = linesOf(text).every(([line]) =>
    line.trim() === "" || line.startsWith("#") || line.split("\t").length > 2
  );
  return isTable ? readTsv : readCrontab;
}

/** The lines of a text with their numbers. */
export function linesOf(text: string): [line: string, number: number][] {
  return text.split(/\r?\n/).map((line, index) => [line, index + 1]);
}

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/**
 * A text as JSON of that shape.
 *
 * @throws Error that shows nothing of the text: it may hold secrets.
 */
export function readJson<Shape extends z.ZodType>(
  name: string,
  text: string,
  shape: Shape,
): z.output<Shape> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`Cannot read ${name}: it is no JSON`);
  }
  const { success, data, error } = shape.safeParse(json);
  if (success) return data;
  throw new Error(`Cannot read ${name}: ${error.issues[0]!.path.join(".")} is missing or wrong`);
}
