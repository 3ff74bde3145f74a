/** `adopt --undo` and `--forget`: puts adopted entries back, or deletes what is kept of them. */
import { forgetSql, undoSql } from "../adopt/migration.ts";
import { isMeant } from "../adopt/candidates.ts";
import type { AdoptedEntry, ReadForAdoption } from "../adopt/read.ts";
import { reportAdopted } from "../adopt/report.ts";
import { listed } from "../audit/words.ts";
import { assertCanAdopt, deliver, type Session } from "./adopt-session.ts";
import { CommandError, type ExitCode, exitCodes } from "./io.ts";

export async function undoOrForget(session: Session): Promise<ExitCode> {
  const { chosen, options, io, read, cause } = session;
  assertCanAdopt(read);
  const meant = meantOf(chosen, read);
  const jobs = [...new Set(meant.map(({ jobName }) => jobName))].sort();
  const all = read.adopted.filter(({ jobName }) => jobs.includes(jobName));
  if (all.length === 0) {
    if (options.json) io.print(JSON.stringify({ jobs, entries: all }, null, 2));
    const say = options.json || options.output === "-" ? io.complain : io.print;
    say("No entry is kept: nothing was adopted, or it was put back already");
    return exitCodes.ok;
  }
  const sql = options.forget ? forgetSql(jobs, cause) : undoSql(jobs, cause);
  if (options.output === "-") {
    io.print(sql.trimEnd());
    return exitCodes.ok;
  }
  if (options.json) {
    io.print(JSON.stringify({ jobs, entries: all, sql }, null, 2));
  } else {
    io.print(
      `Entries to ${options.forget ? "forget" : "put back"}, by the jobs in their place\n${
        reportAdopted(all)
      }`,
    );
  }
  await deliver(session, "undo_adoption", sql);
  return exitCodes.ok;
}

/** What is kept of the entries or jobs of these names; of all where none is named. */
function meantOf(chosen: string[], { adopted, jobs, entries }: ReadForAdoption): AdoptedEntry[] {
  const isKept = (one: string) =>
    adopted.some(({ name, jobName }) => name === one || jobName === one);
  const isThere = (one: string) =>
    jobs.some(({ name }) => name === one) || entries.some((entry) => isMeant(entry, one));
  const unknown = chosen.filter((one) => !isKept(one) && !isThere(one));
  if (unknown.length > 0) {
    throw new CommandError(
      exitCodes.usage,
      `Nothing is kept of ${listed(unknown.map((name) => `'${name}'`))}`,
      adopted.length === 0
        ? "no entry is adopted"
        : `adopted are: ${listed([...new Set(adopted.map(({ jobName }) => jobName))])}`,
    );
  }
  return chosen.length === 0
    ? adopted
    : adopted.filter(({ name, jobName }) => chosen.some((one) => one === name || one === jobName));
}
