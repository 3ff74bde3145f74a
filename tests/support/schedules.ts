/** A project with a schedules.json, and `plan` and `apply` of it against a database. */
import { join } from "node:path";
import { daybook, type Outcome } from "./command-line.ts";

type Entry = Record<string, unknown>;

export interface SchedulesProject {
  folder: string;
  write(sections: Record<string, Entry[]> | string): Promise<void>;
  plan(args?: string[], env?: Record<string, string>): Promise<Outcome>;
  apply(args: string[], env?: Record<string, string>): Promise<Outcome>;
  /** The plan as JSON. */
  planned(env?: Record<string, string>): Promise<PlannedChanges>;
}

interface NextTimes {
  time_zone: string;
  times: { local?: string; note?: string }[];
}

export interface PlannedChanges {
  fingerprint: string;
  changes: {
    job: string;
    becomes: string;
    fields: { field: string; now: unknown; then: unknown; by_hand: boolean }[];
    last: { author: string; reason: string | null } | null;
    next_before?: NextTimes;
    next_after?: NextTimes;
    clock_changes?: { change: string; first_time: string; times: number }[];
    paused?: { by: string };
  }[];
  faults: { job: string; fault: string }[];
  unchanged: string[];
  left_alone: { job: string; source: string | null }[];
  warnings: string[];
  notes: string[];
}

/** Runs `fn` with a folder whose file is written by it, for the database of that URL. */
export async function withSchedulesProject(
  url: string,
  fn: (project: SchedulesProject) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "daybook-schedules-" });
  const run = (args: string[], env: Record<string, string> = {}) =>
    daybook([...args, "--db-url", url, "--project", folder], { env });
  const apply = (args: string[], env: Record<string, string> = {}) =>
    run(["apply", "--reason", "a test", "--author", "ann", ...args], env);
  try {
    await Deno.mkdir(join(folder, "supabase"));
    await fn({
      folder,
      async write(sections) {
        const text = typeof sections === "string" ? sections : JSON.stringify(sections, null, 2);
        await Deno.writeTextFile(join(folder, "supabase/schedules.json"), text);
      },
      plan: (args = [], env) => run(["plan", ...args], env),
      apply,
      async planned(env) {
        const { stdout, stderr } = await run(["plan", "--json"], env);
        if (stdout === "") throw new Error(stderr);
        return JSON.parse(stdout);
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
