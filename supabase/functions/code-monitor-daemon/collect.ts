import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

/** No further step begins when less time than this is left. It is reserved for asking for fixes. */
const reserveMs = 60_000;

const ids = z.array(z.number());
const step = z.object({
  failures: z.number(),
  causes: ids,
  new_causes: ids,
  reopened_causes: ids,
  more: z.boolean(),
});

export interface Collected {
  failures: number;
  causes: Set<number>;
  newCauses: Set<number>;
  reopenedCauses: Set<number>;
  /** The time ran out before every failure had a cause; the next run continues. */
  more: boolean;
}

/** Assigns a cause to each failed execution that has none, step by step. */
export async function collect(
  { db, signal, remainingMs, reportProgress }: JobContext,
): Promise<Collected> {
  const collected: Collected = {
    failures: 0,
    causes: new Set(),
    newCauses: new Set(),
    reopenedCauses: new Set(),
    more: true,
  };
  while (collected.more && remainingMs() > reserveMs) {
    const found = readAnswer(
      "collect failures",
      step,
      await db.rpc("collect_code_failures").abortSignal(signal),
    );
    collected.failures += found.failures;
    for (const id of found.causes) collected.causes.add(id);
    for (const id of found.new_causes) collected.newCauses.add(id);
    for (const id of found.reopened_causes) collected.reopenedCauses.add(id);
    collected.more = found.more;
    reportProgress({ failures: collected.failures, causes: collected.causes.size });
  }
  return collected;
}
