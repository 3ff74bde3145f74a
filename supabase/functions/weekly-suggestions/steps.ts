import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";
import { storableJson } from "../../../shared/job/storable-json.ts";

/** Longer than the database lets a call take. */
const storeMs = 25_000;

const provider = z.object({
  name: z.string(),
  model: z.string(),
  api_url_variable: z.string(),
  api_key_variable: z.string(),
  concurrency: z.int().positive(),
  max_completion_tokens: z.int().positive(),
});
const request = z.object({
  id: z.string(),
  /** The Monday whose date names the week. */
  week: z.string(),
  prompts: z.array(z.string()),
  not_again: z.array(z.string()),
  answers: z.array(z.object({ prompt: z.string(), answer: z.string() })),
});
const requests = z.object({
  provider: provider.nullable(),
  max_suggestions: z.int().positive(),
  organizations: z.array(request),
  /** Organizations whose time zone the database does not know; on the first page. */
  unknown_zones: z.array(z.object({ id: z.string(), name: z.string(), time_zone: z.string() }))
    .default(
      [],
    ),
});
const stored = z.object({
  outcome: z.enum(["stored", "had_already", "organization_gone"]),
  stored: z.int(),
  alike: z.int(),
  unusable: z.int(),
});

export type Provider = z.output<typeof provider>;
/** What the model is told of an organization. */
export type SuggestionRequest = z.output<typeof request>;
export type Requests = z.output<typeof requests>;
export type Stored = z.output<typeof stored>;

/** The transactions of which a run consists. What the database refuses fails for good. */
export interface Steps {
  /** The organizations that are due, by id, those after that one. */
  next(limit: number, after: string | undefined): Promise<Requests>;
  /** Whether the model may be asked, which then counts as one of the week's tries. After three the week is given up. */
  begin(request: SuggestionRequest): Promise<"go" | "not_now" | "given_up">;
  /** The try does not count: it has cost nothing. */
  release(request: SuggestionRequest): Promise<void>;
  /** Marks the week and keeps what is new of the suggestions. */
  store(
    request: SuggestionRequest,
    texts: readonly string[],
    suggestedBy: string,
  ): Promise<Stored>;
  /** Marks the week and says why there are none. */
  fail(request: SuggestionRequest, reason: string): Promise<void>;
  /** Has the next run called. */
  goOn(): Promise<void>;
}

export function createSteps({ db, signal }: Pick<JobContext, "db" | "signal">): Steps {
  return {
    next: async (p_limit, after) =>
      readAnswer(
        "prepare suggestions",
        requests,
        await db.rpc("next_suggestion_requests", {
          p_limit,
          ...(after === undefined ? {} : { p_after: after }),
        }).abortSignal(signal),
      ),
    begin: async ({ id, week }) =>
      readAnswer(
        "begin a try",
        z.enum(["go", "not_now", "given_up"]),
        await db.rpc("begin_suggestion_try", {
          p_organization_id: id,
          p_week: week,
        }).abortSignal(signal),
      ),
    async release({ id, week }) {
      readAnswer(
        "release a try",
        z.unknown(),
        await db.rpc("release_suggestion_try", {
          p_organization_id: id,
          p_week: week,
        }).abortSignal(AbortSignal.timeout(storeMs)),
      );
    },
    // An answer is stored also when the run is ending.
    store: async ({ id, week }, texts, p_suggested_by) =>
      readAnswer(
        "store suggestions",
        stored,
        await db.rpc("store_prompt_suggestions", {
          p_organization_id: id,
          p_week: week,
          p_texts: storableJson(texts) as never,
          p_suggested_by,
        }).abortSignal(AbortSignal.timeout(storeMs)),
      ),
    async fail({ id, week }, p_reason) {
      readAnswer(
        "record the failure",
        z.boolean(),
        await db.rpc("record_suggestion_failure", {
          p_organization_id: id,
          p_week: week,
          p_reason,
        }).abortSignal(AbortSignal.timeout(storeMs)),
      );
    },
    async goOn() {
      readAnswer(
        "call the next run",
        z.boolean(),
        await db.rpc("continue_weekly_suggestions", {}).abortSignal(
          AbortSignal.timeout(storeMs),
        ),
      );
    },
  };
}
