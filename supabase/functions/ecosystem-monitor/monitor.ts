import { readBaseUrl } from "../../../shared/base-url.ts";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { PermanentError } from "../../../shared/job/errors.ts";
import { collect, type Collected } from "./collect.ts";
import { type CommentOutcome, publishComment } from "./comment.ts";
import { type Day, dayNamed, lastWholeDay } from "./day.ts";
import { readFigures } from "./figures.ts";
import { createGithub, type Github, type GithubLimits, githubLimits } from "./github.ts";
import { headline, renderReport } from "./report.ts";
import { score } from "./scores.ts";

const nothingCollected: Collected = {
  read: [],
  partial: [],
  gone: [],
  unreadable: [],
  leftOut: [],
  stopped: null,
  problems: [],
};
const mostNamed = 50;

/**
 * Reads the day's activity (if there is a token), computes and records the scores and the report, and posts the comment
 * (if an issue is set). The run completes even if GitHub cannot be read; the result names the missing figures.
 */
export async function monitor(
  input: { day?: string | undefined },
  context: JobContext,
  limits: GithubLimits = githubLimits,
): Promise<JsonObject> {
  const { log } = context;
  const lastDay = lastWholeDay(context.now());
  const day = input.day === undefined
    ? lastWholeDay(context.scheduledFor)
    : dayNamed(input.day, context.now());
  const github = githubOf(context, limits);
  const collected = github === null ? nothingCollected : await collect(context, github, day);

  const { figures, warningBelow } = await readFigures(context, day);
  const scores = score(figures);
  const line = headline(scores, figures);
  const unread = [...collected.partial, ...collected.unreadable, ...collected.leftOut];
  const missing = [
    ...(github === null ? ["GITHUB_TOKEN is not set: GitHub was not asked"] : []),
    ...(collected.stopped === null || unread.length === 0 ? [] : [collected.stopped]),
    ...(collected.leftOut.length === 0 ? [] : [`left out: ${listed(collected.leftOut)}`]),
    ...collected.problems,
  ];
  const gone = figures.activity.gone;
  const notes = [...missing, ...(gone.length === 0 ? [] : [`gone from GitHub: ${listed(gone)}`])];
  const report = renderReport(day.name, scores, figures, notes);
  const { error } = await context.db.rpc("ecosystem_record_report", {
    p_day: day.name,
    p_report: {
      overall_score: scores.overall,
      activity_score: scores.activity.score,
      infrastructure_score: scores.infrastructure.score,
      scores,
      figures,
      headline: line,
      report,
    },
  }).abortSignal(context.signal);
  if (error) throw error;
  for (const text of report.split("\n")) log.info(text);

  const comment = await commentOf(context, github, day, {
    text: `**Daybook ecosystem report for ${day.name}**: ${line}.`,
    notNow: collected.stopped !== null
      ? `GitHub is not asked any more: ${collected.stopped}`
      : scores.activity.score === null
      ? "nothing is known of any repository"
      : day.name !== lastDay.name
      ? "only the last day gets a comment"
      : null,
  });
  const low = scores.overall !== null && scores.overall < warningBelow;
  const troubled = low || unread.length > 0 ||
    ["misconfigured", "refused", "unknown"].includes(comment.state);
  return {
    summary: [
      `${day.name}: ${line}`,
      ...(github === null ? ["GitHub not asked, GITHUB_TOKEN is not set"] : []),
      ...(unread.length === 0
        ? []
        : [`${unread.length} of ${figures.activity.repositories} repositories not read in full`]),
      ...(low ? [`below ${warningBelow}`] : []),
      ...(comment.state === "off" ? [] : [`comment ${comment.state.replace("_", " ")}`]),
    ].join("; "),
    notable: troubled ? "warning" : "info",
    day: day.name,
    scores,
    counts: {
      repositories: figures.activity.repositories,
      read: collected.read.length,
      partial: collected.partial.length,
      gone: collected.gone.length,
      unreadable: collected.unreadable.length,
    },
    leftOut: collected.leftOut.slice(0, mostNamed),
    missing: missing.slice(0, mostNamed),
    comment,
    report,
    notConfigured: github === null ? ["GITHUB_TOKEN"] : [],
  };
}

function githubOf(context: JobContext, limits: GithubLimits): Github | null {
  const token = context.env("GITHUB_TOKEN")?.trim();
  if (token === undefined || token === "") return null;
  const baseUrl = readBaseUrl(context.env("GITHUB_API_URL") ?? "https://api.github.com");
  if (baseUrl === undefined) {
    throw new PermanentError("GITHUB_API_URL must be an address like https://api.github.com");
  }
  const { http, signal, remainingMs, now } = context;
  return createGithub({ http, baseUrl, token, signal, remainingMs, now, limits });
}

async function commentOf(
  context: JobContext,
  github: Github | null,
  day: Day,
  comment: { text: string; notNow: string | null },
): Promise<CommentOutcome> {
  const issue = context.env("ECOSYSTEM_COMMENT_ISSUE")?.trim() ?? "";
  if (issue === "") {
    return { state: "off", detail: "ECOSYSTEM_COMMENT_ISSUE is not set", url: null };
  }
  if (github === null) return { state: "skipped", detail: "GITHUB_TOKEN is not set", url: null };
  return await publishComment(context, github, day, { issue, ...comment });
}

/** The names for a sentence; a long list is cut. */
function listed(names: readonly string[]): string {
  const most = 10;
  return names.length <= most
    ? names.join(", ")
    : `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}
