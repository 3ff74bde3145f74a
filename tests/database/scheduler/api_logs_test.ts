import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

interface Line {
  at: string;
  source: string;
  severity: string;
  message: string;
  run: { run_id: string; time_zone: string | null } | null;
  activity_id: number | null;
}
interface Page {
  lines: Line[];
  next_cursor: string | null;
}

const logs = (
  sql: Sql,
  { from, to, cursor }: { from?: Date; to?: Date; cursor?: string } = {},
): Promise<Page> =>
  t.value(sql, "scheduler.api_logs($1, $2, $3)", [from ?? null, to ?? null, cursor ?? null]);

async function all(sql: Sql, asked: { from?: Date; to?: Date } = {}) {
  const lines: Line[] = [];
  const sizes: number[] = [];
  for (let cursor: string | null = null;;) {
    const page = await logs(sql, { ...asked, ...cursor ? { cursor } : {} });
    lines.push(...page.lines);
    sizes.push(page.lines.length);
    if (page.next_cursor === null) return { lines, sizes };
    cursor = page.next_cursor;
  }
}

t.ledgerTest("a run has one line at its end, in its own words", async ({ sql }) => {
  await t.register(sql, "job", {
    schedule: "*/5 * * * *",
    max_attempts: 1,
    time_zone: "Europe/Berlin",
  });
  const good = await t.start(sql, "job");
  await t.begin(sql, good, t.NOON);
  await t.value(
    sql,
    `scheduler.finish_run($1, 'completed', '{"summary": "3 rows"}', null, null, true, null, $2)`,
    [
      good,
      t.after(1),
    ],
  );
  const bad = await t.start(sql, "job", t.after(5));
  await t.begin(sql, bad, t.after(5));
  await t.finish(sql, bad, "failed", t.after(6));
  const open = await t.start(sql, "job", t.after(10));
  const { lines } = await logs(sql);
  assert.deepEqual(
    lines.map(({ source, severity, message, run }) => [source, severity, message, run?.run_id]),
    [
      ["job", "error", "failed: job_error: it broke", bad],
      ["job", "info", "3 rows", good],
    ],
    `${open} is not over`,
  );
  assert.equal(lines[0]!.run!.time_zone, "Europe/Berlin");
});

t.ledgerTest(
  "a line of the activity that is no run's in the ledger stands beside them",
  async ({ sql }) => {
    await sql`
    select scheduler.log_activity('shop', 'the till is open', 'warning', '{}', ${t.after(1)})`;
    await sql`
    insert into scheduler_activity (occurred_at, source, severity, message, run_id)
    values (${t.after(2)}, 'shop', 'error', 'of a run that was pruned', ${crypto.randomUUID()})`;
    const { lines } = await logs(sql);
    assert.deepEqual(
      lines.map(({ source, severity, message, run }) => [source, severity, message, run]),
      [
        ["shop", "error", "of a run that was pruned", null],
        ["shop", "warning", "the till is open", null],
      ],
    );
  },
);

t.ledgerTest(
  "the pages of the logs have every line once, newest first, also where many have one time",
  async ({ sql }) => {
    await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict, skip_kind, skip_reason)
    select 'job', status, 'manual', at, case when status <> 'queued' then at end,
      case status when 'completed' then 'ok' when 'failed' then 'job_error' when 'skipped' then 'skipped' end,
      case status when 'skipped' then 'paused' end, case status when 'skipped' then 'paused by ann' end
    from generate_series(1, 230) as i, lateral (
      select ${t.NOON}::timestamptz + (i / 120) * interval '1 minute' as at,
        (array['completed', 'failed', 'skipped', 'queued'])[1 + i % 4] as status) as made`;
    await sql`
    insert into scheduler_activity (occurred_at, source, message)
    select ${t.NOON}::timestamptz + (i / 60) * interval '1 minute', 'shop', 'line ' || i
    from generate_series(1, 130) as i`;
    const { lines, sizes } = await all(sql);
    const [ended] =
      await sql`select count(*)::int as runs from scheduler_runs where status <> 'queued'`;
    assert.equal(lines.length, ended!.runs + 130);
    assert.deepEqual(sizes.slice(0, -1), sizes.slice(0, -1).map(() => 100));
    const ids = lines.map(({ run, activity_id }) => run?.run_id ?? String(activity_id));
    assert.equal(new Set(ids).size, ids.length);
    const times = lines.map(({ at }) => Date.parse(at));
    assert.deepEqual(times, times.toSorted((a, b) => b - a));
    const middle = await all(sql, { from: t.after(1), to: t.after(2) });
    assert.deepEqual(
      middle.lines.map(({ at }) => new Date(at)),
      lines.map(({ at }) => new Date(at)).filter((at) => at >= t.after(1) && at < t.after(2)),
    );
  },
);

t.ledgerTest("a cursor that is none is refused", async ({ sql }) => {
  for (const cursor of ["", "x", "2026-03-02T12:00:00.000000Z~1"]) {
    assert.equal((await refusal(logs(sql, { cursor }))).code, "22023", cursor);
  }
});
