import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { counted } from "../../../shared/text.ts";
import type { Model, Suggested } from "./ask-model.ts";
import type { Provider, Requests, Steps, SuggestionRequest } from "./steps.ts";
import { type Figures, summarize } from "./summarize.ts";

const pageSize = 20;
/** No call begins with less than this left, and this much of it is for storing. */
const shortestCallMs = 20_000;
const reserveMs = 5_000;
const failuresInResult = 50;

type Context = Pick<JobContext, "log" | "signal" | "remainingMs" | "reportProgress">;

/**
 * Asks the model for each organization that is due, as many at once as the provider takes, and stores what is new.
 * One organization's failure does not stop the others. After an answer in a wrong form it asks once more. Stops when
 * the provider does not answer, when the time is over or after `maxOrganizations`; then the next run goes on.
 *
 * @throws Error when the provider answered for no organization, or storing failed; those are not marked.
 */
export async function suggest(
  maxOrganizations: number,
  context: Context,
  steps: Steps,
  model: Model,
): Promise<JsonObject> {
  const { log, signal, remainingMs, reportProgress } = context;
  const figures: Figures = { organizations: 0, suggested: 0, alike: 0, unusable: 0, failed: 0 };
  const failures: { organizationId: string; reason: string }[] = [];
  /** Refused questions. They are failures of their organizations only if the provider answers another one. */
  const held: { request: SuggestionRequest; reason: string }[] = [];
  const problems: string[] = [];
  const unknownZones: Requests["unknown_zones"] = [];
  let unavailable: Extract<Suggested, { outcome: "unavailable" }> | undefined;
  let answered = false;
  let begun = 0;
  const mayBegin = () =>
    unavailable === undefined && !signal.aborted && begun < maxOrganizations &&
    remainingMs() >= shortestCallMs;

  const recordFailure = async (request: SuggestionRequest, reason: string) => {
    await steps.fail(request, reason);
    figures.failed++;
    failures.push({ organizationId: request.id, reason });
  };
  const ask = async (provider: Provider, request: SuggestionRequest, max: number) => {
    const once = () => model.ask(provider, request, max, Math.max(1, remainingMs() - reserveMs));
    const first = await once();
    const again = first.outcome === "invalid" && remainingMs() >= shortestCallMs && !signal.aborted;
    if (!again) return first;
    // A third call is not paid for.
    const second = await once();
    return second.outcome === "suggested" ? second : first;
  };
  const serve = async (provider: Provider, request: SuggestionRequest, max: number) => {
    const leave = await steps.begin(request);
    if (leave === "given_up") {
      figures.failed++;
      failures.push({
        organizationId: request.id,
        reason: "asked three times, and no answer came",
      });
    }
    if (leave !== "go") return;
    const told = await ask(provider, request, max);
    if ("mayHaveCost" in told && !told.mayHaveCost) await steps.release(request);
    if (told.outcome === "unavailable") unavailable = told;
    else if (told.outcome === "refused") held.push({ request, reason: told.reason });
    else if (told.outcome === "invalid") {
      answered = true;
      await recordFailure(request, told.reason);
    } else if (told.outcome === "suggested") {
      answered = true;
      const kept = await steps.store(request, told.texts, told.suggestedBy);
      figures.organizations += kept.outcome === "stored" ? 1 : 0;
      figures.suggested += kept.stored;
      figures.alike += kept.alike;
      figures.unusable += kept.unusable;
    }
    reportProgress({ ...figures });
  };

  let last: string | undefined;
  let moreIsLeft = true;
  while (moreIsLeft && mayBegin()) {
    const page = await steps.next(pageSize, last);
    const { provider, organizations, max_suggestions } = page;
    unknownZones.push(...page.unknown_zones);
    if (provider === null) {
      const setting = "weekly_suggestions.provider";
      return {
        summary: `no suggestions: scheduler_settings ${setting} names no provider`,
        ...figures,
        notConfigured: [setting],
      };
    }
    moreIsLeft = organizations.length === pageSize;
    last = organizations.at(-1)?.id;
    const waiting = [...organizations];
    const workers = Array.from({ length: provider.concurrency }, async () => {
      while (waiting.length > 0 && mayBegin()) {
        const request = waiting.shift()!;
        begun++;
        try {
          await serve(provider, request, max_suggestions);
        } catch (error) {
          problems.push(`${request.id}: ${errorMessage(error)}`);
        }
      }
    });
    await Promise.all(workers);
    moreIsLeft ||= waiting.length > 0;
  }

  if (answered) {
    for (const { request, reason } of held) await recordFailure(request, reason);
  }
  const reason = unavailable?.reason ?? (answered ? undefined : held[0]?.reason);
  // A run that got nothing done would be followed by another such run, for ever.
  const goesOn = moreIsLeft && figures.organizations + figures.failed > 0 &&
    reason === undefined && problems.length === 0;
  if (goesOn) await steps.goOn();
  const result = {
    summary: summarize(figures, reason, goesOn) + describeUnknown(unknownZones),
    ...figures,
    failures: failures.slice(0, failuresInResult),
    ...(unknownZones.length === 0 ? {} : { unknownZones: unknownZones.slice(0, failuresInResult) }),
    goesOn,
    ...(unavailable?.notConfigured === undefined
      ? {}
      : { notConfigured: [unavailable.notConfigured] }),
    ...(figures.failed > 0 || unknownZones.length > 0 || answered && reason !== undefined
      ? { notable: "warning" }
      : figures.suggested > 0
      ? { notable: "info" }
      : {}),
  };
  if (problems.length > 0) {
    log.error("not stored", { problems, ...result });
    throw new Error(
      `Cannot store what was suggested to ${problems.length} organizations, of them ${
        problems[0]
      } (${result.summary})`,
    );
  }
  if (reason !== undefined && !answered && unavailable?.notConfigured === undefined) {
    throw new Error(`Cannot ask for suggestions: ${reason}`);
  }
  return result;
}

function describeUnknown(organizations: Requests["unknown_zones"]): string {
  const [first] = organizations;
  if (first === undefined) return "";
  return `; ${
    counted(organizations.length, "organization")
  } not asked for, such as ${first.name}: ` +
    `the database does not know its time zone ${first.time_zone}`;
}
