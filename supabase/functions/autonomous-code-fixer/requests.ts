import type { PostgrestError } from "@supabase/supabase-js";
import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { storableJson } from "../../../shared/job/storable-json.ts";
import { ConfigurationError } from "./configuration.ts";

const subject = z.object({
  cause: z.object({
    id: z.number(),
    status: z.string(),
    error_type: z.string(),
    occurrences: z.number(),
  }),
  execution: z.object({
    id: z.string(),
    purpose: z.string(),
    code: z.string(),
    traceback: z.string().nullable(),
    stderr: z.string().nullable(),
  }).nullable(),
  earlier: z.array(z.object({
    diff: z.string(),
    outcome: z.enum(["accepted", "rejected"]),
    reason: z.string().nullable(),
  })),
});

const begun = z.discriminatedUnion("begun", [
  z.object({ begun: z.literal(true), proposal_id: z.number() }),
  z.object({
    begun: z.literal(false),
    reason: z.enum(["unknown_cause", "not_open", "asked_already", "cause_cap", "daily_cap"]),
    setting: z.string().optional(),
    used: z.number().optional(),
    cap: z.number().optional(),
  }),
]);

const recorded = z.object({ recorded: z.boolean(), status: z.string().optional() });

export type Subject = z.output<typeof subject>;
export type Begun = z.output<typeof begun>;
/** A cause with one of its failed executions. */
export type Failure = Subject & { execution: NonNullable<Subject["execution"]> };

/** The model's proposal or its error, and the tokens and cost that it used. */
export interface Outcome {
  proposal: { diff: string; reasoning: string; confidence: number } | null;
  error: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  costUsd: number | null;
  usageUnknown: boolean;
  counts: boolean;
}

/** The transactions around a question to the model. supabase/migrations has the function behind each. */
export function createRequests({ db, signal }: Pick<JobContext, "db" | "signal">) {
  return {
    /** Null when there is no such cause. */
    read: async (causeId: number): Promise<Subject | null> =>
      read(
        subject.nullable(),
        await db.rpc("read_code_failure", { p_cause_id: causeId }).abortSignal(signal),
      ),

    begin: async (
      request: {
        causeId: number;
        requestId: string | undefined;
        executionId: string;
        model: string;
        tokens: number;
        costUsd: number | null;
      },
    ): Promise<Begun> =>
      read(
        begun,
        await db.rpc("begin_code_fix", {
          p_cause_id: request.causeId,
          p_request_id: orNull(request.requestId ?? null),
          p_execution_id: request.executionId,
          p_model: request.model,
          p_reserved_tokens: request.tokens,
          p_reserved_cost_usd: orNull(request.costUsd),
        }).abortSignal(signal),
      ),

    /** Ignores the run's signal: a paid answer is recorded even when the run is over. */
    record: async (proposalId: number, outcome: Outcome) =>
      read(
        recorded,
        await db.rpc("record_code_fix", {
          p_proposal_id: proposalId,
          // A model's text may contain characters that Postgres cannot store.
          p_diff: orNull(outcome.proposal && storableJson(outcome.proposal.diff)),
          p_reasoning: orNull(outcome.proposal && storableJson(outcome.proposal.reasoning)),
          p_confidence: orNull(outcome.proposal && outcome.proposal.confidence),
          p_error: orNull(outcome.error && storableJson(outcome.error)),
          p_prompt_tokens: orNull(outcome.promptTokens),
          p_completion_tokens: orNull(outcome.completionTokens),
          p_cost_usd: orNull(outcome.costUsd),
          p_usage_unknown: outcome.usageUnknown,
          p_counts: outcome.counts,
        }),
      ),
  };
}

/** The generated types do not allow null arguments, but the functions do. */
function orNull<T>(value: T | null): T {
  return value as T;
}

function read<S extends z.ZodType>(
  schema: S,
  { data, error }: { data: unknown; error: PostgrestError | null },
): z.output<S> {
  if (error === null) return schema.parse(data);
  // These functions refuse only settings: an invalid value, or a missing setting.
  if (["22023", "SD003"].includes(error.code)) throw new ConfigurationError(error.message);
  throw error;
}
