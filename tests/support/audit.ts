/** Entries and facts for tests of the audit. */
import { type Audit, audit } from "../../cli/audit/audit.ts";
import type { Entry } from "../../cli/audit/entry.ts";
import type { Answer, DatabaseFacts, Facts, Run } from "../../cli/audit/facts.ts";
import type { Finding } from "../../cli/audit/finding.ts";
import { readText } from "../../cli/audit/sources/read-text.ts";
import { loadSqlParser, workOfSql, workOfText } from "../../cli/audit/work.ts";

await loadSqlParser();

/** Winter in New York; the changes to come are on 2026-03-08 and 2026-11-01. */
export const NOW = new Date("2026-01-15T12:00:00Z");

/** An entry of pg_cron with this command. */
export function sqlEntry(
  name: string,
  schedule: string,
  command: string,
  more: Partial<Entry> = {},
) {
  const jobId = more.jobId ?? name;
  return {
    name,
    schedule,
    zone: "UTC",
    engine: "pg_cron",
    command,
    work: workOfSql(command),
    where: `cron.job ${jobId}`,
    active: true,
    jobId,
    database: "postgres",
    username: "postgres",
    ...more,
  } satisfies Entry;
}

/** An entry that calls an edge function. */
export function callEntry(name: string, schedule: string, more: Partial<Entry> = {}) {
  return sqlEntry(name, schedule, post(name), more);
}

export function post(functionName: string, more = ", timeout_milliseconds := 60000"): string {
  return `select net.http_post(url := 'https://abc.supabase.co/functions/v1/${functionName}'${more})`;
}

/** An entry of a list, of which no more than a description is known. */
export function listEntry(name: string, schedule: string, what = name, more: Partial<Entry> = {}) {
  return {
    name,
    schedule,
    zone: "UTC",
    engine: "list",
    command: what,
    work: workOfText(what),
    where: `list.tsv:${name}`,
    active: true,
    ...more,
  } satisfies Entry;
}

export function databaseFacts(more: Partial<DatabaseFacts> = {}): DatabaseFacts {
  return {
    database: "postgres",
    databases: [{ name: "postgres", allowsConnections: true }],
    roles: [{ name: "postgres", canLogin: true }],
    logsRuns: true,
    missing: {},
    ...more,
  };
}

export function findings(entries: Entry[], facts: Partial<Facts> = {}): Finding[] {
  return auditOf(entries, facts).findings;
}

export function auditOf(entries: Entry[], facts: Partial<Facts> = {}): Audit {
  return audit(entries, { now: NOW, works: [], unknown: [], ...facts });
}

/** The findings of one rule. */
export function of(rule: string, entries: Entry[], facts: Partial<Facts> = {}): Finding[] {
  return findings(entries, facts).filter((finding) => finding.rule === rule);
}

/** A finding in brief: rule, certainty, whose. */
export function brief({ rule, certainty, entries }: Finding): string {
  return `${rule}, ${certainty}: ${entries.map(({ name }) => name).join(", ")}`;
}

export function readEntries(name: string, text: string, zone?: string) {
  return readText({ name, text, zone });
}

export function runOf(jobId: string, startedAt: string, more: Partial<Run> = {}): Run {
  const begin = new Date(startedAt);
  return {
    jobId,
    status: "succeeded",
    message: "1 row",
    startedAt: begin,
    endedAt: new Date(begin.getTime() + 20),
    ...more,
  };
}

export function answerOf(id: number, createdAt: string, more: Partial<Answer> = {}): Answer {
  return {
    id: String(id),
    statusCode: 200,
    timedOut: false,
    error: null,
    createdAt: new Date(createdAt),
    ...more,
  };
}
