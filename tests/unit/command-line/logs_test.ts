import assert from "node:assert/strict";
import type { LogLine } from "../../../cli/daybook/answers.ts";
import { Feed } from "../../../cli/daybook/logs.ts";
import type { Source } from "../../../cli/daybook/source.ts";
import { daybook } from "../../support/command-line.ts";
import { withHttpServer } from "../../support/http-server.ts";

const start = Date.parse("2026-03-02T12:00:00Z");
const line = (seconds: number, id: number): LogLine => ({
  at: new Date(start + seconds * 1000).toISOString(),
  source: "shop",
  severity: "info",
  message: `line ${id}`,
  run: null,
  activity_id: id,
});

/** A source whose logs are these lines, three a page; and from when it was asked. */
function sourceOf(lines: LogLine[]) {
  const asked: (string | undefined)[] = [];
  const source = {
    read(_route: string, query: { from?: string; cursor?: string }) {
      const offset = Number(query.cursor ?? 0);
      if (offset === 0) asked.push(query.from);
      const found = lines.filter(({ at }) => query.from === undefined || at >= query.from)
        .toSorted((a, b) => b.at.localeCompare(a.at) || b.activity_id! - a.activity_id!);
      const rest = found.slice(offset + 3).length;
      return Promise.resolve({
        lines: found.slice(offset, offset + 3),
        next_cursor: rest > 0 ? String(offset + 3) : null,
      });
    },
  } as unknown as Source;
  return { source, asked };
}

const ids = (lines: LogLine[]) => lines.map(({ activity_id }) => activity_id);

Deno.test("Feed gives each new line once, oldest first, over pages", async () => {
  const lines = [line(0, 1), line(1, 2)];
  const { source } = sourceOf(lines);
  const feed = new Feed([lines[1]!, lines[0]!], true);
  assert.deepEqual(ids(await feed.next(source)), []);
  lines.push(line(2, 3), line(2, 4), line(3, 5), line(4, 6), line(5, 7));
  assert.deepEqual(ids(await feed.next(source)), [3, 4, 5, 6, 7]);
  assert.deepEqual(ids(await feed.next(source)), []);
});

Deno.test("Feed finds a line whose transaction committed after newer ones", async () => {
  const lines = [line(0, 1), line(40, 5)];
  const { source, asked } = sourceOf(lines);
  const feed = new Feed([lines[1]!, lines[0]!], true);
  lines.push(line(11, 2), line(39, 4));
  assert.deepEqual(ids(await feed.next(source)), [2, 4]);
  assert.deepEqual(asked, [new Date(start + 10_000).toISOString()]);
});

Deno.test("Feed gives nothing that was older than the lines it began with", async () => {
  const lines = [line(0, 1), line(1, 2), line(2, 3)];
  const { source } = sourceOf(lines);
  const feed = new Feed([lines[2]!], false);
  lines.push(line(3, 4));
  assert.deepEqual(ids(await feed.next(source)), [4]);
});

Deno.test("Feed begins where nothing has happened yet", async () => {
  const lines: LogLine[] = [];
  const { source } = sourceOf(lines);
  const feed = new Feed([], true);
  assert.deepEqual(ids(await feed.next(source)), []);
  lines.push(line(0, 1));
  assert.deepEqual(ids(await feed.next(source)), [1]);
  assert.deepEqual(ids(await feed.next(source)), []);
});

/** `logs -f` where the API answers so, one after the other; the last answer ends it. */
async function follow(args: string[], answers: ({ lines: LogLine[] } | "down")[]) {
  const stop = new AbortController();
  let found: Awaited<ReturnType<typeof daybook>> | undefined;
  await withHttpServer(() => {
    const answer = answers.shift()!;
    if (answers.length === 0) stop.abort();
    return answer === "down"
      ? {
        status: 503,
        body: '{"error": {"code": "database_unavailable", "message": "Cannot answer: down"}}',
      }
      : { status: 200, body: JSON.stringify({ ...answer, next_cursor: null }) };
  }, async ({ url }) => {
    found = await daybook(["logs", "-f", ...args, "--url", url], {
      env: { CRON_SECRET: "c".repeat(32) },
      signal: stop.signal,
    });
  });
  return found!;
}

Deno.test("logs -f says once that there is no answer, and goes on when there is one again", async () => {
  const first = { lines: [line(0, 1)] };
  const later = { lines: [line(1, 2), line(0, 1)] };
  const { stdout, stderr } = await follow([], [first, "down", "down", later, later]);
  assert.equal(stderr, "Down");
  assert.deepEqual(stdout.split("\n"), [
    "2026-03-02 13:00:00  info       shop  line 1",
    "2026-03-02 13:00:01  info       shop  line 2",
  ]);
});

Deno.test("logs of one source leave out all others, and -f --json is a line of JSON for each", async () => {
  const other = { ...line(1, 2), source: "bank" };
  const answers =
    () => [{ lines: [other, line(0, 1)] }, { lines: [line(2, 3), other] }, { lines: [] }];
  const { stdout } = await follow(["shop", "--json"], answers());
  assert.deepEqual(stdout.split("\n").map((text) => JSON.parse(text)), [line(0, 1), line(2, 3)]);
});
