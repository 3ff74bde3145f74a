/** The pollers of a running system that share the budgets of an outside API: their old intervals and the new ones. */
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import type { Random } from "./random.ts";
import type { Behaviour } from "./simulation.ts";

const SCHEDULES = fileURLToPath(new URL("schedules/x-api-pollers.tsv", import.meta.url));

export interface Poller {
  name: string;
  seconds: number;
  budget: string | null;
  tokens: number;
  perSeconds: number;
}

/** The file's part under `# before` or `# after`. */
export async function readPollers(part: "before" | "after"): Promise<Poller[]> {
  const [, text] = (await Deno.readTextFile(SCHEDULES)).split(`# ${part}\n`);
  return text!.split("\n#")[0]!.split("\n").filter((line) => line !== "").map((line) => {
    const [name, seconds, budget] = line.split("\t") as [string, string, string];
    const [, kept, tokens, minutes] = /^(\w+) (\d+)\/(\d+)min$/.exec(budget) ?? [];
    return {
      name: kebab(name),
      seconds: Number(seconds),
      budget: kept === undefined ? null : kebab(kept),
      tokens: Number(tokens ?? 0),
      perSeconds: Number(minutes ?? 0) * 60,
    };
  });
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Those of `held` are held back until their budget has a token; the others are sent, and deferred. */
export async function registerPollers(
  sql: Sql,
  pollers: Poller[],
  held: string[],
  from: Date,
): Promise<void> {
  for (const { name, seconds, budget, tokens, perSeconds } of pollers) {
    if (budget !== null) {
      await sql`select scheduler.register_budget(${budget}, ${tokens}, ${perSeconds})`;
    }
    const needs = budget !== null && held.includes(name) ? { [budget]: 1 } : {};
    await sql`select scheduler.register_job(${name}, ${`${seconds} seconds`}, budgets => ${
      sql.json(needs)
    })`;
  }
  await sql`update scheduler_jobs set created_at = ${from}, previous_run_at = null, next_run_at = ${from}`;
}

/** Each run takes a token of its budget a few seconds after it began; some die before. */
export function pollersBehaviour(pollers: Poller[], random: Random, dies: boolean): Behaviour {
  const budgets = new Map(pollers.map(({ name, budget }) => [name, budget]));
  return ({ job }) => {
    const budget = budgets.get(job)!;
    if (dies && random.chance(0.02)) {
      return [{ after: 1, kind: "begin" }, { after: random.whole(1, 9), kind: "die" }];
    }
    return [
      { after: 1, kind: "begin" },
      budget === null
        ? { after: 5, kind: "finish", outcome: "completed" }
        : { after: random.whole(2, 12), kind: "take", budget },
    ];
  };
}
