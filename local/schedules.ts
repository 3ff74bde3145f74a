/**
 * schedules.json: what runs when, by section; those of packs are named like the pack. An entry is what register_job takes,
 * and a few fields for its readers and for `apply`.
 */
import {
  createScanner,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree as parseTolerantly,
  printParseErrorCode,
} from "jsonc-parser";
import { z } from "zod";
import { lineOf } from "./line-of.ts";
import { alikeNames } from "./alike-names.ts";
import type { JobArgument } from "./job-arguments.ts";

export type Json = z.infer<ReturnType<typeof z.json>>;

/** The variable that a job's interval is taken from when the file is applied; where it is not set, `schedule` is. */
const intervalFrom = z.strictObject({
  variable: z.string(must("be a variable's name: A-Z, 0-9 and _"))
    .regex(/^[A-Z_][A-Z0-9_]*$/, "must be a variable's name: A-Z, 0-9 and _"),
  unit: z.enum(["milliseconds", "seconds"], must('be "milliseconds" or "seconds"')),
}, must("be an object with variable and unit"));
export type IntervalFrom = z.infer<typeof intervalFrom>;

export interface Entry {
  name: string;
  schedule: string | null;
  target?: string | undefined;
  description?: string | undefined;
  interval_from?: IntervalFrom | undefined;
  [argument: string]: Json | IntervalFrom | undefined;
}

/** A place in the file: section, index, field. */
export type Path = readonly (string | number)[];

export interface Schedules {
  sections: Record<string, Entry[]>;
  /** Where that is: `supabase/schedules.json:12: devices[0].schedule`. */
  placeOf(path: Path): string;
}

/** Fields of an entry that are no arguments of register_job. */
const OWN_FIELDS = {
  why: text("why the job is registered so, for those who read the file"),
  shares: text("why it may start in the same minute as others; audit finds those without a reason"),
  interval_from: intervalFrom.optional()
    .describe(
      "the variable that the interval is taken from when the file is applied; unset: schedule",
    ),
};

/** What register_job is given of an entry. */
export function argumentsOf(entry: Entry): { [argument: string]: Json } {
  return Object.fromEntries(
    Object.entries(entry).filter(([field, value]) => !(field in OWN_FIELDS) && value !== undefined),
  ) as { [argument: string]: Json };
}

/**
 * Reads a file.
 *
 * @param name What it is called in messages.
 * @throws Error that names each fault with its line and its place, and says what would be right.
 */
export function readSchedulesText(
  name: string,
  text: string,
  args: readonly JobArgument[],
): Schedules {
  const tree = parseTree(name, text);
  const lineAt = (offset: number) => lineOf(text, offset);
  const placeOf = (path: Path) => {
    const node = nodeAt(tree, path);
    return `${name}:${lineAt(node.offset)}: ${path.length === 0 ? "the file" : pathText(path)}`;
  };
  const value: unknown = getNodeValue(tree);
  const { data, error } = shapeOf(args).safeParse(value);
  const entries = entriesOf(value);
  const faults = [
    ...lossFaults(tree).map(({ fault, offset }) => `${name}:${lineAt(offset)}: ${fault}`),
    ...(error?.issues ?? []).flatMap((issue) => faultsOf(issue, tree, args, placeOf)),
    ...sectionFaults(value, placeOf),
    ...repeatedNames(entries).map(({ path, first }) =>
      `${placeOf(path)} must be another name: ${pathText(first)} has it`
    ),
    ...intervalFaults(entries, placeOf),
  ];
  if (faults.length > 0) throw new Error(faultText(name, faults));
  const { $schema: _, ...sections } = data as { $schema?: string } & Record<string, Entry[]>;
  return { sections, placeOf };
}

interface FoundEntry {
  path: Path;
  entry: Record<string, unknown>;
}

/** What is an entry, or looks like one, in a file that may be wrong in other places. */
function entriesOf(file: unknown): FoundEntry[] {
  return Object.entries(sectionsOf(file)).flatMap(([section, entries]) =>
    Array.isArray(entries) ? entries.map((entry, index) => ({ path: [section, index], entry })) : []
  ).filter(({ entry }) => typeof entry === "object" && entry !== null);
}

const SECTION = /^[a-z][a-z0-9-]{0,62}$/;

function sectionFaults(file: unknown, placeOf: (path: Path) => string): string[] {
  return Object.keys(sectionsOf(file)).filter((name) => !SECTION.test(name)).map((name) => {
    const place = placeOf([name]);
    return `${place} must have a name of a-z, 0-9 and -, the first a letter, at most 63 of them`;
  });
}

function sectionsOf(file: unknown): Record<string, unknown> {
  if (typeof file !== "object" || Array.isArray(file)) return {};
  const { $schema: _, ...sections } = Object(file);
  return sections;
}

function intervalFaults(entries: readonly FoundEntry[], placeOf: (path: Path) => string): string[] {
  return entries.filter(({ entry }) => entry.interval_from !== undefined && entry.schedule === null)
    .map(({ path }) =>
      `${
        placeOf([...path, "schedule"])
      } must be what is taken where the variable of interval_from is not set, got null`
    );
}

/** A text as JSON, with the places of its parts. Throws where it is none, with the line. */
export function parseTree(name: string, text: string): Node {
  assertNotDeep(name, text);
  const errors: ParseError[] = [];
  const tree = parseTolerantly(text, errors, { allowTrailingComma: false, disallowComments: true });
  const [first] = errors;
  if (first === undefined) return tree!;
  const why = text.startsWith("\uFEFF")
    ? "it begins with a byte order mark: save it as UTF-8 without one"
    : WORDS[printParseErrorCode(first.error)] ?? "it is no JSON";
  throw new Error(`Cannot read ${name}:${lineOf(text, first.offset)}: ${why}`);
}

const mostLevels = 100;

/** What reads the text afterwards calls itself for each level. */
function assertNotDeep(name: string, text: string): void {
  const scanner = createScanner(text, true);
  let levels = 0;
  while (scanner.getPosition() < text.length) {
    scanner.scan();
    const first = text[scanner.getTokenOffset()];
    if (first === "{" || first === "[") levels++;
    if (first === "}" || first === "]") levels--;
    if (levels <= mostLevels) continue;
    const line = lineOf(text, scanner.getTokenOffset());
    throw new Error(`Cannot read ${name}:${line}: it has more than ${mostLevels} levels`);
  }
}

/** The names that an entry before has, in whatever section. */
function repeatedNames(entries: readonly FoundEntry[]): { path: Path; first: Path }[] {
  const known = new Map<string, Path>();
  return entries.flatMap(({ path, entry: { name } }) => {
    if (typeof name !== "string") return [];
    const first = known.get(name);
    if (first !== undefined) return [{ path: [...path, "name"], first }];
    known.set(name, path);
    return [];
  });
}

/** A JSON Schema of the file, for editors. */
export function jsonSchemaOf(args: readonly JobArgument[]): object {
  return z.toJSONSchema(shapeOf(args), {
    io: "input",
    // The range of whole numbers in JavaScript tells nobody anything.
    override: ({ jsonSchema }) => {
      if (jsonSchema.type !== "integer") return;
      delete jsonSchema.minimum;
      delete jsonSchema.maximum;
    },
  });
}

/** Of names that stand there twice the last, which is the one that JSON keeps. */
function findNode(tree: Node, path: Path): Node | undefined {
  return path.reduce<Node | undefined>((node, part) => {
    if (typeof part === "number") return node?.children?.[part];
    return node?.children?.findLast(({ children }) => children?.[0]?.value === part)?.children?.[1];
  }, tree);
}

/** Where a fault is shown; that of something that is missing is the place where it should stand. */
function nodeAt(tree: Node, path: Path): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNode(tree, path.slice(0, length));
    if (node !== undefined) return node;
  }
  return tree;
}

const pathText = (path: Path) =>
  path.map((part) => {
    if (typeof part === "number") return `[${part}]`;
    return /^[\w-]+$/.test(part) ? `.${part}` : `.${quoted(part)}`;
  }).join("").slice(1);

/** A value as JSON, without characters that steer a terminal. */
function quoted(value: unknown): string {
  return shorten(JSON.stringify(value)).replace(
    /[\x7f-\x9f]/g,
    (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`,
  );
}

const faultText = (name: string, faults: readonly string[]) =>
  faults.length === 1
    ? `Cannot use ${faults[0]}`
    : [`Cannot use ${name}:`, ...faults.map((fault) => `  ${fault}`)].join("\n");

function faultsOf(
  issue: z.core.$ZodIssue,
  tree: Node,
  args: readonly JobArgument[],
  placeOf: (path: Path) => string,
): string[] {
  const path = issue.path as Path;
  if (issue.code === "unrecognized_keys") {
    const fields = path.length > 2
      ? ["variable", "unit"]
      : [...args.map(({ argument }) => argument), ...Object.keys(OWN_FIELDS)];
    return issue.keys.map((key) => {
      const alike = alikeNames(key, fields);
      return `${placeOf([...path, key])} is no field` +
        (alike.length === 0 ? "" : `; did you mean ${alike.join(" or ")}?`);
    });
  }
  const node = findNode(tree, path);
  const got = node === undefined ? "" : `, got ${quoted(getNodeValue(node))}`;
  return [`${placeOf(path)} ${issue.message}${got}`];
}

const shorten = (text: string) => text.length > 100 ? `${text.slice(0, 97)}…` : text;

interface NodeFault {
  fault: string;
  offset: number;
}

/** What would be lost on the way to the database, or refused there without its place in the file. */
function lossFaults(node: Node): NodeFault[] {
  return [...keyFaults(node), ...valueFaults(node), ...(node.children ?? []).flatMap(lossFaults)];
}

function valueFaults({ type, value, offset }: Node): NodeFault[] {
  if (type === "string" && (value.includes("\0") || !value.isWellFormed())) {
    return [{ fault: `${quoted(value)} has a character that Postgres does not keep`, offset }];
  }
  const isLost = type === "number" &&
    (!Number.isFinite(value) || Number.isInteger(value) && !Number.isSafeInteger(value));
  return isLost
    ? [{ fault: `a number has at most 15 digits here, got ${value}: write it as a text`, offset }]
    : [];
}

/** Of keys that an object has more than once JSON keeps the last alone. */
function keyFaults(node: Node): NodeFault[] {
  if (node.type !== "object") return [];
  const seen = new Set<string>();
  return node.children!.flatMap((property) => {
    const { value, offset } = property.children![0]!;
    const isRepeated = seen.has(value);
    seen.add(value);
    if (value === "__proto__") return [{ fault: `${quoted(value)} may not be a name`, offset }];
    return isRepeated ? [{ fault: `${quoted(value)} stands there twice`, offset }] : [];
  });
}

/** What jsonc-parser finds, in words. */
const WORDS: Record<string, string> = {
  PropertyNameExpected: "a name in double quotes is expected",
  ValueExpected: "a value is expected",
  ColonExpected: "a colon is expected",
  CommaExpected: "a comma is expected",
  CloseBraceExpected: "} is expected",
  CloseBracketExpected: "] is expected",
  EndOfFileExpected: "the end is expected",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfString: "a text has no end",
};

type Custom = Parameters<typeof z.string>[0];

/** "is missing", or what it must be. */
function must(be: string) {
  return {
    error: ({ input }: { input?: unknown }) => input === undefined ? "is missing" : `must ${be}`,
  } satisfies Custom;
}

function text(description: string) {
  return z.string(must("be a text")).optional().describe(description);
}

/** What a value of that type of Postgres is in JSON; what register_job makes of it, it says itself. */
function valueOf({ type, default_value: value }: JobArgument): z.ZodType {
  switch (type) {
    case "text":
      return z.string(must("be a text"));
    case "boolean":
      return z.boolean(must("be true or false"));
    case "smallint":
    case "integer":
    case "bigint":
      return z.int(must("be a whole number"));
    case "text[]":
      return z.array(z.string(must("be a text")), must("be a list of texts"));
    case "jsonb":
      return value?.startsWith("'{")
        ? z.record(z.string(), z.json(), must("be an object"))
        : z.json();
    default:
      return z.union([z.string(), z.number(), z.boolean()], must(`be a ${type}`));
  }
}

/** The shape of the file. */
function shapeOf(args: readonly JobArgument[]) {
  const fields = args.map((argument) => {
    const value = valueOf(argument);
    // Null is what it is without one; a job without a schedule runs only when it is called.
    const isNull = argument.argument === "schedule" ||
      /^null\b/i.test(argument.default_value ?? "");
    const nullable = isNull ? value.nullable() : value;
    const isRequired = argument.default_value === null;
    return [argument.argument, isRequired ? nullable : nullable.optional()];
  });
  const entry = z.strictObject(
    { ...Object.fromEntries(fields), ...OWN_FIELDS },
    must("be an object"),
  );
  return z.object({ $schema: z.string(must("be a text")).optional() }, must("be an object"))
    .catchall(z.array(entry, must("be a list of jobs")));
}
