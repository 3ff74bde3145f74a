/**
 * The scores of a day and their formula. The points of a part rise in a straight line with its value: no points at
 * `none`, all points at `full`. A score is the points of its known parts, in percent of the most that these parts can
 * get. Unknown parts are left out. See docs/jobs/ecosystem-monitor.md.
 */
import { counted } from "../../../shared/text.ts";
import type { Figures } from "./figures.ts";

export interface PartDefinition {
  label: string;
  unit: "count" | "percent";
  /** The most points of the part. */
  of: number;
  none: number;
  full: number;
}

const part = (
  label: string,
  unit: "count" | "percent",
  of: number,
  none: number,
  full: number,
): PartDefinition => ({ label, unit, of, none, full });

//                                                        unit     of  none full
export const definitions = {
  activity: {
    commits: part("commits", "count", 35, 0, 10),
    pull_requests_merged: part("pull requests merged", "count", 20, 0, 3),
    issues_closed: part("issues closed", "count", 15, 0, 3),
    pull_requests_opened: part("pull requests opened", "count", 10, 0, 3),
    releases: part("releases", "count", 10, 0, 1),
    issues_opened: part("issues opened", "count", 5, 0, 3),
    stars_gained: part("stars gained", "count", 5, 0, 5),
  },
  infrastructure: {
    active_percent: part("devices active", "percent", 30, 0, 80),
    online_percent: part("devices online", "percent", 20, 0, 80),
    charging_efficiency_percent: part("charging efficiency", "percent", 15, 50, 90),
    pop_validated_percent: part("PoP validated", "percent", 15, 50, 95),
    commands_completed_percent: part("commands completed", "percent", 10, 50, 95),
    active_hours_percent: part("hours with activity", "percent", 10, 0, 100),
  },
} as const satisfies Record<string, Record<string, PartDefinition>>;

export type ScoreName = keyof typeof definitions;

/** These are type aliases because interfaces are not assignable to JsonObject. */
export type Part = {
  label: string;
  /** null: unknown. */
  value: number | null;
  points: number | null;
  of: number;
  why: string;
};
export type Score = { score: number | null; parts: Record<string, Part> };
export type Scores = { overall: number | null } & Record<ScoreName, Score>;

/** A part before any rounding: its value, and the figures behind it in words. */
type Reading = { value: number | null; why: string };

/** The scores. The overall one is the mean of the known ones. */
export function score(figures: Figures): Scores {
  const activity = scoreOf(definitions.activity, activityReadings(figures.activity));
  const infrastructure = scoreOf(
    definitions.infrastructure,
    infrastructureReadings(figures.infrastructure),
  );
  const known = [activity.score, infrastructure.score].filter((one) => one !== null);
  const overall = known.length === 0
    ? null
    : Math.round(known.reduce((sum, one) => sum + one, 0) / known.length);
  return { overall, activity, infrastructure };
}

function scoreOf<Name extends string>(
  parts: Record<Name, PartDefinition>,
  readings: Record<Name, Reading>,
): Score {
  const scored = Object.fromEntries(
    (Object.keys(parts) as Name[]).map((name) => [name, scorePart(parts[name], readings[name])]),
  );
  const known = Object.values(scored).filter((one) => one.points !== null);
  const points = known.reduce((sum, one) => sum + (one.points ?? 0), 0);
  const of = known.reduce((sum, one) => sum + one.of, 0);
  return { score: of === 0 ? null : Math.round(100 * points / of), parts: scored };
}

function scorePart({ label, of, none, full }: PartDefinition, { value, why }: Reading): Part {
  const share = value === null ? null : Math.min(1, Math.max(0, (value - none) / (full - none)));
  return {
    label,
    value,
    points: share === null ? null : Math.round(10 * of * share) / 10,
    of,
    why,
  };
}

function activityReadings(
  { repositories, figures }: Figures["activity"],
): Record<keyof typeof definitions.activity, Reading> {
  const reading = (name: keyof typeof definitions.activity): Reading => {
    if (repositories === 0) return { value: null, why: "no repository is watched" };
    const { total, known, at_least } = figures[name] ?? { total: null, known: 0, at_least: false };
    if (total === null) {
      return {
        value: null,
        why: `known of none of ${counted(repositories, "repository", "repositories")}`,
      };
    }
    return {
      value: total,
      why: `${at_least ? "at least, " : ""}in ${known === repositories ? "" : `${known} of `}${
        counted(repositories, "repository", "repositories")
      }`,
    };
  };
  return {
    commits: reading("commits"),
    pull_requests_merged: reading("pull_requests_merged"),
    issues_closed: reading("issues_closed"),
    pull_requests_opened: reading("pull_requests_opened"),
    releases: reading("releases"),
    issues_opened: reading("issues_opened"),
    stars_gained: reading("stars_gained"),
  };
}

function infrastructureReadings(
  figures: Figures["infrastructure"],
): Record<keyof typeof definitions.infrastructure, Reading> {
  const { devices } = figures;
  const notComputed = "the day's device metrics are not computed";
  const share = (
    part: number | null,
    whole: number | null,
    what: string,
    unknown: string,
  ): Reading =>
    part === null || whole === null || whole === 0
      ? { value: null, why: unknown }
      // The share is capped, because devices that were active may have left service since.
      : {
        value: Math.min(100, Math.round(1000 * part / whole) / 10),
        why: `${part} of ${whole} ${what}`,
      };
  const ofDay = (part: number | null, others: (number | null)[], what: string, nothing: string) =>
    share(
      part,
      others.reduce<number | null>(
        (sum, one) => sum === null || one === null ? null : sum + one,
        part,
      ),
      what,
      figures.computed ? nothing : notComputed,
    );
  const noDevices = devices === null
    ? "devices are known only for the last day"
    : "no device is in service";
  return {
    active_percent: share(
      figures.active_devices,
      devices?.in_service ?? null,
      "in service",
      figures.computed ? noDevices : notComputed,
    ),
    online_percent: share(
      devices?.online ?? null,
      devices?.in_service ?? null,
      "in service",
      noDevices,
    ),
    charging_efficiency_percent: {
      value: figures.charging_efficiency_percent,
      why: figures.charging_efficiency_percent === null
        ? figures.computed ? "no charge was measured" : notComputed
        : "weighted by energy",
    },
    pop_validated_percent: ofDay(
      figures.pop_validated,
      [figures.pop_rejected],
      "decided",
      "no event was decided",
    ),
    commands_completed_percent: ofDay(
      figures.commands_completed,
      [figures.commands_failed, figures.commands_expired],
      "ended",
      "no command ended",
    ),
    active_hours_percent: share(
      figures.hours_active,
      figures.hours_computed,
      "computed",
      "no hour is computed",
    ),
  };
}
