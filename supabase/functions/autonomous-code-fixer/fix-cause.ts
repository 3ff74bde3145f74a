import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { PermanentError } from "../../../shared/job/errors.ts";
import { askModel, maximumCompletionTokens, type ModelAnswer } from "./ask-model.ts";
import {
  type Configuration,
  ConfigurationError,
  costOf,
  readConfiguration,
} from "./configuration.ts";
import { createMask } from "./mask-secrets.ts";
import { buildMessages } from "./prompt.ts";
import { readProposal } from "./read-proposal.ts";
import { type Begun, createRequests, type Outcome } from "./requests.ts";

/** The time reserved for recording the answer and for the receipt. */
const reserveMs = 5_000;
/** The longest wait for a model. */
const longestAnswerMs = 90_000;

interface Input {
  causeId: number;
  requestId?: string | undefined;
}

/**
 * Asks the model once about one cause and records the outcome. `outcome` in the result is `proposed`, `failed` (asked,
 * but no valid proposal) or `unauthorized` (the key was refused). When the model was not asked, it is `not_configured`,
 * `misconfigured`, `daily_cap` or `refused` with its `reason`.
 *
 * The answer is never run or applied: its diff is parsed, tried on the text of the code in memory, and stored.
 */
export async function fixCause(input: Input, context: JobContext): Promise<JsonObject> {
  try {
    return await askAbout(input, context);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const { causeId } = input;
    return { outcome: "misconfigured", summary: error.message, notable: "error", causeId };
  }
}

async function askAbout(input: Input, context: JobContext): Promise<JsonObject> {
  const { causeId } = input;
  const { configuration, notConfigured } = readConfiguration(context.env);
  if (configuration === null) {
    return {
      outcome: "not_configured",
      summary: `cause ${causeId}: no model is configured`,
      causeId,
      notConfigured,
    };
  }
  const requests = createRequests(context);
  const subject = await requests.read(causeId);
  if (subject === null) {
    throw new PermanentError(`Cannot fix cause ${causeId}: there is no such cause`);
  }
  const { cause, execution } = subject;
  const title = `${cause.error_type} (cause ${causeId})`;
  const result = {
    causeId,
    ...(notConfigured.length > 0 ? { notConfigured } : {}),
  };
  const refuse = (reason: string, words: string): JsonObject => ({
    outcome: reason === "daily_cap" ? reason : "refused",
    summary: `${title}: not asked, ${words}`,
    reason,
    ...result,
  });
  if (execution === null) return refuse("no_execution", "its executions are gone");
  const timeoutMs = Math.min(longestAnswerMs, context.remainingMs() - reserveMs);
  if (timeoutMs < 1_000) return refuse("no_time", "the run has no time left");

  const mask = createMask([configuration.apiKey]);
  // The code always ends with one newline, because a diff needs an extra line for a text without one.
  const code = `${mask(execution.code.replaceAll("\r\n", "\n")).replace(/\n+$/, "")}\n`;
  const messages = buildMessages({ ...subject, execution }, code, mask);
  // A token has at least one byte, so the number of bytes is an upper bound.
  const promptTokens = new TextEncoder().encode(JSON.stringify(messages)).byteLength;
  const begun = await requests.begin({
    causeId,
    requestId: input.requestId,
    executionId: execution.id,
    model: configuration.model,
    tokens: promptTokens + maximumCompletionTokens,
    costUsd: costOf(configuration.prices, promptTokens, maximumCompletionTokens),
  });
  if (!begun.begun) return refuse(begun.reason, describeRefusal(begun));

  const answer = await askModel(configuration, messages, timeoutMs, context);
  const outcome = readOutcome(answer, code, configuration);
  const recorded = await requests.record(begun.proposal_id, outcome);
  const unauthorized = answer.error !== undefined && answer.unauthorized;
  const { promptTokens: prompt, completionTokens: completion, costUsd } = outcome;
  const figures = {
    ...result,
    proposalId: begun.proposal_id,
    model: configuration.model,
    promptTokens: prompt,
    completionTokens: completion,
    costUsd,
  };
  if (outcome.proposal === null) {
    return {
      outcome: unauthorized ? "unauthorized" : "failed",
      summary: `${title}: no fix, ${outcome.error}`,
      // No fix is possible until a person corrects the key.
      ...(unauthorized ? { notable: "error" } : {}),
      error: outcome.error,
      ...figures,
    };
  }
  const { confidence } = outcome.proposal;
  if (recorded.status !== "pending") {
    return {
      outcome: "refused",
      summary: `${title}: a fix came too late, somebody closed the cause meanwhile`,
      reason: "not_open",
      ...figures,
    };
  }
  return {
    outcome: "proposed",
    summary: `${title}: a fix is proposed, confidence ${
      confidence.toFixed(2)
    }; proposal ${begun.proposal_id} waits for a person`,
    notable: "info",
    confidence,
    ...figures,
  };
}

function readOutcome(
  answer: ModelAnswer,
  code: string,
  { prices }: Configuration,
): Outcome {
  const { usage } = answer;
  const used = {
    promptTokens: usage?.promptTokens ?? null,
    completionTokens: usage?.completionTokens ?? null,
    costUsd: usage && costOf(prices, usage.promptTokens, usage.completionTokens),
    usageUnknown: usage === null && !(answer.error !== undefined && answer.refused),
    // A refused key is not the cause's fault, so it does not count as a request.
    counts: !(answer.error !== undefined && answer.unauthorized),
  };
  if (answer.error !== undefined) return { proposal: null, error: answer.error, ...used };
  const { proposal = null, error = null } = readProposal(answer.text, code);
  return { proposal, error, ...used };
}

function describeRefusal(refusal: Extract<Begun, { begun: false }>): string {
  switch (refusal.reason) {
    case "daily_cap":
      return `the day's ${refusal.setting} of ${refusal.cap} would be exceeded, ${refusal.used} are used`;
    case "asked_already":
      return "somebody else has asked or is asking";
    case "cause_cap":
      return "it was asked for as often as code_monitor.fixes_per_cause allows";
    case "not_open":
      return "it is not open";
    case "unknown_cause":
      return "it is gone";
  }
}
