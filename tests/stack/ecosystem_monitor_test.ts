// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  readLog,
  untilStatus,
} from "../support/faults.ts";
import { problem, withGithub } from "../support/github.ts";
import { summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const token = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
const dayMs = 86_400_000;

Deno.test("ecosystem-monitor through the whole stack", (test) =>
  withGithub((github) => {
    const env = {
      GITHUB_API_URL: github.url,
      GITHUB_TOKEN: token,
      ECOSYSTEM_COMMENT_ISSUE: "octocat/Hello-World#7",
    };
    return withStack({ cron: false, seed: true, env }, async (stack) => {
      const { sql, functions } = stack;
      // Two commits each day, so that midnight may come.
      const commits = [-1, 0].flatMap((days) => {
        const day = new Date(Date.now() + days * dayMs).toISOString().slice(0, 10);
        return [`${day}T08:00:00Z`, `${day}T09:00:00Z`];
      });
      github.repositories["octocat/Hello-World"] = { stargazers_count: 1010, commits };
      let day = "";
      const posts = () => github.requests.filter(({ method }) => method === "POST");

      await test.step("killed while the comment is sent, it is not sent again by the retry", async () => {
        github.instead = (request) => {
          // The other repository gives the token away.
          if (request.url.startsWith("/repos/octocat/Spoon-Knife")) {
            return problem(403, `Not with ${request.headers.authorization}`);
          }
          if (request.method !== "POST") return undefined;
          github.serve(request);
          return "hang";
        };
        const run = await fire(sql, "ecosystem-monitor");
        await untilStatus(sql, run, "running");
        await waitUntil("the comment's request", () => posts().length === 1);
        await functions.kill();
        await functions.start();
        await passTime(sql, 61);
        await beat(sql);
        await beatUntilIdle(sql);
        assert.deepEqual(await summary(sql, "ecosystem-monitor"), [
          "failed cron 1 stalled",
          "completed retry 2 ok",
        ]);
        assert.equal(posts().length, 1);
        assert.equal(github.comments.length, 1);
        const [occurrence] = await sql`
          select ((scheduled_for at time zone 'UTC')::date - 1)::text as day from scheduler_runs where id = ${run}`;
        day = occurrence!.day;
        const [comment] = await sql`select state, day::text, comment_url from ecosystem_comments`;
        assert.deepEqual({ ...comment }, {
          state: "posted",
          day,
          comment_url: github.comments[0]!.html_url,
        });
        await assertAllRunsOver(sql);
      });

      await test.step("its report is kept, in the run's result, in the log, and its headline among the activities", async () => {
        const [run] = await sql`
          select result from scheduler_runs where job_name = 'ecosystem-monitor' and status = 'completed'`;
        const [report] = await sql`select * from ecosystem_reports`;
        assert.equal(run!.result.report, report!.report);
        assert.equal(run!.result.scores.activity.parts.commits.value, 2);
        const [line] = await sql`
          select severity, message from scheduler_activity where source = 'ecosystem-monitor' and severity <> 'error'`;
        assert.equal(line!.severity, "warning", "a repository could not be read");
        assert.equal(line!.message, run!.result.summary);
        const log = await readLog(stack);
        for (const text of String(report!.report).split("\n")) {
          assert.ok(log.includes(JSON.stringify(text).slice(1, -1)), text);
        }
      });

      await test.step("a person's call for the same day sends no other comment; the token is nowhere", async () => {
        const response = await fetch(`${stack.apiUrl}/functions/v1/ecosystem-monitor`, {
          method: "POST",
          headers: { "x-cron-secret": stack.keys.cronSecret, "x-manual-call": "true" },
          body: JSON.stringify({ day }),
        });
        const text = await response.text();
        assert.equal(response.status, 200, text);
        assert.equal(JSON.parse(text).result.comment.state, "already_posted");
        assert.equal(posts().length, 1);
        const kept = await sql`
          select result::text as text from scheduler_runs union all
          select last_problem from ecosystem_repositories union all
          select r::text from ecosystem_reports r union all select c::text from ecosystem_comments c`;
        const all = [text, await readLog(stack), ...kept.map((row) => row.text ?? "")].join("\n");
        assert.match(all, /Not with Bearer \[redacted\]/);
        assert.ok(!all.includes(token));
      });

      await test.step("a bad day is refused before a run begins", async () => {
        const response = await fetch(`${stack.apiUrl}/functions/v1/ecosystem-monitor`, {
          method: "POST",
          headers: { "x-cron-secret": stack.keys.cronSecret, "x-manual-call": "true" },
          body: '{"day": "2026-02-30"}',
        });
        assert.equal(response.status, 400);
        assert.match((await response.json()).error.message, /day/);
      });
    });
  }));
