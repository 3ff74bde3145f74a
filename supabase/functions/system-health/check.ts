import { type ComponentDefinition, componentDefinitions } from "./components.ts";
import { evaluate, type Health, summarize } from "./evaluate.ts";
import { answerLimitMs, badData, call, type HealthDatabase, readComponent } from "./reading.ts";
import { renderReport } from "./report.ts";

/** The occurrence of a check. The history keeps one check for each occurrence. */
export interface CheckOccurrence {
  jobName: string;
  scheduledFor: Date;
  checkedAt: Date;
}

export interface CheckResult extends Health {
  summary: string;
  report: string;
  /** Further facts for a person, such as hidden figures or a history that cannot be written. */
  notes: string[];
  /** The id of the row in scheduler_health_history; null when the write failed, which the notes then tell. */
  historyId: number | null;
}

/**
 * Reads all components in parallel, judges them, and records the result. A component that cannot be read, or a history
 * that cannot be written, does not stop the check; the result names it.
 *
 * @throws when `signal` fires, and when the database does not list the components.
 */
export async function checkHealth(
  db: HealthDatabase,
  occurrence: CheckOccurrence,
  signal: AbortSignal,
  limitMs: number = answerLimitMs,
): Promise<CheckResult> {
  const definitions = await readDefinitions(db, signal, limitMs);
  const looked = await Promise.all(definitions.map(async (definition) => ({
    definition,
    outcome: await readComponent(db, definition, signal, limitMs),
  })));
  const notes = looked.flatMap(({ definition, outcome }) =>
    "reading" in outcome ? outcome.reading.notes.map((note) => `${definition.label}: ${note}`) : []
  );
  const health = evaluate(looked);
  const summary = summarize(health);
  const report = renderReport(health, notes, occurrence.checkedAt);

  const kept = await call(
    db,
    "scheduler_record_health",
    {
      p_job_name: occurrence.jobName,
      p_scheduled_for: occurrence.scheduledFor.toISOString(),
      p_score: health.score,
      p_status: health.status,
      p_summary: summary,
      p_report: report,
      p_components: health.components,
    },
    signal,
    limitMs,
  );
  signal.throwIfAborted();
  if ("data" in kept) {
    return { ...health, summary, report, notes, historyId: Number(kept.data) };
  }
  const allNotes = [`not kept in the history: ${kept.unreadable}`, ...notes];
  return {
    ...health,
    summary: `${summary}; not kept in the history`,
    report: renderReport(health, allNotes, occurrence.checkedAt),
    notes: allNotes,
    historyId: null,
  };
}

async function readDefinitions(
  db: HealthDatabase,
  signal: AbortSignal,
  limitMs: number,
): Promise<ComponentDefinition[]> {
  const answer = await call(db, "scheduler_health_components", {}, signal, limitMs);
  if ("unreadable" in answer) {
    signal.throwIfAborted();
    throw new Error(`Cannot tell what there is to look at: ${answer.unreadable}`);
  }
  const parsed = componentDefinitions.safeParse(answer.data);
  if (!parsed.success) {
    throw new Error(`Cannot tell what there is to look at: ${badData(parsed.error)}`);
  }
  return parsed.data;
}
