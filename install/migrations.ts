/** The migrations that are written for one project: what is renamed, taken over and taken out. */
import { quoteLiteral } from "../local/bootstrap.ts";
import { fillIn, literalArray } from "../local/guard.ts";
import { keyOf, type Name } from "../local/names.ts";
import type { Pack } from "../local/packs.ts";

/** The tables that stay, without `--drop-ledger`, when the core goes: what happened, and which days have run. */
export const LEDGER = [
  "scheduler_activity",
  "scheduler_audit",
  "scheduler_health_history",
  "scheduler_runs",
  "scheduler_state",
];

const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.url));
const [aside, back, over, builtOn, forget] = await Promise.all([
  read("move-aside.sql"),
  read("put-back.sql"),
  read("take-over.sql"),
  read("built-on.sql"),
  read("forget-pack.sql"),
]);

/** What a name gets that is moved aside. */
export const SUFFIX = "_before_daybook";

/**
 * Renames whatever has one of these names to <name>_before_daybook. `before`: the version of the migration that makes
 * the names; where that has run already, nothing is renamed.
 */
export const moveAside = (names: readonly Name[], before?: string) =>
  fillIn(aside, {
    ...bySpace(names),
    before: before === undefined ? "null" : quoteLiteral(before),
  });

/** Whether what has such a name can be renamed by a migration. */
export const canMove = ({ kind }: Name) => !["job", "trigger", "constraint"].includes(kind);

/** Copies the day that ran last from what was moved aside. */
export const takeOver = () => over;

/** Takes packs out, in this order. `dropLedger`: also the tables of LEDGER. `putBack`: the names that were moved aside. */
export function removePacks(
  packs: readonly { pack: Pack; makes: readonly Name[] }[],
  { dropLedger, putBack }: { dropLedger: boolean; putBack: readonly Name[] },
): string {
  const parts = packs.map(({ pack, makes }) => {
    const values = {
      ...bySpace(makes),
      pack: quoteLiteral(pack.name),
      schema: quoteLiteral(pack.schema),
    };
    const left = dropLedger ? makes : makes.filter(({ name }) => !LEDGER.includes(name));
    return [
      `-- The pack ${pack.name}.\n`,
      ...dropsOf(PARTS, makes),
      fillIn(builtOn, values),
      fillIn(forget, values),
      ...dropsOf(WHOLES, left),
    ].join("");
  });
  return [...parts, ...putBackOf(putBack)].join("\n");
}

/** Drops the tables of LEDGER, which stayed when the core went. `putBack`: the names that were moved aside. */
export function removeLedger(putBack: readonly Name[]): string {
  const makes = LEDGER.map((name) => ({ kind: "table", name }));
  const values = { ...bySpace(makes), pack: quoteLiteral("scheduler"), schema: "null" };
  return [
    ["-- The ledger.\n", fillIn(builtOn, values), ...dropsOf(WHOLES, makes)].join(""),
    ...putBackOf(putBack),
  ].join("\n");
}

const putBackOf = (names: readonly Name[]) =>
  names.length === 0 ? [] : [fillIn(back, bySpace(names))];

type Drops = [kind: string, drop: (names: string[]) => string[]][];
const inPublic = (names: string[]) => names.map((name) => `public.${name}`).join(", ");

/** What a pack has on tables of others. */
const PARTS: Drops = [
  ["trigger", (names) => names.map((name) => `drop trigger if exists ${name};\n`)],
  [
    "constraint",
    (names) =>
      names.map((name) => {
        const [constraint, table] = name.split(" on ");
        return `alter table ${table} drop constraint if exists ${constraint};\n`;
      }),
  ],
  ["index", (names) => [`drop index if exists ${inPublic(names)};\n`]],
];

/** What is its own. All of a kind at once, since they hang on one another; the schema first, whose types they have. */
const WHOLES: Drops = [
  ["schema", (names) => [`drop schema if exists ${names.join(", ")} cascade;\n`]],
  ["view", (names) => [`drop view if exists ${inPublic(names)};\n`]],
  ["materialized view", (names) => [`drop materialized view if exists ${inPublic(names)};\n`]],
  ["function", (names) => [`drop routine if exists ${inPublic(names)};\n`]],
  ["table", (names) => [`drop table if exists ${inPublic(names)};\n`]],
  ["type", (names) => [`drop type if exists ${inPublic(names)};\n`]],
];

function dropsOf(drops: Drops, makes: readonly Name[]): string[] {
  return drops.flatMap(([kind, drop]) => {
    const names = makes.filter((name) => name.kind === kind).map(({ name }) => name);
    return names.length === 0 ? [] : drop(names);
  });
}

function bySpace(names: readonly Name[]): Record<string, string> {
  const list = (space: string) =>
    literalArray(
      names.filter((name) => keyOf(name).startsWith(`${space} `)).map(({ name }) => name),
    );
  return {
    schemas: list("schema"),
    relations: list("relation"),
    functions: list("function"),
    jobs: list("job"),
  };
}
