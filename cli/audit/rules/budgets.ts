import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import { readTiming } from "../timing.ts";
import { namesOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";

/** Budgets of an outside API that the entries overdraw together when each runs as often as it may. */
export function budgets({ entries }: Audited): Finding[] {
  const groups = Map.groupBy(
    entries.filter(({ active, budget }) => active && budget !== undefined),
    ({ section = "", budget }) => `${section}\n${budget!.name}`,
  );
  return [...groups.values()].flatMap((group): Finding[] => {
    const { name, calls, seconds } = group[0]!.budget!;
    const used = group.map((entry) => ({ entry, calls: callsIn(entry, seconds) }));
    const total = used.reduce((sum, { calls }) => sum + calls, 0);
    if (total <= calls) return [];
    const section = group[0]!.section;
    return [{
      rule: "budget-overdrawn",
      severity: "error",
      certainty: "proven",
      title: `${section === undefined ? "" : `${section}: `}${namesOf(group)} ${
        group.length === 1 ? "overdraws" : "overdraw"
      } the budget ${name}`,
      entries: group,
      evidence: [
        `${counted(total, "call")} in ${seconds / 60} minutes against ${calls}: ${
          used.map(({ entry, calls }) => `${entry.name} ${calls}`).join(", ")
        }`,
      ],
      cost: `${counted(total - calls, "call")} in ${seconds / 60} minutes are refused`,
      mend: "Run them less often, or let them take from one budget and wait",
    }];
  });
}

function callsIn({ schedule, engine, budget }: Entry, seconds: number): number {
  const timing = readTiming(schedule, engine);
  return timing.kind === "period" ? Math.floor(seconds / timing.seconds) * budget!.callsPerRun : 0;
}
