/** A small GitHub for tests: answers as its REST documentation says, with Link headers, ETags and rate limits. */
import { createHash } from "node:crypto";
import {
  type HttpServer,
  type ReceivedRequest,
  type Reply,
  withHttpServer,
} from "./http-server.ts";

export interface FakeIssue {
  number: number;
  created_at: string;
  closed_at?: string | null;
  updated_at?: string;
  pull_request?: { merged_at: string | null };
}

export interface FakeRepository {
  /** What GitHub calls it. Default: the name it is known by. */
  full_name?: string;
  stargazers_count?: number;
  /** Committer dates; null: a repository without any commit. */
  commits?: string[] | null;
  issues?: FakeIssue[];
  releases?: { draft?: boolean; published_at: string | null }[];
}

export interface FakeComment {
  id: number;
  html_url: string;
  body: string;
  updated_at: string;
}

export interface FakeGithub extends HttpServer {
  repositories: Record<string, FakeRepository>;
  comments: FakeComment[];
  /** When a comment that arrives was written. */
  now: Date;
  /** Requests that the token may still make. */
  remaining: number;
  /** Answers before GitHub does; `undefined` leaves it to GitHub. Also called for what it then answers itself. */
  instead: (request: ReceivedRequest) => Reply | undefined | Promise<Reply | undefined>;
  /** What a request that arrives gets from GitHub itself: for `instead`, to do the work and lose the answer. */
  serve(request: ReceivedRequest): Reply;
  /** `GET /repos/a/b/commits` and so on, without queries, in order. */
  asked(): string[];
}

export const resetsAt = Date.parse("2026-02-21T12:34:00Z") / 1000;
const documentation = "https://docs.github.com/rest";

export async function withGithub(fn: (github: FakeGithub) => Promise<void>): Promise<void> {
  let github: FakeGithub;
  await withHttpServer(
    async (request) => await github.instead(request) ?? github.serve(request),
    async (server) => {
      github = {
        ...server,
        repositories: {},
        comments: [],
        now: new Date(),
        remaining: 4999,
        instead: () => undefined,
        serve: (request) => serve(github, request),
        asked: () => server.requests.map(({ method, url }) => `${method} ${url.split("?")[0]}`),
      };
      await fn(github);
    },
  );
}

/** An error as GitHub words it. */
export function problem(
  status: number,
  message: string,
  headers: Record<string, string> = {},
): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify({ message, documentation_url: documentation, status: String(status) }),
  };
}

function serve(github: FakeGithub, request: ReceivedRequest): Reply {
  if (!request.headers.authorization?.startsWith("Bearer ")) {
    return problem(401, "Requires authentication");
  }
  const url = new URL(request.url, github.url);
  const [, owner, name, rest = ""] = /^\/repos\/([^/]+)\/([^/]+)(?:\/(.+))?$/.exec(url.pathname) ??
    [];
  const repository = github.repositories[`${owner}/${name}`];
  if (repository === undefined) return limited(github, problem(404, "Not Found"));
  const since = url.searchParams.get("since") ?? "";
  if (request.method === "POST") {
    const id = 1000 + github.comments.length;
    const { body } = JSON.parse(request.body);
    const comment = {
      id,
      html_url: `https://github.example/${owner}/${name}/issues/7#issuecomment-${id}`,
      body,
      updated_at: github.now.toISOString(),
    };
    github.comments.push(comment);
    return limited(github, { status: 201, body: JSON.stringify(comment) });
  }
  switch (rest.replace(/\d+/, "N")) {
    case "":
      return json(github, request, {
        id: 1,
        full_name: repository.full_name ?? `${owner}/${name}`,
        stargazers_count: repository.stargazers_count ?? 0,
        private: false,
      });
    case "commits": {
      if (repository.commits === null) {
        return limited(github, problem(409, "Git Repository is empty."));
      }
      const until = url.searchParams.get("until") ?? "";
      const commits = (repository.commits ?? []).filter((date) => date >= since && date <= until);
      return page(
        github,
        request,
        url,
        commits.map((date) => ({ sha: "0".repeat(40), commit: { committer: { date } } })),
      );
    }
    case "issues": {
      const issues = (repository.issues ?? []).map((issue) => ({
        closed_at: null,
        title: "An issue",
        ...issue,
      }))
        .filter((issue) => (issue.updated_at ?? issue.closed_at ?? issue.created_at) >= since)
        .sort((a, b) => b.created_at.localeCompare(a.created_at));
      return page(github, request, url, issues);
    }
    case "releases":
      return page(
        github,
        request,
        url,
        (repository.releases ?? []).map((one) => ({ draft: false, tag_name: "v1", ...one })),
      );
    case "issues/N/comments":
      return page(
        github,
        request,
        url,
        github.comments.filter((comment) => comment.updated_at >= since),
      );
  }
  return limited(github, problem(404, "Not Found"));
}

/** One page of a list, with the Link header that documentation shows: by the repository's id. */
function page(github: FakeGithub, request: ReceivedRequest, url: URL, entries: unknown[]): Reply {
  const size = Number(url.searchParams.get("per_page") ?? 30);
  const number = Number(url.searchParams.get("page") ?? 1);
  const last = Math.max(1, Math.ceil(entries.length / size));
  const to = (target: number, rel: string) => {
    const link = new URL(url);
    link.searchParams.set("page", String(target));
    return `<${link.href}>; rel="${rel}"`;
  };
  const links = [
    ...(number > 1 ? [to(number - 1, "prev")] : []),
    ...(number < last ? [to(number + 1, "next"), to(last, "last")] : []),
    ...(number > 1 ? [to(1, "first")] : []),
  ];
  return json(
    github,
    request,
    entries.slice((number - 1) * size, number * size),
    links.length === 0 ? {} : { link: links.join(", ") },
  );
}

/** 200, or 304 when the ETag that was sent still holds, which costs nothing. */
function json(
  github: FakeGithub,
  request: ReceivedRequest,
  value: unknown,
  headers: Record<string, string> = {},
): Reply {
  const body = JSON.stringify(value);
  const etag = `W/"${createHash("sha256").update(body).digest("hex")}"`;
  if (request.headers["if-none-match"] === etag) {
    return { status: 304, headers: { etag, ...budget(github) } };
  }
  return limited(github, {
    status: 200,
    headers: { "content-type": "application/json; charset=utf-8", etag, ...headers },
    body,
  });
}

function limited(github: FakeGithub, reply: Exclude<Reply, string> | Reply): Reply {
  if (typeof reply === "string") return reply;
  github.remaining--;
  return { ...reply, headers: { ...reply.headers, ...budget(github) } };
}

function budget(github: FakeGithub): Record<string, string> {
  return {
    "x-ratelimit-limit": "5000",
    "x-ratelimit-remaining": String(github.remaining),
    "x-ratelimit-reset": String(resetsAt),
    "x-ratelimit-resource": "core",
  };
}
