/** Reads entries from a text, whatever kind of file it is. */
import { isZone } from "../zones.ts";
import type { Entry } from "../entry.ts";
import { readCrontab } from "./crontab.ts";
import { readKubernetes } from "./kubernetes.ts";
import { readSchedulesJson } from "./schedules-json.ts";
import { readTsv } from "./tsv.ts";
import { linesOf, type ReadText, type TextSource } from "./text-source.ts";
import { readVercel } from "./vercel.ts";

/** @throws Error where the text is none of the kinds, or an entry in it cannot be read. */
export function readText(source: TextSource): ReadText {
  const read = kindOf(source)(source);
  if (read.entries.length === 0) throw new Error(`Cannot find an entry in ${source.name}`);
  for (const { zone, where } of read.entries) {
    if (!isZone(zone)) throw new Error(`Cannot read ${where}: there is no time zone ${zone}`);
  }
  return { ...read, entries: read.entries.map((entry) => withOwnName(entry, read.entries)) };
}

/** A command may stand in several lines. */
function withOwnName(entry: Entry, all: readonly Entry[]): Entry {
  const isOnly =
    all.filter(({ name, section }) => name === entry.name && section === entry.section).length ===
      1;
  return isOnly
    ? entry
    : { ...entry, name: `${entry.name} (line ${entry.where.split(":").at(-1)})` };
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
