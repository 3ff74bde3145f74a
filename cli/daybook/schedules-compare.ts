/** The plan, made of what the database says that each job was and becomes. Nothing here has a side effect. */
import { isDeepStrictEqual } from "node:util";
import { hashOfJson } from "../../local/hash.ts";
import type { Json } from "../../local/schedules.ts";
import type { WantedJob } from "./schedules-file.ts";

type Values = { [field: string]: Json };

/** Who registered a job or took it out, by the audit log. */
export interface Registration {
  verb: "register_job" | "unregister_job";
  author: string;
  reason: string | null;
  at: string;
}

export interface NextTime {
  at?: string;
  local?: string;
  note?: string;
}

/** A change of the clock that skips or repeats times of the schedule; they are local times. */
export interface ClockChange {
  changes_at: string;
  change: "skipped" | "repeated";
  first_time: string;
  last_time: string;
  times: number;
  follows_real_clock: boolean;
}

export interface Pause {
  since: string;
  until?: string;
  by: string;
  reason: string;
}

/** On the job's clock. */
export interface NextTimes {
  time_zone: string;
  times: NextTime[];
}

/** What is shown besides the values. */
interface Times {
  next_before?: NextTimes;
  next_after?: NextTimes;
  clock_changes?: ClockChange[];
  paused?: Pause;
}

/** What becomes of a job, as scheduler.becomes decides it. */
type Becomes = "registered" | "changed" | "taken_over" | "unregistered";

/** A job, as scheduler.bring_schedules says it. */
export interface JobFacts extends Times {
  job: string;
  source: string;
  /** Null: SQL of the project registered it, or nothing. */
  was_source: string | null;
  becomes: Becomes | "unchanged";
  before: Values | null;
  after: Values | null;
  /** The values with which the file registered it last. */
  applied: Values | null;
  /** Since then; without such values ever. */
  last: Registration | null;
}

export interface FaultyJob {
  job: string;
  source: string;
  fault: string;
  hint: string | null;
}

export interface OtherJob {
  job: string;
  /** The pack whose SQL registers it; null: SQL of the project. */
  source: string | null;
}

export interface Facts {
  jobs: (JobFacts | FaultyJob)[];
  others: OtherJob[];
}

export interface FieldChange {
  field: string;
  now: Json;
  then: Json;
  /** It is not what the file registered last: somebody changed it in the registry. */
  by_hand: boolean;
}

export interface JobChange extends Times {
  job: string;
  source: string;
  becomes: Becomes;
  fields: FieldChange[];
  /** Who changed it by hand, registered it in SQL or took it out, where the audit log knows. */
  last: Registration | null;
}

export interface SchedulesPlan {
  /** The same for the same changes: `apply --plan` does them and no others. */
  fingerprint: string;
  changes: JobChange[];
  faults: FaultyJob[];
  unchanged: string[];
  left_alone: OtherJob[];
}

/** What becomes of each job, those of the file in its order. */
export function planOf(facts: Facts, wanted: readonly WantedJob[]): SchedulesPlan {
  const positions = new Map(wanted.map(({ job }, index) => [job, index]));
  const position = ({ job }: { job: string }) => positions.get(job) ?? positions.size;
  const jobs = facts.jobs.toSorted((a, b) => position(a) - position(b));
  const sound = jobs.filter((job): job is JobFacts => !("fault" in job));
  const changed = sound.filter(isChanged);
  return {
    fingerprint: fingerprintOf(changed),
    changes: changed.map((job) => changeOf(job, wanted[position(job)]?.entry)),
    faults: jobs.filter((job) => "fault" in job),
    unchanged: sound.filter((job) => !isChanged(job)).map(({ job }) => job),
    left_alone: facts.others,
  };
}

type ChangedFacts = JobFacts & { becomes: Becomes };

const isChanged = (facts: JobFacts): facts is ChangedFacts => facts.becomes !== "unchanged";

function changeOf(facts: ChangedFacts, entry: Values | undefined): JobChange {
  const { job, source, becomes, last, next_before, next_after, clock_changes, paused } = facts;
  const order = Object.keys(entry ?? {});
  const fields = fieldsOf(facts)
    .filter(({ field }) => becomes !== "registered" || order.includes(field))
    .sort((a, b) => positionIn(order, a.field) - positionIn(order, b.field));
  const isSaid = becomes === "taken_over" || fields.some(({ by_hand }) => by_hand) ||
    (becomes === "registered" && last?.verb === "unregister_job");
  return {
    job,
    source,
    becomes,
    fields,
    last: isSaid ? last : null,
    ...(next_before === undefined ? {} : { next_before }),
    ...(next_after === undefined ? {} : { next_after }),
    ...(clock_changes === undefined ? {} : { clock_changes }),
    ...(paused === undefined ? {} : { paused }),
  };
}

function positionIn(order: readonly string[], field: string): number {
  return order.includes(field) ? order.indexOf(field) : order.length;
}

/** The arguments that change. Of a job that goes none: all of them go. */
function fieldsOf({ before, after, applied }: JobFacts): FieldChange[] {
  if (after === null) return [];
  const [was, will, base] = [before, after, applied].map((values) => asArguments(values ?? {}));
  return Object.keys(will!).flatMap((field) => {
    const [now, then] = [was![field] ?? null, will![field] ?? null];
    if (before !== null && isDeepStrictEqual(now, then)) return [];
    // A field of a later version than the one that registered it last was in nobody's hand.
    const byHand = field in base! && !isDeepStrictEqual(base![field], now);
    return [{ field, now, then, by_hand: byHand }];
  });
}

/** A row of the registry as register_job takes it. */
function asArguments({ continuous, ...values }: Values): Values {
  return continuous === true ? { ...values, schedule: "@continuous" } : values;
}

function fingerprintOf(changed: readonly JobFacts[]): string {
  const done = changed.toSorted((a, b) => a.job < b.job ? -1 : 1)
    .map(({ job, source, was_source, before, after }) => [job, source, was_source, before, after]);
  return hashOfJson(done).slice(0, 12);
}
