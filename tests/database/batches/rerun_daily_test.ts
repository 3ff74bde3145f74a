import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/daily-batch.ts";
import { runs, value } from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

const AT = "2026-03-02T12:00:00Z";

t.batchTest(
  "a date that a person runs again is a batch job of its own, and the day's mark stays",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme");
    const again = (date: string, at = AT) =>
      value(sql, "batches.rerun_daily($1, $2, 'the prompts were wrong', ' ann ', $3)", [
        acme,
        date,
        at,
      ]);
    await t.trigger(sql, "2026-03-02T08:00:00Z");
    await sql`update batch_jobs set status = 'completed', completed_at = now()`;
    const marks = await sql`select * from scheduler_state order by scope`;

    const first = await again("2026-03-02");
    await sql`update batch_jobs set status = 'partial', completed_at = now() where id = ${first}`;
    await sql`update prompts set status = 'paused'`;
    await sql`insert into prompts (organization_id, text) values (${acme}, 'new 1'), (${acme}, 'new 2')`;
    await again("2026-03-02", "2026-03-02T12:01:00Z");
    await again("2026-02-01", "2026-03-02T12:02:00Z");
    assert.deepEqual(await t.dates(sql, acme), [
      "2026-03-02",
      "2026-03-02 #1",
      "2026-03-02 #2",
      "2026-02-01 #1",
    ]);
    const jobs = await sql`select tasks_total, status from batch_jobs order by created_at`;
    assert.deepEqual(jobs.map((job) => [job.tasks_total, job.status]), [
      [2, "completed"],
      [2, "partial"],
      [4, "pending"],
      [4, "pending"],
    ]);
    assert.equal((await runs(sql, "robust-batch-processor")).length, 4);
    assert.deepEqual([...await sql`select * from scheduler_state order by scope`], [...marks]);
    const lines = await sql`select source, message, details from scheduler_activity order by id`;
    assert.deepEqual([lines[0]!.source, lines[0]!.message, lines[0]!.details.batch_job_id], [
      "daily-batch",
      "ann runs the batch of Acme for 2026-03-02 again: the prompts were wrong",
      first,
    ]);
    // A rerun of the next day, before that day has run, does not take its place.
    await again("2026-03-03", "2026-03-03T07:00:00Z");
    assert.equal((await t.trigger(sql, "2026-03-03T08:00:00Z")).batches, 1);
  },
);

t.batchTest("a rerun that cannot be made is refused with its reason", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme");
  const empty = await t.organization(sql, "Empty", {}, 0);
  const cases: [unknown[], RegExp, string?][] = [
    [
      [acme, "2026-03-03", "why", "ann"],
      /date must be today there \(2026-03-02\) or earlier, got 2026-03-03/,
    ],
    [[acme, null, "why", "ann"], /got null/],
    [[acme, "2026-03-02", "why", " "], /reason and author must be given/],
    [[acme, "2026-03-02", null, "ann"], /reason and author must be given/],
    [[crypto.randomUUID(), "2026-03-02", "why", "ann"], /there is no organization/, "SD008"],
    [[null, "2026-03-02", "why", "ann"], /there is no organization null/, "SD008"],
    [[empty, "2026-03-02", "why", "ann"], /Empty again: it has no active prompt/, "SD301"],
  ];
  for (const [args, message, code = "22023"] of cases) {
    const error = await refusal(
      value(sql, "batches.rerun_daily($1, $2, $3, $4, $5)", [...args, AT]),
    );
    assert.match(error.message, message);
    assert.equal(error.code, code);
  }
  await t.trigger(sql, "2026-03-02T08:00:00Z");
  const open = await refusal(
    value(sql, "batches.rerun_daily($1, '2026-03-02', 'why', 'ann', $2)", [acme, AT]),
  );
  assert.match(open.message, /batch job .* is still at work/);
  assert.equal(open.code, "SD102");
  await sql`update batch_providers set enabled = false`;
  await sql`update batch_jobs set status = 'completed', completed_at = now()`;
  const none = await refusal(
    value(sql, "batches.rerun_daily($1, '2026-03-02', 'why', 'ann', $2)", [acme, AT]),
  );
  assert.match(none.message, /no provider is enabled/);
  assert.equal(none.code, "SD302");
  assert.equal((await sql`select from batch_jobs`).length, 1);
});

t.batchTest("today and the batch's zone are those of the organization", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" });
  await value(sql, "batches.rerun_daily($1, '2026-03-03', 'why', 'ann', '2026-03-02T16:00Z')", [
    acme,
  ]);
  assert.deepEqual([...await sql`select time_zone from batch_jobs`], [{ time_zone: "Asia/Tokyo" }]);
});

t.batchTest("two people at once: one runs the date again, the other is refused", async (db) => {
  const acme = await t.organization(db.sql, "Acme");
  await t.trigger(db.sql, "2026-03-02T08:00:00Z");
  await db.sql`update batch_jobs set status = 'completed', completed_at = now()`;
  const again = (sql: Pick<Sql, "unsafe">) =>
    sql.unsafe("select batches.rerun_daily($1, '2026-03-02', 'why', 'ann', $2)", [acme, AT]);
  const [second] = await db.connect().begin(async (first) => {
    await again(first);
    const second = refusal(again(db.sql));
    await waitUntil("the second waiting for the first", async () => {
      const rows = await db.admin`
        select from pg_stat_activity where datname = ${db.name} and wait_event_type = 'Lock'`;
      return rows.length > 0;
    });
    return [second] as const;
  });
  assert.equal((await second).code, "SD102");
  assert.deepEqual(await t.dates(db.sql, acme), ["2026-03-02", "2026-03-02 #1"]);
});
