import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import type { Day } from "./day.ts";
import type { Github } from "./github.ts";

/**
 * `off`: ECOSYSTEM_COMMENT_ISSUE is not set. `misconfigured`: it is not like owner/name#123. `skipped`: the run did not
 * begin a comment, for the reason in `detail`. `posted`: this run sent the comment, or found the one that an earlier
 * run had sent. `already_posted`: the day's comment was recorded before. `refused`: GitHub refused it. `unknown`: the
 * comment may still arrive.
 */
export type CommentOutcome = {
  state: "off" | "misconfigured" | "skipped" | "posted" | "already_posted" | "refused" | "unknown";
  detail: string;
  url: string | null;
};

export interface Comment {
  /** The issue, like owner/name#123. */
  issue: string;
  /** The text in Markdown, without the marker. */
  text: string;
  /** Why the run may not begin a new comment; null when it may. An earlier run's open comment is settled anyway. */
  notNow: string | null;
}

/** The hidden marker in the comment, by which a later run finds the day's comment. */
export function marker(day: Day): string {
  return `<!-- daybook ecosystem-monitor ${day.name} -->`;
}

const claimSchema = z.discriminatedUnion("claimed", [
  z.object({ claimed: z.literal(true) }),
  z.object({
    claimed: z.literal(false),
    state: z.enum(["posting", "posted"]).nullable(),
    issue: z.string().nullable(),
    run_id: z.string().nullable(),
    claimed_at: z.string().nullable(),
    may_arrive_until: z.string().nullable(),
    may_arrive: z.boolean().nullable(),
    comment_url: z.string().nullable(),
  }),
]);

const issueSchema = z.string().regex(
  /^([A-Za-z0-9][A-Za-z0-9_-]{0,38})\/(?!\.{1,2}#)([A-Za-z0-9._-]{1,100})#([1-9]\d{0,8})$/,
);
const commentSchema = z.object({ id: z.int().positive(), html_url: z.string().max(500) });
const commentsSchema = z.array(commentSchema.extend({ body: z.string().nullish() }));

type Context = Pick<JobContext, "db" | "signal" | "runId" | "remainingMs">;

/**
 * Posts the comment of a day on the issue, once, even if the run is retried. It claims the day in the database before
 * it sends the request, and sends the request once. When the outcome is unknown, here or after a crash, it searches for
 * the comment by its marker. It sends another only when the first is not there and cannot arrive any more (see
 * `ecosystem_claim_comment()`).
 */
export async function publishComment(
  context: Context,
  github: Github,
  day: Day,
  comment: Comment,
): Promise<CommentOutcome> {
  if (!issueSchema.safeParse(comment.issue).success) {
    return outcome("misconfigured", "ECOSYSTEM_COMMENT_ISSUE must be like owner/name#123");
  }
  // Claim the day only when there is time left to receive the answer to the request.
  const notNow = comment.notNow ??
    (context.remainingMs() < github.limits.postTimeoutMs + 5_000
      ? "the run had no time left for it"
      : null);
  const claim = claimSchema.parse(
    await call(context, "ecosystem_claim_comment", {
      p_day: day.name,
      p_issue: comment.issue,
      p_run_id: context.runId,
      p_only_look: notNow !== null,
    }),
  );
  if (claim.claimed) return await send(context, github, day, comment);
  if (claim.state === null) {
    return outcome("skipped", notNow ?? "another run just gave the day back");
  }
  if (claim.state === "posted") {
    return outcome("already_posted", "the day has its comment", claim.comment_url);
  }

  const found = await look(github, claim.issue ?? comment.issue, day, claim.claimed_at);
  if (found.kind === "there") return await settle(context, day, found.id, found.url);
  const waits = claim.may_arrive === true;
  if (found.kind === "unclear" || waits || notNow !== null) {
    const why = found.kind === "unclear"
      ? `it cannot be looked for: ${found.problem}`
      : waits
      ? `an earlier request may arrive until ${minute(claim.may_arrive_until)}`
      : `it is not there, and is not sent now: ${notNow}`;
    return outcome("unknown", why);
  }
  const taken = await call(context, "ecosystem_take_over_comment", {
    p_day: day.name,
    p_issue: comment.issue,
    p_from_run_id: claim.run_id,
    p_run_id: context.runId,
  });
  return taken === true
    ? await send(context, github, day, comment)
    : outcome("unknown", "another run has taken it over");
}

async function send(
  context: Context,
  github: Github,
  day: Day,
  comment: Comment,
): Promise<CommentOutcome> {
  const answer = await github.post(commentsUrl(github, comment.issue), {
    body: `${comment.text}\n\n${marker(day)}`,
  });
  switch (answer.kind) {
    case "created": {
      const { data } = commentSchema.safeParse(answer.body);
      return await settle(context, day, data?.id ?? null, data?.html_url ?? null);
    }
    case "refused":
      await call(context, "ecosystem_release_comment", {
        p_day: day.name,
        p_run_id: context.runId,
      });
      return outcome("refused", answer.problem);
    case "unknown": {
      const mayArriveUntil = await call(context, "ecosystem_doubt_comment", {
        p_day: day.name,
        p_run_id: context.runId,
        p_problem: answer.problem,
      });
      const found = await look(github, comment.issue, day, null);
      return found.kind === "there"
        ? await settle(context, day, found.id, found.url)
        : outcome("unknown", `${answer.problem}; it may arrive until ${minute(mayArriveUntil)}`);
    }
  }
}

type Looked =
  | { kind: "there"; id: number; url: string }
  | { kind: "absent" }
  | { kind: "unclear"; problem: string };

/** The search begins an hour before the claim, because the clocks of GitHub and the database may differ. */
const clockMarginMs = 3_600_000;

/** Searches all pages of the issue's comments since the claim for the day's marker. */
async function look(
  github: Github,
  issue: string,
  day: Day,
  claimedAt: string | null,
): Promise<Looked> {
  const from = new Date(
    (claimedAt === null ? day.endsAt.getTime() : Date.parse(claimedAt)) - clockMarginMs,
  );
  let url: string | null = `${commentsUrl(github, issue)}?since=${
    from.toISOString().slice(0, 19)
  }Z&per_page=100`;
  for (let pages = 0; url !== null; pages++) {
    if (pages >= github.limits.maxPages) {
      return { kind: "unclear", problem: "the issue has too many comments" };
    }
    const answer = await github.get(url);
    if (answer.kind !== "ok") {
      return {
        kind: "unclear",
        problem: answer.kind === "unchanged" ? "GitHub says unchanged" : answer.problem,
      };
    }
    const comments = commentsSchema.safeParse(answer.body);
    if (!comments.success) {
      return { kind: "unclear", problem: "GitHub's answer is not as documented" };
    }
    const found = comments.data.find(({ body }) => body?.includes(marker(day)));
    if (found !== undefined) return { kind: "there", id: found.id, url: found.html_url };
    url = answer.next;
  }
  return { kind: "absent" };
}

async function settle(
  context: Context,
  day: Day,
  id: number | null,
  url: string | null,
): Promise<CommentOutcome> {
  await call(context, "ecosystem_record_comment", {
    p_day: day.name,
    p_comment_id: id,
    p_comment_url: url,
  });
  return outcome("posted", "the comment is on GitHub", url);
}

function commentsUrl(github: Github, issue: string): string {
  const [repository, number] = issue.split("#");
  return `${github.baseUrl}/repos/${repository}/issues/${number}/comments`;
}

function minute(time: unknown): string {
  const moment = new Date(String(time));
  return Number.isNaN(moment.getTime())
    ? "an unknown time"
    : `${moment.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function outcome(
  state: CommentOutcome["state"],
  detail: string,
  url: string | null = null,
): CommentOutcome {
  return { state, detail, url };
}

type CommentFunction =
  | "ecosystem_claim_comment"
  | "ecosystem_take_over_comment"
  | "ecosystem_record_comment"
  | "ecosystem_release_comment"
  | "ecosystem_doubt_comment";

/** These functions use the database's clock, because one run reads the times of another run's claim. */
async function call(
  { db, signal }: Context,
  name: CommentFunction,
  args: Record<string, string | number | boolean | null>,
): Promise<unknown> {
  const { data, error } = await db.rpc(name, args as never).abortSignal(signal);
  if (error) throw error;
  return data;
}
