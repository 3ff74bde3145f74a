/**
 * supabase/schedules.json of a project: Daybook brings and takes the entries of its packs one by one, because people add
 * and change entries in the same file.
 */
import { createTwoFilesPatch } from "diff";
import { applyEdits, getNodeValue, type JSONPath, modify } from "jsonc-parser";
import { z } from "zod";
import type { Pack } from "../local/packs.ts";
import { hashOfJson } from "../local/hash.ts";
import { type Entry, parseTree } from "../local/schedules.ts";
import type { Plan } from "./plan.ts";
import { type Manifest, type Project, SCHEDULES } from "./project.ts";
import type { Source } from "./source.ts";

/** Where a project has no such file yet. */
const EMPTY = '{\n  "$schema": "./schedules.schema.json"\n}\n';

type Hashes = Manifest["schedules"];

/** Checks only what finding an entry needs; `daybook plan` checks the rest. */
const shape = z.record(z.string(), z.array(z.looseObject({ name: z.string() })));

/**
 * Plans the file for these packs: new entries are added, those that are as they were written become the new version's or
 * go with their pack, and those that their owner has changed or taken out stay so. Returns the hashes of all entries.
 */
export function placeSchedules(
  plan: Plan,
  source: Source,
  project: Project,
  packs: readonly Pack[],
): Hashes {
  const there = project.files.get(SCHEDULES);
  const written = (project.manifest ?? project.ledger)?.schedules ?? {};
  // Without the file nothing was taken out of it: it is written again, as other files are.
  const before = there === undefined ? {} : written;
  if (there === undefined && packs.length > 0 && Object.keys(written).length > 0) {
    plan.notes.push(`missing ${SCHEDULES}: it is written again`);
  }
  const wanted = new Map(packs.map(({ name }) => [name, source.schedules[name] ?? []]));
  let file: SchedulesText;
  try {
    file = new SchedulesText(there ?? EMPTY);
  } catch (error) {
    plan.conflicts.push((error as Error).message);
    return before;
  }
  // By name: an entry may move to another pack in a new version.
  const hashesBefore: Record<string, string> = Object.assign({}, ...Object.values(before));
  const names = new Set([...wanted.values()].flat().map(({ name }) => name));
  const hashes: Hashes = {};
  for (const [pack, entries] of wanted) {
    const ofPack = entries.map((entry): [string, string] => {
      const hash = hashOfJson(entry);
      placeEntry(plan, file, { pack, entry, hash, before: hashesBefore[entry.name] });
      return [entry.name, hash];
    });
    if (ofPack.length > 0) hashes[pack] = Object.fromEntries(ofPack);
  }
  for (const [pack, entries] of Object.entries(before)) {
    for (const [name, hash] of Object.entries(entries)) {
      if (!names.has(name)) removeEntry(plan, file, name, hash);
    }
    if (!wanted.has(pack)) file.dropIfEmpty(pack);
  }
  if (packs.length === 0 && file.isEmpty) {
    if (there !== undefined) plan.removes.push(SCHEDULES);
    return hashes;
  }
  if (packs.length === 0) plan.notes.push(`stay    ${SCHEDULES}: it has entries of yours`);
  if (file.text !== there) plan.writes.set(SCHEDULES, file.text);
  return hashes;
}

interface PlacedEntry {
  pack: string;
  entry: Entry;
  hash: string;
  /** The hash that it was written with; undefined: it never was. */
  before: string | undefined;
}

function placeEntry(plan: Plan, file: SchedulesText, { pack, entry, hash, before }: PlacedEntry) {
  const found = file.find(entry.name);
  if (found === undefined) {
    // Its owner has taken it out.
    if (before === undefined) file.add(pack, entry);
    return;
  }
  const current = hashOfJson(found.entry);
  if (current === hash) return;
  if (current === before) return file.set(found.path, entry);
  // The difference is shown once, and again when Daybook's entry changes.
  if (before === hash) return;
  plan.kept.push({
    path: `${SCHEDULES} (${entry.name})`,
    difference: createTwoFilesPatch(
      `${entry.name} (yours)`,
      `${entry.name} (Daybook's)`,
      textOf(found.entry),
      textOf(entry),
    ),
    why: "changed",
  });
}

function removeEntry(plan: Plan, file: SchedulesText, name: string, hash: string) {
  const found = file.find(name);
  if (found === undefined) return;
  if (hashOfJson(found.entry) === hash) return file.remove(found.path);
  plan.kept.push({ path: `${SCHEDULES} (${name})`, difference: "", why: "changed" });
  plan.notes.push(
    `warning: daybook apply would register ${name} again: take it out of ${SCHEDULES}, or keep its function`,
  );
}

const textOf = (entry: object) => `${JSON.stringify(entry, null, 2)}\n`;

const layout = { formattingOptions: { tabSize: 2, insertSpaces: true } };

/** The file while it is changed: what is not changed, or beside a change, keeps its layout. */
class SchedulesText {
  #sections!: Record<string, { name: string }[]>;

  constructor(public text: string) {
    this.#read();
  }

  #read() {
    const value = getNodeValue(parseTree(SCHEDULES, this.text)) as unknown;
    const { $schema: _, ...sections } = Object(value) as Record<string, unknown>;
    if (Array.isArray(value) || !shape.safeParse(sections).success) {
      throw new Error(`file ${SCHEDULES}, which is none of Daybook's`);
    }
    this.#sections = sections as Record<string, { name: string }[]>;
  }

  get isEmpty(): boolean {
    return Object.values(this.#sections).every((entries) => entries.length === 0);
  }

  find(name: string): { path: JSONPath; entry: object } | undefined {
    for (const [section, entries] of Object.entries(this.#sections)) {
      const index = entries.findIndex((entry) => entry.name === name);
      if (index >= 0) return { path: [section, index], entry: entries[index]! };
    }
    return undefined;
  }

  add(section: string, entry: Entry) {
    const there = this.#sections[section];
    if (there === undefined) this.#edit([section], [entry]);
    else this.#edit([section, there.length], entry, true);
  }

  set(path: JSONPath, entry: Entry) {
    this.#edit(path, entry);
  }

  remove(path: JSONPath) {
    this.#edit(path, undefined);
  }

  dropIfEmpty(section: string) {
    if (this.#sections[section]?.length === 0) this.#edit([section], undefined);
  }

  #edit(path: JSONPath, value: unknown, isArrayInsertion = false) {
    this.text = applyEdits(
      this.text,
      modify(this.text, path, value, { ...layout, isArrayInsertion }),
    );
    this.#read();
  }
}
