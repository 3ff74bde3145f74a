import assert from "node:assert/strict";
import { githubLimits } from "../../../supabase/functions/ecosystem-monitor/github.ts";
import { renderReport } from "../../../supabase/functions/ecosystem-monitor/report.ts";
import {
  definitions,
  score,
  type ScoreName,
} from "../../../supabase/functions/ecosystem-monitor/scores.ts";
import { reportedDay } from "../../support/ecosystem-figures.ts";
import { withDatabase } from "../../support/database.ts";

const page = await Deno.readTextFile(
  new URL("../../../docs/jobs/ecosystem-monitor.md", import.meta.url),
);

Deno.test("docs/jobs/ecosystem-monitor.md has every part of a score with its points", () => {
  for (const name of Object.keys(definitions) as ScoreName[]) {
    const section = page.split(`\n### ${name}\n`)[1]!.split("\n## ")[0]!.split("\n### ")[0]!;
    const rows = section.split("\n").filter((line) => line.startsWith("| `")).map((line) =>
      line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))
    );
    assert.deepEqual(
      rows,
      Object.entries(definitions[name]).map(([part, { of, none, full }]) =>
        [part, of, none, full].map(String)
      ),
    );
  }
});

Deno.test("docs/jobs/ecosystem-monitor.md has the limits as they are, and a report as it is", () => {
  assert.deepEqual(githubLimits, {
    requestTimeoutMs: 10_000,
    postTimeoutMs: 15_000,
    maxPages: 10,
    maxRequests: 400,
    keepRemaining: 100,
    reserveMs: 45_000,
  }, "what the page says: 10 s, 10 of a list, 400 requests, 100 or fewer, 45 s");
  const report = renderReport("2026-02-20", score(reportedDay), reportedDay, [
    "left out: octocat/linguist",
  ]);
  assert.ok(page.includes(`\n\`\`\`\n${report}\n\`\`\`\n`));
});

Deno.test("the queries of docs/jobs/ecosystem-monitor.md work, and so do its changes", () =>
  withDatabase(async ({ sql }) => {
    const blocks = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1]!);
    assert.equal(blocks.length, 2);
    for (const block of blocks) await sql.unsafe(block);
    const [row] = await sql`select enabled from ecosystem_repositories`;
    assert.equal(row!.enabled, false);
  }));
