/** The migrations that are written for one project: what is renamed, taken over and taken out. */
import { quoteLiteral } from "../local/bootstrap.ts";
import { fillIn, literalArray } from "../local/guard.ts";
import { keyOf, type Name } from "../local/names.ts";
import type { Pack } from "../local/packs.ts";

/** The tables that stay, without `--drop-ledger`, when the core goes: what happened, and which days have run. */
export const LEDGER = [
  "scheduler_activity",
  "scheduler_health_history",
  "scheduler_runs",
  "scheduler_state",
];

const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.url));
const [aside, back, over, remove] = await Promise.all([
  read("move-aside.sql"),
  read("put-back.sql"),
  read("take-over.sql"),
  read("remove-pack.sql"),
]);

/** Renames whatever has one of these names to <name>_before_daybook. */
export const moveAside = (names: readonly Name[]) => fillIn(aside, bySpace(names));

/** Copies the day that ran last from what was moved aside. */
export const takeOver = () => over;

/**
 * Takes packs out, in this order. `dropLedger`: also the tables of LEDGER. `putBack`: what was moved aside for these
 * packs gets its name back.
 */
export function removePacks(
  packs: readonly { pack: Pack; makes: readonly Name[] }[],
  { dropLedger, putBack }: { dropLedger: boolean; putBack: boolean },
): string {
  const parts = packs.map(({ pack, makes }) =>
    fillIn(remove, {
      ...bySpace(makes),
      pack: quoteLiteral(pack.name),
      schema: quoteLiteral(pack.schema),
      kept: literalArray(dropLedger || pack.name !== "scheduler" ? [] : LEDGER),
    })
  );
  if (putBack) parts.push(fillIn(back, bySpace(packs.flatMap(({ makes }) => makes))));
  return parts.join("\n");
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
    triggers: list("trigger"),
    constraints: list("constraint"),
  };
}
