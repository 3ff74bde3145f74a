/** What the tests of ecosystem-monitor share: the job over plain SQL as `service_role`, and a day of figures. */
import type { JobContext, JsonObject } from "../../shared/job/define-job.ts";
import {
  type GithubLimits,
  githubLimits,
} from "../../supabase/functions/ecosystem-monitor/github.ts";
import { monitor } from "../../supabase/functions/ecosystem-monitor/monitor.ts";
import { moveClock } from "./clock.ts";
import type { TestDatabase } from "./database.ts";
import { type FakeGithub, withGithub } from "./github.ts";
import { jobContext } from "./job-context.ts";
import { healthDatabase } from "./system-health.ts";
import { withDatabase } from "./database.ts";

/** The occurrence, and the day that it reports on. */
export const scheduledFor = new Date("2026-02-21T11:35:00Z");
export const day = "2026-02-20";
export const token = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

export interface EcosystemTest {
  db: TestDatabase;
  github: FakeGithub;
  /** Runs the job with a token, each time as another run. */
  run(options?: RunOptions): Promise<Result>;
  watch(...names: string[]): Promise<void>;
}

interface RunOptions {
  input?: { day?: string };
  env?: Record<string, string>;
  limits?: Partial<GithubLimits>;
  now?: Date;
  signal?: AbortSignal;
  remainingMs?: () => number;
}

// deno-lint-ignore no-explicit-any
type Result = JsonObject & Record<string, any>;

/** A database of its own and a GitHub of its own. */
export async function withEcosystem(fn: (test: EcosystemTest) => Promise<void>): Promise<void> {
  await withDatabase((db) =>
    withGithub(async (github) => {
      const client = healthDatabase(
        db.connect("service_role", { max: 4 }),
      ) as unknown as JobContext["db"];
      await moveClock(db.sql, scheduledFor);
      await fn({
        db,
        github,
        run: async (
          { input = {}, env = {}, now = scheduledFor, signal, remainingMs, limits: own } = {},
        ) => {
          await moveClock(db.sql, now);
          github.now = now;
          return await monitor(
            input,
            jobContext({
              db: client,
              env: { GITHUB_API_URL: github.url, GITHUB_TOKEN: token, ...env },
              now,
              scheduledFor,
              runId: crypto.randomUUID(),
              ...(signal === undefined ? {} : { signal }),
              ...(remainingMs === undefined ? {} : { remainingMs }),
            }),
            { ...githubLimits, ...own },
          ) as Result;
        },
        watch: async (...names) => {
          for (const name of names) {
            await db.sql`insert into ecosystem_repositories (full_name) values (${name})`;
          }
        },
      });
    })
  );
}

/** So many times of the day, a minute apart. */
export function minutes(count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) =>
      new Date(Date.parse(`${day}T00:00:00Z`) + index * 60_000).toISOString().replace(".000", ""),
  );
}
