/**
 * schedules.json: what runs when, by section; those of packs are named like the pack. An entry is what register_job takes,
 * and a few fields for its readers and for `apply`.
 */
import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree as parseTolerantly,
  printParseErrorCode,
} from "jsonc-parser";
import { z } from "zod";
import { alikeNames } from "./alike-names.ts";
import type { JobArgument } from "./job-arguments.ts";

export type Json = z.infer<ReturnType<typeof z.json>>;

/** The variable that a job's interval is taken from when the file is applied; where it is not set, `schedule` is. */
export interface IntervalFrom {
  variable: string;
  unit: "milliseconds" | "seconds";
}

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
  interval_from: z.strictObject({
    variable: z.string(must("be a variable's name: A-Z, 0-9 and _"))
      .regex(/^[A-Z_][A-Z0-9_]*$/, "must be a variable's name: A-Z, 0-9 and _"),
    unit: z.enum(["milliseconds", "seconds"], must('be "milliseconds" or "seconds"')),
  }, must("be an object with variable and unit")).optional()
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
  const repeated = repeatedKeys(tree);
  const { data, error } = shapeOf(args).safeParse(getNodeValue(tree));
  const faults = [
    ...repeated.map(({ key, offset }) =>
      `${name}:${lineAt(offset)}: ${JSON.stringify(key)} stands there twice`
    ),
    ...(error?.issues ?? []).flatMap((issue) => faultsOf(issue, tree, args, placeOf)),
  ];
  if (faults.length > 0) throw new Error(faultText(name, faults));
  const { $schema: _, ...sections } = data as { $schema?: string } & Record<string, Entry[]>;
  const repeatedJobs = repeatedNames(sections).map(({ path, first }) =>
    `${placeOf(path)} must be another name: ${pathText(first)} has it`
  );
  if (repeatedJobs.length > 0) throw new Error(faultText(name, repeatedJobs));
  return { sections, placeOf };
}

const lineOf = (text: string, offset: number) => text.slice(0, offset).split("\n").length;

/** A text as JSON, with the places of its parts. Throws where it is none, with the line. */
export function parseTree(name: string, text: string): Node {
  const errors: ParseError[] = [];
  const tree = parseTolerantly(text, errors, { allowTrailingComma: false, disallowComments: true });
  const [first] = errors;
  if (first === undefined) return tree!;
  const why = WORDS[printParseErrorCode(first.error)] ?? "it is no JSON";
  throw new Error(`Cannot read ${name}:${lineOf(text, first.offset)}: ${why}`);
}

/** JSON whose objects have their keys in one order. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, inner) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
        : inner,
  );
}

/** The names that an entry before has, in whatever section. */
function repeatedNames(sections: Record<string, Entry[]>): { path: Path; first: Path }[] {
  const known = new Map<string, Path>();
  return Object.entries(sections).flatMap(([section, entries]) =>
    entries.flatMap(({ name }, index) => {
      const first = known.get(name);
      if (first !== undefined) return [{ path: [section, index, "name"], first }];
      known.set(name, [section, index]);
      return [];
    })
  );
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

/** Where a fault is shown; that of something that is missing is the place where it should stand. */
function nodeAt(tree: Node, path: Path): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node !== undefined) return node;
  }
  return tree;
}

const pathText = (path: Path) =>
  path.map((part) => typeof part === "number" ? `[${part}]` : `.${part}`).join("").slice(1);

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
  const node = findNodeAtLocation(tree, [...path]);
  const got = node === undefined ? "" : `, got ${shorten(JSON.stringify(getNodeValue(node)))}`;
  return [`${placeOf(path)} ${issue.message}${got}`];
}

const shorten = (text: string) => text.length > 100 ? `${text.slice(0, 97)}…` : text;

/** Keys that an object has more than once: of these JSON keeps the last alone. */
function repeatedKeys(node: Node): { key: string; offset: number }[] {
  const children = node.children ?? [];
  const inside = children.flatMap(repeatedKeys);
  if (node.type !== "object") return inside;
  const keys = children.map((property) => property.children![0]!);
  return [
    ...keys.filter((key, index) => keys.findIndex(({ value }) => value === key.value) < index)
      .map(({ value, offset }) => ({ key: value as string, offset })),
    ...inside,
  ];
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
  )
    .superRefine((entry: { schedule?: unknown; interval_from?: unknown }, context) => {
      if (entry.interval_from === undefined || typeof entry.schedule === "string") return;
      context.addIssue({
        code: "custom",
        path: ["schedule"],
        message: "must be what is taken where the variable of interval_from is not set",
      });
    });
  return z.object({ $schema: z.string().optional() }, must("be an object"))
    .catchall(z.array(entry, must("be a list of jobs")))
    .superRefine((sections, context) => {
      for (const section of Object.keys(sections)) {
        if (section === "$schema" || /^[a-z][a-z0-9-]{0,62}$/.test(section)) continue;
        context.addIssue({
          code: "custom",
          path: [section],
          message: "must have a name of a-z, 0-9 and -, the first a letter",
        });
      }
    });
}
