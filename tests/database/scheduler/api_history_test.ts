import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

interface Asked {
  job?: string;
  status?: string;
  from?: Date;
  to?: Date;
  cursor?: string;
}
interface Page {
  runs: { run_id: string; job: string; status: string; created_at: string; completed_at: string }[];
  next_cursor: string | null;
  ordered_by: "created_at" | "completed_at";
}

const history = (sql: Sql, { job, status, from, to, cursor }: Asked = {}): Promise<Page> =>
  t.value(sql, "scheduler.api_history($1, $2, $3, $4, $5)", [
    job ?? null,
    status ?? null,
    from ?? null,
    to ?? null,
    cursor ?? null,
  ]);

/** All pages. */
async function all(sql: Sql, asked: Asked = {}): Promise<{ ids: string[]; sizes: number[] }> {
  const ids: string[] = [];
  const sizes: number[] = [];
  for (let cursor: string | null = null;;) {
    const page = await history(sql, { ...asked, ...cursor ? { cursor } : {} });
    ids.push(...page.runs.map(({ run_id }) => run_id));
    sizes.push(page.runs.length);
    if (page.next_cursor === null) return { ids, sizes };
    cursor = page.next_cursor;
  }
}

/** 350 runs of two jobs, many written at one moment; each third failed, a tenth is queued. */
const fill = (sql: Sql) =>
  sql`
  insert into scheduler_runs (job_name, status, trigger, scheduled_for, created_at, completed_at, verdict)
  select case when i % 2 = 0 then 'even' else 'odd' end, status, 'manual', at, at,
    case when status <> 'queued' then at + interval '1 hour' - i * interval '7 seconds' end,
    case status when 'completed' then 'ok' when 'failed' then 'job_error' end
  from generate_series(1, 350) as i, lateral (
    select ${t.NOON}::timestamptz + (i / 40) * interval '1 minute' as at,
      case when i % 10 = 0 then 'queued' when i % 3 = 0 then 'failed' else 'completed' end as status) as made`;

t.ledgerTest("the pages of the ledger have every run once, newest first", async ({ sql }) => {
  await t.register(sql, "even");
  await t.register(sql, "odd", { alias: "strange" });
  await fill(sql);
  const expected = async (where: string, order = "created_at") =>
    (await sql.unsafe(
      `select id from scheduler_runs where ${where} order by ${order} desc, id desc`,
    ))
      .map(({ id }) => id);
  const cases: [Asked, string, string?][] = [
    [{}, "true"],
    [{ job: "odd" }, "job_name = 'odd'"],
    [{ job: "strange", status: "failed" }, "job_name = 'odd' and status = 'failed'"],
    [{ status: "failed" }, "status = 'failed'", "completed_at"],
    [{ status: "queued" }, "status = 'queued'"],
    [
      { from: t.after(3), to: t.after(5) },
      "created_at >= '2026-03-02 12:03Z' and created_at < '2026-03-02 12:05Z'",
    ],
    [{ status: "cancelled" }, "false"],
  ];
  for (const [asked, where, order] of cases) {
    const { ids, sizes } = await all(sql, asked);
    assert.deepEqual(ids, await expected(where, order), JSON.stringify(asked));
    assert.ok(sizes.slice(0, -1).every((size) => size === 100), String(sizes));
  }
  assert.deepEqual((await all(sql)).sizes, [100, 100, 100, 50]);
  assert.equal((await history(sql, { status: "failed" })).ordered_by, "completed_at");
  assert.equal((await history(sql, { status: "failed", job: "odd" })).ordered_by, "created_at");
});

t.ledgerTest("a page that ends with the last run has no next one", async ({ sql }) => {
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for)
    select 'job', 'queued', 'manual', ${t.NOON} from generate_series(1, 100)`;
  const page = await history(sql);
  assert.deepEqual([page.runs.length, page.next_cursor], [100, null]);
});

t.ledgerTest("the runs of a job that was taken out can be asked for", async ({ sql }) => {
  await t.register(sql, "gone");
  await t.start(sql, "gone");
  await sql`select scheduler.unregister_job('gone')`;
  assert.equal((await history(sql, { job: "gone" })).runs.length, 1);
});

t.ledgerTest("what the history cannot read is refused, and named", async ({ sql }) => {
  const cursor = "2026-03-02T12:00:00.000000Z~00000000-0000-0000-0000-000000000000";
  assert.equal((await history(sql, { cursor })).runs.length, 0, "a cursor as it should be");
  const cases: [Asked, string, RegExp][] = [
    [{ job: "nobody" }, "SD001", /no job named 'nobody'/],
    [{ status: "broken" }, "22023", /status must be one of completed, .*got 'broken'/],
    ...[
      "",
      "~",
      "2026-03-02",
      cursor.slice(0, -1),
      `${cursor}0`,
      cursor.replace("03-02", "13-02"),
      cursor.replace("Z~", "Z"),
      cursor.replace("~0", "~-"),
      "'; drop table scheduler_runs; --",
      "x".repeat(10_000),
    ]
      .map((cursor): [Asked, string, RegExp] => [
        { cursor },
        "22023",
        /^cannot read the page: cursor must be next_cursor of the page before it, got /,
      ]),
  ];
  for (const [asked, code, message] of cases) {
    const error = await refusal(history(sql, asked));
    assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
    assert.ok(error.message.length < 300);
  }
});

t.ledgerTest(
  "a run has its attempts, its three witnesses and its sentence",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { max_attempts: 2, payload: { size: 3 } });
    const [entry] = await sql`select jobid from cron.job where jobname = 'job'`;
    await admin`
    insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time)
    values (${
      entry!.jobid
    }, 1, 1, current_database(), 'postgres', 'select', 'succeeded', '1 row', ${t.after(0.001)}, ${
      t.after(0.002)
    })`;
    const first = await t.start(sql, "job");
    await t.begin(sql, first, t.after(0.1));
    await t.answer(sql, first, { status: 202 }, t.after(0.1));
    await t.pulse(sql, t.after(0.2));
    await t.finish(sql, first, "failed", t.after(0.5));
    const page = await t.value(sql, "scheduler.api_run($1, $2)", [first, t.after(0.6)]);
    assert.deepEqual([page.run.run_id, page.run.status, page.payload], [first, "failed", {
      size: 3,
    }]);
    assert.match(page.sentence, /^job failed at 2026-03-02 12:00 UTC on attempt 1 of 2: /);
    assert.equal(page.witnesses.pg_cron.status, "succeeded");
    assert.equal(page.witnesses.pg_net.response_status, 202);
    assert.equal(Date.parse(page.witnesses.receipt.started_at), t.after(0.1).getTime());
    assert.deepEqual(
      page.attempts.map((
        { attempt, status }: { attempt: number; status: string },
      ) => [attempt, status]),
      [[1, "failed"], [2, "queued"]],
    );
    const retry = await t.value(sql, "scheduler.api_run($1, $2)", [
      page.attempts[1].run_id,
      // The wait is a random one.
      t.after(0.5),
    ]);
    assert.equal(retry.waiting.for, "retry");
    assert.match(retry.waits, /^for the first pulse after 12:0/);
    assert.match(
      retry.sentence,
      /^job has not run for 2026-03-02 12:00 UTC yet: attempt 2 of 2 waits/,
    );
    assert.deepEqual([retry.witnesses.pg_net, retry.witnesses.receipt], [null, null]);
  },
);

t.ledgerTest(
  "a gap, and a run of a job that is gone, have their sentences; an unknown run is refused",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_policy: "skip" }, t.after(-3000));
    await t.pulse(sql, t.NOON);
    const [gap] = await sql`select id from scheduler_runs where occurrences > 1`;
    assert.ok(gap);
    const page = await t.value(sql, "scheduler.api_run($1, $2)", [gap!.id, t.NOON]);
    assert.match(page.sentence, /^job missed [0-9,]+ occurrences from /);
    await sql`select scheduler.unregister_job('job')`;
    const again = await t.value(sql, "scheduler.api_run($1, $2)", [gap!.id, t.NOON]);
    assert.match(again.sentence, /^job missed /);
    for (const id of [crypto.randomUUID(), null]) {
      const error = await refusal(sql`select scheduler.api_run(${id})`);
      assert.equal(error.code, "SD002");
    }
  },
);
