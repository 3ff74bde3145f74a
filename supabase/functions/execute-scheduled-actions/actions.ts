import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const count = z.int().nonnegative();
const ended = z.object({
  /** Counts by kind and outcome (completed, retried, dead). */
  counts: z.record(z.string(), z.record(z.string(), count)),
  dead: z.array(
    z.object({ id: z.guid(), name: z.string(), kind: z.string(), error: z.string().nullable() }),
  ),
});
const executed = ended.extend({ executed: count });
const reported = ended.extend({ refused: count });
const dueCounts = z.record(z.string(), count);
const claimed = z.object({
  token: z.guid(),
  more: z.boolean(),
  actions: z.array(z.object({
    id: z.guid(),
    kind: z.enum(["callback", "edge_function"]),
    receiver: z.string(),
    url: z.string().nullable(),
    function_name: z.string().nullable(),
    /** The JSON text from the database, sent without being parsed. */
    payload: z.string(),
    idempotency_key: z.uuid(),
    due_at: z.string(),
    attempts: count,
  })),
});

export type Ended = z.output<typeof ended>;
export type Claimed = z.output<typeof claimed>;
/** An action that is executed by a call. It belongs to this run until the claim ends. */
export type ClaimedAction = Claimed["actions"][number];
export type CalledKind = ClaimedAction["kind"];

export interface Claim {
  kinds: CalledKind[];
  limit: number;
  /** The most actions to claim for one receiver, so that no receiver takes all places. */
  perReceiver: number;
  leaseSeconds: number;
  /** Receivers for which no actions are claimed. */
  exceptReceivers: string[];
}

/** The outcome of a claimed action. A `released` one was not tried and is due again as before the claim. */
export interface Result {
  id: string;
  token: string;
  outcome: "completed" | "failed" | "released";
  http_status?: number;
  error?: string;
  retry_after_seconds?: number;
  /** Another try would fail too. */
  final?: boolean;
}

/** The transactions of a run. supabase/migrations has the function behind each. */
export interface Actions {
  executeInDatabase(limit: number): Promise<z.output<typeof executed>>;
  claim(claim: Claim): Promise<Claimed>;
  report(results: Result[]): Promise<z.output<typeof reported>>;
  /** The number of actions that are still due, by kind. */
  due(): Promise<Record<string, number>>;
}

/** Calls these functions through REST. Each throws an Error that names the step. */
export function createActions({ db }: Pick<JobContext, "db">): Actions {
  return {
    executeInDatabase: async (limit) =>
      readAnswer(
        "execute scheduled actions (execute)",
        executed,
        await db.rpc("execute_scheduled_actions_in_database", { p_limit: limit }),
      ),
    claim: async ({ kinds, limit, perReceiver, leaseSeconds, exceptReceivers }) =>
      readAnswer(
        "execute scheduled actions (claim)",
        claimed,
        await db.rpc("execute_scheduled_actions_claim", {
          p_kinds: kinds,
          p_limit: limit,
          p_per_receiver: perReceiver,
          p_lease_seconds: leaseSeconds,
          p_except_receivers: exceptReceivers,
        }),
      ),
    report: async (results) =>
      readAnswer(
        "execute scheduled actions (report)",
        reported,
        await db.rpc("execute_scheduled_actions_report", {
          p_results: results.map((result) => ({ ...result })),
        }),
      ),
    due: async () =>
      readAnswer(
        "execute scheduled actions (due)",
        dueCounts,
        await db.rpc("execute_scheduled_actions_due"),
      ),
  };
}
