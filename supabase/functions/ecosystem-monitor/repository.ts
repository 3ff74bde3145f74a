import { z } from "zod";
import type { JsonObject } from "../../../shared/job/define-job.ts";
import type { Day } from "./day.ts";
import type { Github } from "./github.ts";

/** The stored part of an answer: its ETag, its counts, and the next page. */
export type StoredResponse = { etag: string; found: JsonObject; next_url: string | null };

export type FigureName =
  | "commits"
  | "issues_opened"
  | "issues_closed"
  | "pull_requests_opened"
  | "pull_requests_merged"
  | "releases"
  | "stars_total";

/** The input of `ecosystem_record_activity()`. Figures that could not be read are missing. */
export interface RepositoryReading {
  /** `stopped`: the run stopped asking GitHub before it had any figure of the repository. */
  outcome: "read" | "partial" | "gone" | "unreadable" | "stopped";
  /** The missing figures and the reason, in words; null when none is missing. */
  problem: string | null;
  /** The repository's current name at GitHub; null when the answer does not tell. */
  githubName: string | null;
  figures: Partial<Record<FigureName, number>>;
  /** Lists of which some pages were not read. Their figures are lower bounds. */
  truncated: string[];
  responses: (StoredResponse & { url: string })[];
}

const moment = z.iso.datetime({ offset: true });
/** A count within the range of the database's columns. */
const count = z.int().nonnegative().max(2_147_483_647);

/** The counted fields of the answers. Entries may have any other fields too. */
const answers = {
  repository: z.object({ full_name: z.string().min(3).max(200), stargazers_count: count }),
  commits: z.array(
    z.object({ commit: z.object({ committer: z.object({ date: moment }).nullish() }) }),
  ),
  issues: z.array(z.object({
    number: count,
    created_at: moment,
    closed_at: moment.nullish(),
    pull_request: z.object({ merged_at: moment.nullish() }).optional(),
  })),
  releases: z.array(
    z.object({ draft: z.boolean().default(false), published_at: moment.nullish() }),
  ),
};

const numbers = z.array(count);

/** Issues are kept by number, because an entry can move to the next page during the reading and be seen twice. */
const issueNumbers = z.object({
  issues_opened: numbers,
  issues_closed: numbers,
  pull_requests_opened: numbers,
  pull_requests_merged: numbers,
});

/**
 * Reads a repository's day with at least four requests: the repository (its name and stars), its commits, its issues
 * (GitHub's list of issues includes pull requests), and its releases. `stored` holds the answers of earlier runs.
 * Throws only when the run is stopped.
 */
export async function readRepository(
  github: Github,
  fullName: string,
  day: Day,
  stored: Readonly<Record<string, StoredResponse>>,
): Promise<RepositoryReading> {
  const reading: RepositoryReading = {
    outcome: "read",
    problem: null,
    githubName: null,
    figures: {},
    truncated: [],
    responses: [],
  };
  const within = (time: string | null | undefined) =>
    typeof time === "string" && Date.parse(time) >= day.startsAt.getTime() &&
    Date.parse(time) < day.endsAt.getTime();

  /** The counts of a page, new or stored, or the problem with it. */
  async function read<Body, Found extends JsonObject>(
    url: string,
    page: Page<Body, Found>,
  ): Promise<Taken<Found>> {
    const kept = stored[url];
    // If the stored counts have an outdated form, ask without the ETag.
    const known = page.found.safeParse(kept?.found);
    const answer = await github.get(url, known.success ? kept?.etag : undefined);
    switch (answer.kind) {
      case "ok": {
        const body = page.body.safeParse(answer.body);
        if (!body.success) {
          return { problem: `GitHub's answer is not as documented: ${firstIssue(body.error)}` };
        }
        const found = page.count(body.data);
        if (answer.etag !== null) {
          reading.responses.push({ url, etag: answer.etag, found, next_url: answer.next });
        }
        return { found, next: answer.next };
      }
      case "unchanged":
        if (kept === undefined || !known.success) {
          return { problem: "GitHub answered 304 (unchanged), but no earlier answer is kept" };
        }
        reading.responses.push({ ...kept, url });
        return { found: known.data, next: kept.next_url };
      case "refused":
        return { problem: answer.problem, status: answer.status };
      case "failed":
        return { problem: answer.problem };
      case "stopped":
        return { problem: answer.problem, stopped: true };
    }
  }

  /** The sum over all pages of a list; null when a page could not be read. */
  async function readList<Body, Found extends JsonObject>(
    name: string,
    firstUrl: string,
    page: Page<Body, Found> & {
      add(sum: Found, found: Found): Found;
      last?(found: Found): boolean;
      empty?: Found;
    },
  ): Promise<Found | null> {
    let sum: Found | null = null;
    let url: string | null = firstUrl;
    const pagesRead = new Set<string>();
    for (let pages = 0; url !== null; pages++) {
      if (pagesRead.has(url)) {
        missing(name, "GitHub's pages go in a circle");
        return null;
      }
      pagesRead.add(url);
      if (pages >= github.limits.maxPages) {
        reading.truncated.push(name);
        break;
      }
      const taken: Taken<Found> = await read(url, page);
      if ("problem" in taken) {
        // GitHub answers 409 for a repository without any commit.
        if (taken.status === 409 && page.empty !== undefined) return page.empty;
        missing(name, taken.problem);
        return null;
      }
      sum = sum === null ? taken.found : page.add(sum, taken.found);
      url = page.last?.(taken.found) ? null : taken.next;
    }
    return sum;
  }

  function missing(name: string, problem: string): void {
    reading.outcome = "partial";
    reading.problem ??= `${name}: ${problem}`;
  }

  const repositoryUrl = `${github.baseUrl}/repos/${fullName}`;
  const about = await read(repositoryUrl, {
    body: answers.repository,
    found: z.object({ stars_total: count, full_name: z.string() }),
    count: (body) => ({ stars_total: body.stargazers_count, full_name: body.full_name }),
  });
  if ("problem" in about) {
    reading.problem = about.problem;
    const gone = about.status === 404 || about.status === 410 || about.status === 451;
    reading.outcome = about.stopped ? "stopped" : gone ? "gone" : "unreadable";
    return reading;
  }
  reading.githubName = about.found.full_name;
  reading.figures.stars_total = about.found.stars_total;

  const since = day.startsAt.toISOString().replace(".000", "");
  const until = new Date(day.endsAt.getTime() - 1000).toISOString().replace(".000", "");

  const commits = await readList(
    "commits",
    `${repositoryUrl}/commits?since=${since}&until=${until}&per_page=100`,
    {
      body: answers.commits,
      found: z.object({ commits: count }),
      count: (body) => ({
        commits: body.filter(({ commit }) => within(commit.committer?.date)).length,
      }),
      add: (sum, found) => ({ commits: sum.commits + found.commits }),
      empty: { commits: 0 },
    },
  );
  if (commits !== null) reading.figures.commits = commits.commits;

  // Sort by the creation time, which never changes, with the newest first. A new entry then moves others only to later
  // pages, which are still to be read.
  const issues = await readList(
    "issues",
    `${repositoryUrl}/issues?state=all&since=${since}&sort=created&direction=desc&per_page=100`,
    {
      body: answers.issues,
      found: issueNumbers,
      count: (body) => {
        const pulls = body.filter((issue) => issue.pull_request !== undefined);
        const others = body.filter((issue) => issue.pull_request === undefined);
        return {
          issues_opened: numbersOf(others.filter((issue) => within(issue.created_at))),
          issues_closed: numbersOf(others.filter((issue) => within(issue.closed_at))),
          pull_requests_opened: numbersOf(pulls.filter((pull) => within(pull.created_at))),
          pull_requests_merged: numbersOf(
            pulls.filter((pull) => within(pull.pull_request?.merged_at)),
          ),
        };
      },
      add: (sum, found) => ({
        issues_opened: [...sum.issues_opened, ...found.issues_opened],
        issues_closed: [...sum.issues_closed, ...found.issues_closed],
        pull_requests_opened: [...sum.pull_requests_opened, ...found.pull_requests_opened],
        pull_requests_merged: [...sum.pull_requests_merged, ...found.pull_requests_merged],
      }),
    },
  );
  if (issues !== null) {
    for (const name of Object.keys(issueNumbers.shape) as (keyof typeof issues)[]) {
      reading.figures[name] = new Set(issues[name]).size;
    }
  }

  // This list has no filter by day. It is read, the newest first, until a page has no release since the day began. Its
  // address is the same every day, so the stored part holds the times.
  const releases = await readList("releases", `${repositoryUrl}/releases?per_page=100`, {
    body: answers.releases,
    found: z.object({ published: z.array(moment) }),
    count: (body) => ({
      published: body.flatMap(({ draft, published_at }) =>
        draft || typeof published_at !== "string" ? [] : [published_at]
      ),
    }),
    add: (sum, found) => ({ published: [...sum.published, ...found.published] }),
    last: ({ published }) => !published.some((time) => Date.parse(time) >= day.startsAt.getTime()),
  });
  if (releases !== null) reading.figures.releases = releases.published.filter(within).length;

  return reading;
}

type Taken<Found> =
  | { found: Found; next: string | null }
  | { problem: string; status?: number; stopped?: true };

interface Page<Body, Found extends JsonObject> {
  body: z.ZodType<Body>;
  /** The stored counts of a page, which are used again when GitHub answers that the page has not changed. */
  found: z.ZodType<Found>;
  count(body: Body): Found;
}

function numbersOf(entries: { number: number }[]): number[] {
  return entries.map((entry) => entry.number);
}

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join(".") || "the answer"}: ${issue?.message}`;
}
