import assert from "node:assert/strict";
import {
  day,
  type EcosystemTest,
  minutes,
  scheduledFor,
  withEcosystem,
} from "../../support/ecosystem.ts";
import { problem } from "../../support/github.ts";
import type { ReceivedRequest, Reply } from "../../support/http-server.ts";
import { waitUntil } from "../../support/wait-until.ts";

const marker = `<!-- daybook ecosystem-monitor ${day} -->`;
const env = { ECOSYSTEM_COMMENT_ISSUE: "acme/lively#7" };
const isPost = ({ method }: ReceivedRequest) => method === "POST";

/** A repository to tell of, and what of the comment a test looks at. */
async function withComments(
  fn: (
    test: EcosystemTest & {
      posts(): ReceivedRequest[];
      /** The day's row. */
      // deno-lint-ignore no-explicit-any
      row(): Promise<any>;
      /** The earlier request was claimed that long ago. */
      passMinutes(minutes: number): Promise<void>;
    },
  ) => Promise<void>,
): Promise<void> {
  await withEcosystem(async (test) => {
    await test.watch("acme/lively");
    test.github.repositories["acme/lively"] = { commits: minutes(3) };
    await fn({
      ...test,
      posts: () => test.github.requests.filter(isPost),
      row: async () => (await test.db.sql`select * from ecosystem_comments where day = ${day}`)[0],
      passMinutes: async (minutes) => {
        await test.db.sql`
          update ecosystem_comments set claimed_at = claimed_at - make_interval(mins => ${minutes}),
            may_arrive_until = may_arrive_until - make_interval(mins => ${minutes})`;
      },
    });
  });
}

Deno.test("no comment is posted unless an issue is named", () =>
  withComments(async ({ run, github, row }) => {
    const result = await run();
    assert.deepEqual(result.comment.state, "off");
    assert.equal(github.comments.length, 0);
    assert.equal(await row(), undefined);
  }));

Deno.test("the comment has the headline and the marker of its day, and is posted once, also when the day is run again", () =>
  withComments(async ({ run, github, posts, row }) => {
    const first = await run({ env });
    assert.equal(first.comment.state, "posted");
    assert.equal(first.comment.url, github.comments[0]?.html_url);
    assert.match(first.summary, /; comment posted$/);
    const [post] = posts();
    assert.equal(post?.url, "/repos/acme/lively/issues/7/comments");
    const { body } = JSON.parse(post!.body);
    assert.match(
      body,
      /^\*\*Daybook ecosystem report for 2026-02-20\*\*: overall \d+ of 100 .*3 commits/,
    );
    assert.ok(body.endsWith(`\n\n${marker}`));
    const kept = await row();
    assert.deepEqual([kept.state, kept.issue, Number(kept.comment_id)], [
      "posted",
      "acme/lively#7",
      1000,
    ]);

    for (const input of [{}, { day }]) {
      const again = await run({ env, input });
      assert.equal(again.comment.state, "already_posted");
      assert.equal(again.comment.url, github.comments[0]?.html_url);
      assert.equal(again.notable, first.notable);
    }
    // Nor when the issue is another one by now.
    assert.equal(
      (await run({ env: { ECOSYSTEM_COMMENT_ISSUE: "acme/lively#8" } })).comment.state,
      "already_posted",
    );
    assert.equal(posts().length, 1);
  }));

Deno.test("only the last day gets a comment", () =>
  withComments(async ({ run, posts }) => {
    const result = await run({ env, input: { day: "2026-02-19" } });
    assert.deepEqual([result.comment.state, result.comment.detail], [
      "skipped",
      "only the last day gets a comment",
    ]);
    assert.equal(posts().length, 0);
  }));

for (
  const issue of [
    "lively#7",
    "acme/lively",
    "acme/lively#0",
    "acme/../lively#7",
    "acme/lively#7/../8",
    "acme/..#7",
  ]
) {
  Deno.test(`the issue ${issue} is refused with the reason`, () =>
    withComments(async ({ run, posts, row }) => {
      const result = await run({ env: { ECOSYSTEM_COMMENT_ISSUE: issue } });
      assert.equal(result.comment.state, "misconfigured");
      assert.equal(result.notable, "warning");
      assert.equal(await row(), undefined);
      assert.equal(posts().length, 0);
    }));
}

Deno.test("killed after the claim and before the request: one comment is sent, once the request cannot arrive any more", () =>
  withComments(async ({ run, db: { sql }, github, posts, row, passMinutes }) => {
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', gen_random_uuid())`;
    const early = await run({ env });
    assert.equal(early.comment.state, "unknown");
    assert.match(early.comment.detail, /^an earlier request may arrive until 2\d{3}-/);
    assert.equal(early.notable, "warning");
    await passMinutes(29);
    assert.equal((await run({ env })).comment.state, "unknown");
    assert.equal(posts().length, 0);
    await passMinutes(1);
    assert.equal((await run({ env })).comment.state, "posted");
    assert.equal((await run({ env })).comment.state, "already_posted");
    assert.equal(posts().length, 1);
    assert.equal(github.comments.length, 1);
    assert.equal((await row()).state, "posted");
  }));

Deno.test("killed after the request arrived: the comment is found by its marker, on any page", () =>
  withComments(async ({ run, db: { sql }, github, posts, row, passMinutes }) => {
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', gen_random_uuid())`;
    const updated_at = scheduledFor.toISOString();
    github.comments = Array.from(
      { length: 150 },
      (_, id) => ({ id: id + 1, html_url: "https://github.example/1", body: "Nice.", updated_at }),
    );
    github.comments.push({
      id: 151,
      html_url: "https://github.example/151",
      body: `Report\n\n${marker}`,
      updated_at,
    });
    await passMinutes(40);
    const result = await run({ env });
    assert.deepEqual([result.comment.state, result.comment.url], [
      "posted",
      "https://github.example/151",
    ]);
    assert.equal(posts().length, 0);
    assert.equal(Number((await row()).comment_id), 151);
  }));

Deno.test("a comment of an earlier day is recorded when it is found, and never sent again", () =>
  withComments(async ({ run, db: { sql }, github, posts, passMinutes }) => {
    const open = "2026-02-19";
    await sql`select ecosystem_claim_comment(${open}, 'acme/lively#7', gen_random_uuid())`;
    await passMinutes(600);
    const late = await run({ env, input: { day: open } });
    assert.equal(
      late.comment.detail,
      "it is not there, and is not sent now: only the last day gets a comment",
    );
    const body = marker.replace(day, open);
    const html_url = "https://github.example/1";
    github.comments = [{ id: 1, html_url, body, updated_at: scheduledFor.toISOString() }];
    assert.equal((await run({ env, input: { day: open } })).comment.url, html_url);
    assert.equal(posts().length, 0);
  }));

Deno.test("no comment is sent when there is no time left for its answer", () =>
  withComments(async ({ run, posts, row }) => {
    const result = await run({ env, limits: { reserveMs: 0 }, remainingMs: () => 19_000 });
    assert.equal(result.comment.detail, "the run had no time left for it");
    assert.equal(await row(), undefined);
    assert.equal(posts().length, 0);
  }));

Deno.test("the marker of another day does not count", () =>
  withComments(async ({ run, db: { sql }, github, passMinutes }) => {
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', gen_random_uuid())`;
    github.comments = [{
      id: 1,
      html_url: "https://github.example/1",
      body: marker.replace(day, "2026-02-19"),
      updated_at: scheduledFor.toISOString(),
    }];
    await passMinutes(40);
    assert.equal((await run({ env })).comment.state, "posted");
    assert.equal(github.comments.length, 2);
  }));

/** What may become of a request whose answer is lost. */
const lost: [string, Reply][] = [
  ["a reset", "reset"],
  ["a hang", "hang"],
  ["502", problem(502, "Server Error")],
  ["504", { status: 504, body: "<html>We had issues producing the response</html>" }],
];

for (const [name, answer] of lost) {
  Deno.test(`the request arrived and the answer was ${name}: the comment is found at once`, () =>
    withComments(async ({ run, github, posts, row }) => {
      github.instead = (request) => {
        if (!isPost(request)) return undefined;
        github.serve(request);
        return answer;
      };
      const result = await run({ env, limits: answer === "hang" ? { postTimeoutMs: 300 } : {} });
      assert.equal(result.comment.state, "posted");
      assert.equal(posts().length, 1, "sent without a retry");
      assert.equal((await row()).state, "posted");
      assert.equal((await run({ env })).comment.state, "already_posted");
      assert.equal(github.comments.length, 1);
    }));

  Deno.test(`the request did not arrive and the answer was ${name}: another is sent only when the first cannot arrive any more`, () =>
    withComments(async ({ run, github, posts, row, passMinutes }) => {
      github.instead = (request) => isPost(request) ? answer : undefined;
      const result = await run({ env, limits: answer === "hang" ? { postTimeoutMs: 300 } : {} });
      assert.equal(result.comment.state, "unknown");
      assert.match(result.comment.detail, /^GitHub .*; it may arrive until 2/);
      assert.equal((await row()).state, "posting");
      assert.match((await row()).problem, /^GitHub /);
      github.instead = () => undefined;
      assert.equal((await run({ env })).comment.state, "unknown");
      assert.equal(posts().length, 1);
      await passMinutes(30);
      assert.equal((await run({ env })).comment.state, "posted");
      assert.equal(posts().length, 2);
      assert.equal(github.comments.length, 1);
    }));
}

Deno.test("the request arrives late, after its run gave up on it: the next run finds it", () =>
  withComments(async ({ run, github, posts }) => {
    let late: ReceivedRequest | undefined;
    github.instead = (request) => {
      if (!isPost(request)) return undefined;
      late = request;
      return "reset";
    };
    assert.equal((await run({ env })).comment.state, "unknown");
    github.serve(late!);
    assert.equal((await run({ env })).comment.state, "posted");
    assert.equal(posts().length, 1);
    assert.equal(github.comments.length, 1);
  }));

Deno.test("no comment is sent while comments cannot be read, also long after the claim", () =>
  withComments(async ({ run, db: { sql }, github, posts, passMinutes }) => {
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', gen_random_uuid())`;
    await passMinutes(600);
    for (
      const answer of [
        problem(500, "Server Error"),
        { status: 200, body: "<html>" },
        "reset",
        problem(404, "Not Found"),
      ] as const
    ) {
      github.instead = ({ url }) => url.includes("/issues/7/comments") ? answer : undefined;
      const { comment } = await run({ env });
      assert.equal(comment.state, "unknown");
      assert.match(comment.detail, /^it cannot be looked for: /);
    }
    github.instead = () => undefined;
    const updated_at = scheduledFor.toISOString();
    github.comments = Array.from(
      { length: 300 },
      (_, id) => ({ id: id + 1, html_url: "https://github.example/1", body: "Nice.", updated_at }),
    );
    const { comment } = await run({ env, limits: { maxPages: 2 } });
    assert.equal(comment.detail, "it cannot be looked for: the issue has too many comments");
    assert.equal(posts().length, 0);
  }));

for (
  const [status, message] of [
    [403, "Resource not accessible by personal access token"],
    [404, "Not Found"],
    [410, "Issues are disabled"],
    [422, "Validation Failed"],
    [301, "Moved Permanently"],
  ] as const
) {
  Deno.test(`after GitHub refused a comment with ${status} a later run may try again`, () =>
    withComments(async ({ run, github, posts, row }) => {
      github.instead = (request) =>
        isPost(request)
          ? problem(
            status,
            message,
            status === 301 ? { location: `${github.url}/repositories/1/issues/7/comments` } : {},
          )
          : undefined;
      const result = await run({ env });
      assert.equal(result.comment.state, "refused");
      assert.equal(result.comment.detail, `GitHub answered ${status}: ${message}`);
      assert.equal(result.notable, "warning");
      assert.equal(await row(), undefined);
      assert.equal(posts().length, 1);
      github.instead = () => undefined;
      assert.equal((await run({ env })).comment.state, "posted");
      assert.equal(github.comments.length, 1);
    }));
}

Deno.test("201 with a body that breaks off counts as posted", () =>
  withComments(async ({ run, github, row }) => {
    github.instead = (request) => isPost(request) ? { status: 201, body: '{"id": 10' } : undefined;
    const { comment } = await run({ env });
    assert.deepEqual([comment.state, comment.url], ["posted", null]);
    assert.equal((await row()).state, "posted");
  }));

Deno.test("two runs at once send one comment", () =>
  withComments(async ({ run, github, posts }) => {
    const released = Promise.withResolvers<void>();
    github.instead = async (request) => {
      if (isPost(request)) await released.promise;
      return undefined;
    };
    const runs = [run({ env }), run({ env }), run({ env })];
    await waitUntil(
      "the claimant's request and two looks",
      () =>
        posts().length > 0 &&
        github.asked().filter((one) => one === "GET /repos/acme/lively/issues/7/comments").length >=
          2,
    );
    released.resolve();
    const states = (await Promise.all(runs)).map(({ comment }) => comment.state).sort();
    assert.deepEqual(states, ["posted", "unknown", "unknown"]);
    assert.equal(posts().length, 1);
    assert.equal(github.comments.length, 1);
  }));

Deno.test("two runs at once take a lost claim over once", () =>
  withComments(async ({ run, db: { sql }, github, posts, passMinutes }) => {
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', gen_random_uuid())`;
    await passMinutes(30);
    let looks = 0;
    const both = Promise.withResolvers<void>();
    github.instead = async ({ method, url }) => {
      // Both find nothing before either of them goes on.
      if (method === "GET" && url.includes("/issues/7/comments")) {
        if (++looks === 2) both.resolve();
        await both.promise;
      }
      return undefined;
    };
    const states = (await Promise.all([run({ env }), run({ env })])).map(({ comment }) =>
      comment.state
    );
    assert.deepEqual(states.sort(), ["posted", "unknown"]);
    assert.equal(posts().length, 1);
  }));

Deno.test("a run that is stopped while its request is under way leaves the day claimed", () =>
  withComments(async ({ run, github, posts, row }) => {
    const stop = new AbortController();
    github.instead = (request) => {
      if (!isPost(request)) return undefined;
      github.serve(request);
      stop.abort(new Error("deadline"));
      return "hang";
    };
    await run({ env, signal: stop.signal }).catch(() => {});
    github.instead = () => undefined;
    assert.equal((await row()).state, "posting");
    const { comment } = await run({ env });
    assert.equal(comment.state, "posted");
    assert.equal(posts().length, 1);
  }));

Deno.test("a claim is taken over only from the run that holds it, once its request cannot arrive any more", () =>
  withComments(async ({ db: { sql }, passMinutes, row }) => {
    const ids = [1, 2, 3].map((n) => `00000000-0000-4000-8000-00000000000${n}`);
    const [first, second, third] = ids as [string, string, string];
    const takeOver = async (from: string, to: string) =>
      (await sql`select ecosystem_take_over_comment(${day}, 'acme/lively#8', ${from}, ${to}) as taken`)[
        0
      ]!
        .taken;
    await sql`select ecosystem_claim_comment(${day}, 'acme/lively#7', ${first})`;
    assert.equal(await takeOver(first, second), false, "it may still arrive");
    await passMinutes(30);
    assert.equal(await takeOver(third, second), false, "somebody else holds it");
    assert.equal(await takeOver(first, second), true);
    await passMinutes(30);
    assert.equal(await takeOver(first, third), false, "it was taken over");
    await sql`select ecosystem_release_comment(${day}, ${first})`;
    assert.deepEqual([(await row()).run_id, (await row()).issue], [second, "acme/lively#8"]);
    await sql`select ecosystem_record_comment(${day}, 1, 'https://github.example/1')`;
    await sql`select ecosystem_release_comment(${day}, ${second})`;
    assert.equal(await takeOver(second, third), false, "it is on GitHub");
    assert.equal((await row()).state, "posted");
  }));
