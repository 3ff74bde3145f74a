import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const count = z.int().nonnegative();
const ended = z.object({
  /** By kind and outcome (completed, retried, dead). */
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
    /** JSON as the database has it; it goes out unread. */
    payload: z.string(),
    idempotency_key: z.uuid(),
    due_at: z.string(),
    attempts: count,
  })),
});

export type Ended = z.output<typeof ended>;
export type Claimed = z.output<typeof claimed>;
/** An action whose execution is a call; it is ours until its claim ends. */
export type ClaimedAction = Claimed["actions"][number];
export type CalledKind = ClaimedAction["kind"];

export interface Claim {
  kinds: CalledKind[];
  limit: number;
  /** Actions that one receiver gets at most, so that none takes all. */
  perReceiver: number;
  leaseSeconds: number;
  /** Receivers that need no more for now. */
  exceptReceivers: string[];
}

/** What became of a claimed action; `released`: nothing, it is due again as if it had not been claimed. */
export interface Result {
  id: string;
  token: string;
  outcome: "completed" | "failed" | "released";
  http_status?: number;
  error?: string;
  retry_after_seconds?: number;
  /** A further try cannot help. */
  final?: boolean;
}

/** The transactions of which a run consists; supabase/migrations has what each does. */
export interface Actions {
  executeInDatabase(limit: number): Promise<z.output<typeof executed>>;
  claim(claim: Claim): Promise<Claimed>;
  report(results: Result[]): Promise<z.output<typeof reported>>;
  /** How many are due still, by kind. */
  due(): Promise<Record<string, number>>;
}

/** Calls them through REST. They throw an Error that names the step. */
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
