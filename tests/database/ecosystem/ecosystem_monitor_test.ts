import assert from "node:assert/strict";
import { PermanentError } from "../../../shared/job/errors.ts";
import { day, minutes, token, withEcosystem } from "../../support/ecosystem.ts";
import { problem } from "../../support/github.ts";
import type { ReceivedRequest, Reply } from "../../support/http-server.ts";

const at = (time: string) => `2026-02-20T${time}Z`;
const before = "2026-02-19T23:59:59Z";
const after = "2026-02-21T00:00:00Z";

const lively = {
  stargazers_count: 120,
  commits: [before, at("00:00:00"), at("12:00:00"), at("23:59:59"), after],
  issues: [
    { number: 1, created_at: before, closed_at: at("10:00:00") },
    { number: 2, created_at: at("09:00:00"), updated_at: after },
    { number: 3, created_at: after },
    { number: 4, created_at: at("00:00:00"), pull_request: { merged_at: null } },
    {
      number: 5,
      created_at: before,
      closed_at: at("11:00:00"),
      pull_request: { merged_at: at("11:00:00") },
    },
    { number: 6, created_at: before, closed_at: at("11:00:00"), pull_request: { merged_at: null } },
  ],
  releases: [
    { draft: true, published_at: null },
    { published_at: after },
    { published_at: at("08:00:00") },
    { published_at: before },
  ],
};

Deno.test("a day's activity is counted within the UTC day, issues apart from pull requests", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    github.repositories["acme/lively"] = lively;
    const result = await run();
    const [row] = await sql`
      select commits, issues_opened, issues_closed, pull_requests_opened, pull_requests_merged, releases, stars_total,
        stars_gained, truncated from repository_activity where day = ${day}`;
    assert.deepEqual({ ...row }, {
      commits: 3,
      issues_opened: 1,
      issues_closed: 1,
      pull_requests_opened: 1,
      pull_requests_merged: 1,
      releases: 1,
      stars_total: 120,
      stars_gained: null,
      truncated: [],
    });
    assert.deepEqual(github.asked(), [
      "GET /repos/acme/lively",
      "GET /repos/acme/lively/commits",
      "GET /repos/acme/lively/issues",
      "GET /repos/acme/lively/releases",
    ]);
    for (const { headers } of github.requests) {
      assert.equal(headers.authorization, `Bearer ${token}`);
      assert.equal(headers.accept, "application/vnd.github+json");
      assert.equal(headers["x-github-api-version"], "2022-11-28");
      assert.ok(headers["user-agent"]);
    }
    assert.equal(result.day, day);
    assert.deepEqual(result.missing, []);
    assert.deepEqual(result.notConfigured, []);
    assert.match(
      result.summary,
      /^2026-02-20: overall \d+ of 100 .*3 commits, 1 pull request merged/,
    );
    assert.doesNotMatch(JSON.stringify(result), new RegExp(token));
  }));

Deno.test("all pages of a list are read by their Link headers; an entry that moves to the next page counts once", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/big");
    const issues = minutes(250).map((created_at, index) => ({ number: index + 1, created_at }));
    github.repositories["acme/big"] = { commits: minutes(230), issues };
    github.instead = ({ url }) => {
      // A new issue after the first page was read pushes its last entry to the second.
      if (/issues.*page=2/.test(url) && issues.length === 250) {
        issues.push({ number: 999, created_at: after });
      }
      return undefined;
    };
    await run();
    const [row] = await sql`select commits, issues_opened, truncated from repository_activity`;
    assert.deepEqual({ ...row }, { commits: 230, issues_opened: 250, truncated: [] });
    assert.equal(github.requests.length, 1 + 3 + 3 + 1);
  }));

Deno.test("the API's base URL may have any form of a URL; pages have to be below it", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/big");
    github.repositories["acme/big"] = { commits: minutes(230) };
    await run({ env: { GITHUB_API_URL: ` ${github.url.toUpperCase()}/x/../ ` } });
    const [row] = await sql`select commits from repository_activity`;
    assert.equal(row?.commits, 230);
  }));

Deno.test("a list with more pages than are read is reported as a lower bound", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/big");
    github.repositories["acme/big"] = { commits: minutes(500) };
    const result = await run({ limits: { maxPages: 2 } });
    const [row] = await sql`select commits, truncated from repository_activity`;
    assert.deepEqual({ ...row }, { commits: 200, truncated: ["commits"] });
    assert.equal(result.scores.activity.parts.commits.why, "at least, in 1 repository");
  }));

Deno.test("a repeated run sends conditional requests, uses no rate limit and finds the same", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively", "acme/big");
    github.repositories["acme/lively"] = lively;
    github.repositories["acme/big"] = { commits: minutes(120) };
    const first = await run();
    const paid = github.remaining;
    const requests = github.requests.length;
    const rows = await sql`select * from repository_activity order by repository_id`;
    const again = await run({ now: new Date("2026-02-21T13:00:00Z") });
    assert.equal(github.remaining, paid);
    assert.equal(github.requests.length, 2 * requests);
    assert.ok(github.requests.slice(requests).every(({ headers }) => headers["if-none-match"]));
    const rowsAgain = await sql`select * from repository_activity order by repository_id`;
    const figures = (list: typeof rows) => list.map(({ updated_at: _, ...figures }) => figures);
    assert.deepEqual(figures(rowsAgain), figures(rows));
    assert.deepEqual(again.scores, first.scores);
    assert.equal(again.report, first.report);
    const [{ count }] =
      await sql`select count(*)::int as count from ecosystem_reports` as unknown as [
        { count: number },
      ];
    assert.equal(count, 1);
  }));

Deno.test("a run that comes a day late reports on its occurrence's day, without the stars of now or a comment", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    github.repositories["acme/lively"] = lively;
    const now = new Date("2026-02-22T01:00:00Z");
    const result = await run({ now, env: { ECOSYSTEM_COMMENT_ISSUE: "acme/lively#7" } });
    assert.equal(result.day, day);
    assert.equal(result.comment.detail, "only the last day gets a comment");
    const [row] = await sql`select day::text, commits, stars_total from repository_activity`;
    assert.deepEqual({ ...row }, { day, commits: 3, stars_total: null });
  }));

Deno.test("releases are read by the same ETag on another day, and counted for that day", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    github.repositories["acme/lively"] = lively;
    await run();
    await run({ input: { day: "2026-02-19" } });
    const releases = github.requests.filter(({ url }) => url.includes("/releases"));
    assert.ok(releases[1]?.headers["if-none-match"]);
    const rows =
      await sql`select day::text, releases, commits, stars_total from repository_activity order by day`;
    assert.deepEqual(rows.map((row) => ({ ...row })), [
      // Stars of now say nothing about that day.
      { day: "2026-02-19", releases: 1, commits: 1, stars_total: null },
      { day, releases: 1, commits: 3, stars_total: 120 },
    ]);
  }));

Deno.test("stars gained are the difference to the last day whose stars are known", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    const [repository] = await sql`select id from ecosystem_repositories`;
    await sql`insert into repository_activity (repository_id, day, stars_total) values
      (${repository!.id}, '2026-02-17', 100), (${repository!.id}, '2026-02-18', 125), (${
      repository!.id
    }, '2026-02-19', null)`;
    github.repositories["acme/lively"] = lively;
    await run();
    github.repositories["acme/lively"] = { ...lively, stargazers_count: 130 };
    const again = await run();
    const [row] =
      await sql`select stars_total, stars_gained, stars_since::text from repository_activity where day = ${day}`;
    assert.deepEqual({ ...row }, { stars_total: 120, stars_gained: -5, stars_since: "2026-02-18" });
    assert.deepEqual(again.scores.activity.parts.stars_gained.points, 0);
  }));

Deno.test("without a token GitHub is not called, and the report is made without its figures", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    const result = await run({
      env: { GITHUB_TOKEN: "", ECOSYSTEM_COMMENT_ISSUE: "acme/lively#7" },
    });
    assert.equal(github.requests.length, 0);
    assert.deepEqual(result.notConfigured, ["GITHUB_TOKEN"]);
    assert.equal(result.notable, "info");
    assert.equal(result.scores.activity.score, null);
    assert.equal(result.scores.activity.parts.commits.points, null);
    assert.equal(result.comment.state, "skipped");
    const [kept] =
      await sql`select report, activity_score from ecosystem_reports where day = ${day}`;
    assert.equal(kept!.activity_score, null);
    assert.match(kept!.report, /GITHUB_TOKEN is not set/);
  }));

Deno.test("a renamed repository is followed, within the API alone", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/old", "acme/lured");
    github.repositories["acme/old"] = { full_name: "acme/new", commits: minutes(2) };
    github.instead = (request) => {
      if (request.url.startsWith("/repos/acme/lured")) {
        return problem(301, "Moved Permanently", {
          location: "https://attacker.example/repositories/1",
        });
      }
      if (!request.url.startsWith("/repos/acme/old")) return undefined;
      const moved = request.url.replace("/repos/acme/old", "/repositories/42");
      return problem(301, "Moved Permanently", { location: `${github.url}${moved}` });
    };
    const serve = github.serve;
    const redirect = github.instead;
    github.instead = async (request) =>
      await redirect(request) ??
        (request.url.startsWith("/repositories/42")
          ? serve({ ...request, url: request.url.replace("/repositories/42", "/repos/acme/old") })
          : undefined);
    const result = await run();
    const rows = await sql`
      select full_name, last_outcome, github_name, commits from ecosystem_repositories
      left join repository_activity on repository_id = id order by id`;
    assert.deepEqual(rows.map((row) => ({ ...row })), [
      { full_name: "acme/old", last_outcome: "read", github_name: "acme/new", commits: 2 },
      { full_name: "acme/lured", last_outcome: "unreadable", github_name: null, commits: null },
    ]);
    assert.deepEqual(result.missing, ["acme/lured: GitHub points outside of its API"]);
  }));

const oddBodies: [string, (request: ReceivedRequest, url: string) => Reply | undefined, RegExp][] =
  [
    [
      "pages that go in a circle",
      ({ url }, base) =>
        url.includes("/odd/commits")
          ? {
            status: 200,
            headers: { etag: '"1"', link: `<${base}${url}>; rel="next"` },
            body: "[]",
          }
          : undefined,
      /commits: GitHub's pages go in a circle/,
    ],
    [
      "more stars than a column holds",
      ({ url }) =>
        url.endsWith("/odd")
          ? { status: 200, body: '{"full_name": "acme/odd", "stargazers_count": 9007199254740991}' }
          : undefined,
      /not as documented: stargazers_count/,
    ],
    [
      "a redirect to something that is not a URL",
      ({ url }) =>
        url.endsWith("/odd")
          ? { status: 301, headers: { location: "http://[::bad" }, body: "{}" }
          : undefined,
      /redirects \(30[1278]\) to something that is not a URL/,
    ],
    [
      "an answer without end",
      ({ url }) =>
        url.endsWith("/odd")
          ? { status: 200, body: `"${"x".repeat(11 * 1024 * 1024)}"` }
          : undefined,
      /GitHub's answer is too long/,
    ],
  ];
for (const [name, answer, words] of oddBodies) {
  Deno.test(`${name}: one repository has no figures, the others have`, () =>
    withEcosystem(async ({ github, run, watch }) => {
      await watch("acme/odd", "acme/lively");
      github.repositories["acme/odd"] = {};
      github.repositories["acme/lively"] = lively;
      github.instead = (request) => answer(request, github.url);
      const result = await run();
      assert.equal(result.counts.read, 1);
      assert.match(result.missing.join(), words);
    }));
}

Deno.test("a name is kept without the characters that Postgres cannot store", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/odd");
    github.repositories["acme/odd"] = { full_name: "acme/o\u0000\ud800" };
    await run();
    const [row] = await sql`select github_name from ecosystem_repositories`;
    assert.equal(row!.github_name, "acme/o\ufffd\ufffd");
  }));

for (
  const [status, message] of [[404, "Not Found"], [410, "Gone"], [
    451,
    "Repository access blocked",
  ]] as const
) {
  Deno.test(`a repository that answers ${status} is gone; the run does not fail, and it can come back`, () =>
    withEcosystem(async ({ db: { sql }, github, run, watch }) => {
      await watch("acme/lively", "acme/gone");
      github.repositories["acme/lively"] = lively;
      github.instead = ({ url }) =>
        url.startsWith("/repos/acme/gone") ? problem(status, message) : undefined;
      const result = await run();
      assert.deepEqual(result.counts, {
        repositories: 1,
        read: 1,
        partial: 0,
        gone: 1,
        unreadable: 0,
      });
      assert.equal(result.scores.activity.parts.commits.why, "in 1 repository");
      assert.match(result.report, /gone from GitHub: acme\/gone/);
      const gone = async () =>
        (await sql`select gone_since is not null as gone from ecosystem_repositories where full_name = 'acme/gone'`)[
          0
        ]!.gone;
      assert.equal(await gone(), true);
      github.instead = () => undefined;
      github.repositories["acme/gone"] = {};
      await run();
      assert.equal(await gone(), false);
    }));
}

Deno.test("an empty repository has 0 commits", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/empty");
    github.repositories["acme/empty"] = { commits: null };
    const result = await run();
    assert.equal(result.counts.read, 1);
    assert.equal((await sql`select commits from repository_activity`)[0]!.commits, 0);
  }));

Deno.test("a figure that cannot be read is unknown, never 0, and a known figure stays", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    github.repositories["acme/lively"] = lively;
    github.instead = ({ url }) =>
      url.includes("/commits") ? problem(502, "Server Error") : undefined;
    const result = await run();
    assert.equal(result.counts.partial, 1);
    assert.equal(result.notable, "warning");
    assert.deepEqual(result.missing, ["acme/lively: commits: GitHub answered 502"]);
    assert.equal(github.asked().filter((one) => one.endsWith("/commits")).length, 2, "tried twice");
    assert.equal(result.scores.activity.parts.commits.points, null);
    const row = async () => ({
      ...(await sql`select commits, issues_opened from repository_activity`)[0],
    });
    assert.deepEqual(await row(), { commits: null, issues_opened: 1 });

    github.instead = () => undefined;
    await run();
    assert.deepEqual(await row(), { commits: 3, issues_opened: 1 });
    github.instead = ({ url }) =>
      url.includes("/commits") ? problem(502, "Server Error") : undefined;
    await run();
    assert.deepEqual(await row(), { commits: 3, issues_opened: 1 });
  }));

for (
  const [name, answer, words] of [
    ["garbage", { status: 200, body: "<html>" }, /not JSON/],
    ["other JSON", { status: 200, body: '[{"commit": 1}]' }, /not as documented: 0\.commit/],
    ["a body that is no list", { status: 200, body: "{}" }, /not as documented: the answer/],
    ["a reset", "reset", /did not answer/],
    ["a hang", "hang", /did not answer \(Request timed out/],
  ] as const
) {
  Deno.test(`${name}: the figure is unknown, the run goes on`, () =>
    withEcosystem(async ({ github, run, watch }) => {
      await watch("acme/lively");
      github.repositories["acme/lively"] = lively;
      github.instead = ({ url }) => url.includes("/commits") ? answer : undefined;
      const result = await run(answer === "hang" ? { limits: { requestTimeoutMs: 500 } } : {});
      assert.equal(result.counts.partial, 1);
      assert.match(result.missing[0], words);
      assert.equal(result.scores.activity.parts.issues_opened.value, 1);
    }));
}

Deno.test("after two requests without an answer GitHub is not asked again", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/a", "acme/b", "acme/c", "acme/d");
    github.instead = () => "reset";
    const result = await run({ env: { ECOSYSTEM_COMMENT_ISSUE: "acme/a#7" } });
    assert.equal(github.requests.length, 4, "two requests, each tried twice");
    assert.deepEqual(result.leftOut, ["acme/c", "acme/d"]);
    assert.equal(result.scores.activity.score, null);
    assert.equal(result.notable, "warning");
    assert.equal(result.comment.state, "skipped");
    assert.match(result.summary, /4 of 4 repositories not read in full/);
    // Those left out come first in the next run.
    github.instead = () => undefined;
    await run();
    assert.deepEqual(github.asked().slice(4, 6), ["GET /repos/acme/c", "GET /repos/acme/d"]);
    assert.equal((await sql`select count(*)::int as count from ecosystem_reports`)[0]!.count, 1);
  }));

for (
  const [name, answer, words] of [
    [
      "the primary limit",
      problem(403, "API rate limit exceeded for user ID 1.", {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": String(Date.parse("2026-02-21T12:34:00Z") / 1000),
      }),
      /limits the rate until 12:34 UTC \(403: API rate limit exceeded/,
    ],
    [
      "a secondary limit with retry-after",
      problem(403, "You have exceeded a secondary rate limit.", { "retry-after": "60" }),
      /limits the rate for 60 s \(403/,
    ],
    [
      "a secondary limit without",
      problem(403, "You have exceeded a secondary rate limit."),
      /limits the rate \(403/,
    ],
    [
      "429",
      problem(429, "Too many requests", { "retry-after": "1" }),
      /limits the rate for 1 s \(429/,
    ],
    [
      "a refused token",
      problem(401, "Bad credentials"),
      /GITHUB_TOKEN is refused \(401: Bad credentials\)/,
    ],
  ] as const
) {
  Deno.test(`after ${name} GitHub is not asked again in the run`, () =>
    withEcosystem(async ({ github, run, watch }) => {
      await watch("acme/a", "acme/b", "acme/c");
      Object.assign(github.repositories, { "acme/a": lively, "acme/b": lively, "acme/c": lively });
      github.instead = ({ url }) => url === "/repos/acme/b" ? answer : undefined;
      const result = await run({ env: { ECOSYSTEM_COMMENT_ISSUE: "acme/a#7" } });
      assert.equal(github.requests.length, 5);
      assert.deepEqual(result.leftOut, ["acme/b", "acme/c"]);
      assert.match(result.missing[0], words);
      assert.equal(result.scores.activity.parts.commits.why, "in 1 of 3 repositories");
      assert.equal(result.notable, "warning");
      assert.equal(result.comment.state, "skipped");
    }));
}

Deno.test("403 without a limit refuses that list alone", () =>
  withEcosystem(async ({ github, run, watch }) => {
    await watch("acme/a", "acme/b");
    Object.assign(github.repositories, { "acme/a": lively, "acme/b": lively });
    github.instead = ({ url }) =>
      url.startsWith("/repos/acme/a/commits")
        ? problem(403, "Resource not accessible by personal access token", {
          "x-ratelimit-remaining": "4000",
        })
        : undefined;
    const result = await run();
    assert.deepEqual(result.counts, {
      repositories: 2,
      read: 1,
      partial: 1,
      gone: 0,
      unreadable: 0,
    });
  }));

Deno.test("the rest of the rate limit is kept for other programs", () =>
  withEcosystem(async ({ github, run, watch }) => {
    await watch("acme/a", "acme/b", "acme/c");
    Object.assign(github.repositories, { "acme/a": lively, "acme/b": lively, "acme/c": lively });
    github.remaining = 104;
    const result = await run();
    assert.equal(github.requests.length, 4);
    assert.deepEqual(result.leftOut, ["acme/b", "acme/c"]);
    assert.match(
      result.missing[0],
      /only 100 requests of the token's rate limit are left until 12:34 UTC/,
    );
  }));

Deno.test("the requests of a run are bounded", () =>
  withEcosystem(async ({ github, run, watch }) => {
    await watch("acme/a", "acme/b");
    Object.assign(github.repositories, { "acme/a": lively, "acme/b": lively });
    const result = await run({ limits: { maxRequests: 6 } });
    assert.equal(github.requests.length, 6);
    assert.deepEqual([result.counts.read, result.counts.partial], [1, 1]);
  }));

Deno.test("in the run's last 45 seconds GitHub is not asked any more", () =>
  withEcosystem(async ({ github, run, watch }) => {
    await watch("acme/a", "acme/b");
    Object.assign(github.repositories, { "acme/a": lively, "acme/b": lively });
    let left = 49_000;
    const result = await run({ remainingMs: () => left -= 1000 });
    assert.equal(github.requests.length, 4);
    assert.deepEqual(result.leftOut, ["acme/b"]);
    assert.equal(result.missing[0], "the run had no time left for further requests");
  }));

Deno.test("a kept answer in an unknown form is asked for anew", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/lively");
    github.repositories["acme/lively"] = lively;
    await run();
    await sql`update ecosystem.github_responses set found = '{"formerly": 1}' where url like '%/commits?%'`;
    const result = await run();
    assert.equal(result.counts.read, 1);
    assert.equal(result.scores.activity.parts.commits.value, 3);
  }));

Deno.test("a day that is not over and a malformed address are refused", () =>
  withEcosystem(async ({ run }) => {
    await assert.rejects(run({ input: { day: "2026-02-21" } }), PermanentError);
    await assert.rejects(
      run({ env: { GITHUB_API_URL: "github" } }),
      /GITHUB_API_URL must be an address/,
    );
  }));

Deno.test("a run that is stopped fails instead of reporting half", () =>
  withEcosystem(async ({ db: { sql }, github, run, watch }) => {
    await watch("acme/a");
    const stop = new AbortController();
    github.instead = () => {
      stop.abort(new Error("deadline"));
      return "hang";
    };
    await assert.rejects(run({ signal: stop.signal }), /deadline/);
    assert.equal((await sql`select count(*)::int as count from ecosystem_reports`)[0]!.count, 0);
  }));
