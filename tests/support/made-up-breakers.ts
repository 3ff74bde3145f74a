/** Who answers tasks, and how breakers open and close: what supabase/sql/batches/breakers.sql decides. */
import type { Result } from "../../supabase/functions/robust-batch-processor/steps.ts";

/** A row of batch_providers. Times are milliseconds since 1970. */
export interface MadeUpProvider {
  readonly name: string;
  readonly fallback: string | null;
  concurrency: number;
  enabled: boolean;
  openUntil: number | null;
  failuresInRow: number;
  /** Its calls under way for other batch jobs. */
  callsElsewhere: number;
}

export interface BreakerSettings {
  failures_to_open: number;
  open_seconds: number;
}

/** See batches.route. */
export interface Route {
  readonly provider: string;
  readonly asksFallback: boolean;
  readonly answerer: MadeUpProvider | null;
  readonly isHalfOpen: boolean;
  readonly callableAt: number;
  readonly problem: string | null;
}

type BreakerState = "closed" | "open" | "half-open";

export function breakerState({ openUntil }: MadeUpProvider, now: number): BreakerState {
  if (openUntil === null) return "closed";
  return openUntil > now ? "open" : "half-open";
}

/** See batches.routes: in the order in which a claim takes tasks. `tried`: providers that a call tries already. */
export function routes(
  providers: ReadonlyMap<string, MadeUpProvider>,
  tried: ReadonlySet<string>,
  { failures_to_open }: BreakerSettings,
  now: number,
): Route[] {
  const takesCalls = (provider: MadeUpProvider) => {
    const state = breakerState(provider, now);
    return provider.enabled &&
      (state === "closed" || state === "half-open" && !tried.has(provider.name));
  };
  const callableAt = (provider: MadeUpProvider) =>
    breakerState(provider, now) === "open" ? provider.openUntil! : now + 5_000;
  const routesOf = (own: MadeUpProvider, asksFallback: boolean): Route[] => {
    const other = own.fallback === null ? undefined : providers.get(own.fallback);
    const ownCannot = asksFallback || !own.enabled;
    const ownState = breakerState(own, now);
    const isDown = ownState !== "closed" && own.failuresInRow >= failures_to_open;
    const otherCallableAt = other === undefined ? Infinity : callableAt(other);
    const whenCallable = ownCannot
      ? otherCallableAt
      : isDown && other?.enabled
      ? Math.min(callableAt(own), otherCallableAt)
      : callableAt(own);
    const route = (answerer: MadeUpProvider | null, problem: string | null = null): Route => ({
      provider: own.name,
      asksFallback,
      answerer,
      isHalfOpen: answerer !== null && breakerState(answerer, now) === "half-open",
      callableAt: whenCallable,
      problem,
    });
    const ownAnswers = !asksFallback && takesCalls(own);
    const otherAnswers = other !== undefined && takesCalls(other) && (ownCannot || isDown);
    const nobodyEver = ownCannot && other?.enabled !== true;
    const nobody = asksFallback ? "no fall-back any more" : "disabled";
    return [
      ...(ownAnswers ? [route(own)] : []),
      ...(otherAnswers ? [route(other)] : []),
      ...((ownCannot || ownState !== "closed") && !otherAnswers
        ? [route(null, nobodyEver ? nobody : null)]
        : []),
    ];
  };
  return [...providers.keys()].sort().flatMap((name) =>
    [false, true].flatMap((asksFallback) => routesOf(providers.get(name)!, asksFallback))
  );
}

/** See batches.provider_news and batches.breaker_after: sets the breakers after results that were taken. */
export function recordNews(
  providers: ReadonlyMap<string, MadeUpProvider>,
  results: readonly Result[],
  settings: BreakerSettings,
  now: number,
): void {
  for (const provider of providers.values()) {
    const own = results.filter(({ answerer }) => answerer === provider.name);
    if (own.length > 0) recordNewsOf(provider, own, settings, now);
  }
}

function recordNewsOf(
  provider: MadeUpProvider,
  results: readonly Result[],
  { failures_to_open, open_seconds }: BreakerSettings,
  now: number,
): void {
  const lastAnswer = results.findLastIndex(({ outcome, provider_answered }) =>
    outcome === "answered" || outcome === "refused" || provider_answered === true
  );
  const hasAnswered = lastAnswer >= 0;
  const failures =
    results.filter(({ outcome }, place) => outcome === "failed" && place > lastAnswer).length;
  const waiting = results.filter(({ outcome }) => outcome === "waiting");
  const opens = (seconds: number) =>
    provider.openUntil = Math.max(provider.openUntil ?? 0, now + seconds * 1000);

  let inRow = failures + (hasAnswered ? 0 : provider.failuresInRow);
  if (waiting.length > 0 && breakerState(provider, now) !== "open") inRow++;
  if (waiting.some(({ provider_is_down }) => provider_is_down)) {
    inRow = Math.max(inRow, failures_to_open);
  }
  provider.failuresInRow = inRow;
  if (waiting.length > 0) {
    const asked = waiting.flatMap(({ wait_seconds }) => wait_seconds ?? []);
    opens(asked.length > 0 ? Math.max(...asked) : open_seconds);
  } else if (failures > 0) {
    const hasTried = provider.openUntil !== null && !hasAnswered;
    if (inRow >= failures_to_open || hasTried) opens(open_seconds);
  } else if (hasAnswered) provider.openUntil = null;
}
