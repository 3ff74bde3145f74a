/** What the doctor learns over the API, where it has no database. */
import { type Answers, databaseFinding, type Finding } from "./doctor-findings.ts";
import { CommandError, type Io } from "./io.ts";
import { openPlace } from "./open-source.ts";
import type { PlaceOptions } from "./place.ts";
import { readPages } from "./pages.ts";
import { readProfile } from "./profile.ts";
import { askFunction } from "./rotate-secret-functions.ts";
import type { Source } from "./source.ts";
import { verifyOf } from "./verify.ts";

export interface ApiFacts {
  findings: Finding[];
  /** Of the functions, to the cron secret of the environment; empty without one. */
  answers: Answers;
}

/** Asks the API of `--url` or of the profile. What it refuses is a finding. */
export async function askApi(
  options: PlaceOptions,
  io: Pick<Io, "env" | "stackDatabase" | "now" | "pause">,
): Promise<ApiFacts> {
  const { source } = await openPlace(options, io);
  const check = "API";
  try {
    const { checks } = await verifyOf(source, io);
    const findings: Finding[] = [
      { check, state: "ok", detail: `${source.place} answers` },
      ...checks.map(({ check, ...rest }) => databaseFinding({ check_name: check, ...rest })),
    ];
    return { findings, answers: await askFunctions(source, options, io) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const { message: detail, hint: command } = error;
    return {
      findings: [{ check, state: "failed", detail, ...(command === undefined ? {} : { command }) }],
      answers: new Map(),
    };
  } finally {
    await source.close();
  }
}

async function askFunctions(
  source: Source,
  options: PlaceOptions,
  io: Pick<Io, "env" | "stackDatabase">,
): Promise<Answers> {
  const profile = options.profile === undefined
    ? undefined
    : await readProfile(options.profile, io);
  const secret = io.env(profile?.cron_secret_env ?? "CRON_SECRET");
  if (!secret) return new Map();
  const functions = new Set(["cron", "prometheus-metrics"]);
  const { jobs } = await readPages<"jobs", { target: string }, object>(
    source,
    "status",
    {},
    "jobs",
  );
  for (const { target } of jobs) if (!target.includes("/")) functions.add(target);
  const projectUrl = source.place.replace(/\/functions\/v1\/cron$/, "");
  return new Map(
    await Promise.all(
      [...functions].map(async (name) =>
        [name, await askFunction(projectUrl, name, secret)] as const
      ),
    ),
  );
}
