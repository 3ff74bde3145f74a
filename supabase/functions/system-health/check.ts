import { type ComponentName, componentNames, definitions } from "./components.ts";
import { evaluate, type Health, summarize } from "./evaluate.ts";
import { answerLimitMs, call, type HealthDatabase, readComponent } from "./reading.ts";
import { renderReport } from "./report.ts";
import { applySettings } from "./thresholds.ts";

/** The occurrence a check belongs to: it is kept once for each. */
export interface CheckOccurrence {
  jobName: string;
  scheduledFor: Date;
  checkedAt: Date;
}

export interface CheckResult extends Health {
  summary: string;
  report: string;
  /** What a person should know besides: settings ignored, figures hidden, a history that cannot be written. */
  notes: string[];
  /** The row in system_health_history; null when it could not be written, which is then in the notes. */
  historyId: number | null;
}

/**
 * Reads every component side by side, judges, and keeps what it found. A component, the settings or the history that
 * cannot be used does not stop it: what it cannot know, it says. Throws only when `signal` fires.
 */
export async function checkHealth(
  db: HealthDatabase,
  occurrence: CheckOccurrence,
  signal: AbortSignal,
  limitMs: number = answerLimitMs,
): Promise<CheckResult> {
  const [settings, ...outcomes] = await Promise.all([
    call(db, "system_health_settings", {}, signal, limitMs),
    ...componentNames.map((name) => readComponent(db, name, signal, limitMs)),
  ]);
  const readings = Object.fromEntries(
    componentNames.map((name, index) => [name, outcomes[index]]),
  ) as Record<ComponentName, (typeof outcomes)[number]>;

  const thresholds = applySettings(
    definitions,
    "data" in settings ? asObject(settings.data) : {},
  );
  const notes = [
    ...("unreadable" in settings
      ? [
        `settings cannot be read, default thresholds hold: ${settings.unreadable}`,
      ]
      : []),
    ...thresholds.notes,
    ...componentNames.flatMap((name) => {
      const outcome = readings[name];
      return "reading" in outcome
        ? outcome.reading.notes.map((note) => `${definitions[name].label}: ${note}`)
        : [];
    }),
  ];
  const health = evaluate(thresholds.components, readings);
  const summary = summarize(health);
  const report = renderReport(health, notes, occurrence.checkedAt);

  const kept = await call(
    db,
    "record_system_health",
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

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
