import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/daily-batch.ts";
import { begin, finish, runs, value } from "../../support/scheduler.ts";

t.batchTest(
  "the platform's day: a batch for each organization with active prompts, a task for each prompt and provider",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", {}, 3);
    await sql`insert into prompts (organization_id, text, status) values (${acme}, 'not now', 'paused')`;
    const empty = await t.organization(sql, "Empty", {}, 0);
    const off = await t.organization(sql, "Off", { enabled: false });
    const paused = await t.organization(sql, "Paused");
    await sql`update prompts set status = 'paused' where organization_id = ${paused}`;
    await sql`update batch_providers set enabled = false where name = 'two'`;
    const told = await t.trigger(sql, "2026-03-02T08:15:00Z");
    assert.deepEqual(told, {
      outcome: "started",
      date: "2026-03-02",
      batches: 1,
      tasks: 3,
      zones: false,
      forced: false,
      manual_test: false,
    });
    const [job] = await sql`select * from batch_jobs`;
    assert.deepEqual(
      [job!.organization_id, job!.rerun, job!.status, job!.time_zone, job!.tasks_total],
      [acme, 0, "pending", "America/New_York", 3],
    );
    const tasks = await sql`select provider, status, count(*)::int from batch_tasks group by 1, 2`;
    assert.deepEqual([...tasks], [{ provider: "one", status: "pending", count: 3 }]);
    const enqueued = await runs(sql, "robust-batch-processor");
    assert.deepEqual(enqueued.map((run) => [run.trigger, run.status, run.payload]), [
      ["enqueued", "dispatched", { batchJobId: job!.id }],
    ]);
    const marks =
      await sql`select scope, last_daily_run_key as key from scheduler_state order by 1`;
    assert.deepEqual([...marks], [
      { scope: "global", key: "2026-03-02" },
      { scope: `organization:${acme}`, key: "2026-03-02" },
    ]);
    assert.deepEqual([await t.dates(sql, empty), await t.dates(sql, off)], [[], []]);
  },
);

t.batchTest(
  "the platform's day is the one that try_mark_daily_run marks without a scope",
  async ({ sql }) => {
    await t.organization(sql, "Acme");
    const mark = async (day: string) =>
      (await sql`select try_mark_daily_run(${day}) ->> 'updated' as updated`)[0]!.updated;
    assert.equal(await mark("2026-03-02"), "true");
    assert.equal((await t.trigger(sql, "2026-03-02T08:00Z")).outcome, "already_run");
    assert.equal((await t.trigger(sql, "2026-03-03T08:00Z")).outcome, "started");
    assert.equal(await mark("2026-03-03"), "false");
    const [state] =
      await sql`select last_daily_run_key from scheduler_state where scope = 'global'`;
    assert.equal(state!.last_daily_run_key, "2026-03-03");
  },
);

t.batchTest(
  "the database calls a processor for each batch job, 20 at once, the next as one ends",
  async ({ sql }) => {
    for (let n = 0; n < 30; n++) await t.organization(sql, `P${n}`);
    const run = crypto.randomUUID();
    await sql`select batches.trigger_daily(p_run_id => ${run}, p_now => '2026-03-02T08:00Z')`;
    const states = async () =>
      Object.fromEntries(
        (await sql`
          select status, count(*)::int from scheduler_runs where job_name = 'robust-batch-processor' group by 1`)
          .map(({ status, count }) => [status, count]),
      );
    assert.deepEqual(await states(), { dispatched: 20, queued: 10 });
    const requests = await sql<{ url: string }[]>`select url from net.http_request_queue`;
    assert.deepEqual(
      requests.map(({ url }) => url),
      Array(20).fill("https://project.example.test/functions/v1/robust-batch-processor"),
    );
    const [{ id }] =
      await sql`select id from scheduler_runs where status = 'dispatched' limit 1` as unknown as [
        { id: string },
      ];
    await begin(sql, id, new Date("2026-03-02T08:00:01Z"), "robust-batch-processor");
    await finish(sql, id, "completed", new Date("2026-03-02T08:00:03Z"));
    assert.deepEqual(await states(), { completed: 1, dispatched: 20, queued: 9 });
    const [jobs] = await sql`
      select count(distinct payload ->> 'batchJobId')::int as called, (select count(*)::int from batch_jobs where run_id = ${run}) as made
      from scheduler_runs where job_name = 'robust-batch-processor'`;
    assert.deepEqual(jobs, { called: 30, made: 30 });
  },
);

t.batchTest(
  "a batch job whose last prompt was switched off a moment ago has ended, and no processor is called",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" }, 0);
    await sql`select batches.make_jobs(array[(${acme}, '2026-03-02', 'Asia/Tokyo')::batches.due_date], 0, null, now())`;
    const [job] =
      await sql`select status, time_zone, tasks_total, completed_at is not null as ended from batch_jobs`;
    assert.deepEqual(job, {
      status: "completed",
      time_zone: "Asia/Tokyo",
      tasks_total: 0,
      ended: true,
    });
    assert.deepEqual(await runs(sql, "robust-batch-processor"), []);
  },
);

t.batchTest("after the day has run, a further trigger begins nothing", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme");
  await t.trigger(sql, "2026-03-02T08:00:00Z");
  for (const options of [{}, { force: true }, { manual_test: true }]) {
    const told = await t.trigger(sql, "2026-03-02T08:15:00Z", options);
    assert.deepEqual([told.outcome, told.batches], ["already_run", 0]);
  }
  assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
  assert.equal((await t.trigger(sql, "2026-03-03T08:00:00Z")).outcome, "started");
  assert.deepEqual(await t.dates(sql, acme), ["2026-03-02", "2026-03-03"]);
});

t.batchTest("outside the window only force begins, and counts as the day", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme");
  for (const at of ["2026-03-02T07:59:59Z", "2026-03-02T11:00:00Z", "2026-03-02T20:00:00Z"]) {
    assert.equal((await t.trigger(sql, at)).outcome, "outside_window", at);
  }
  assert.deepEqual([...await sql`select * from scheduler_state`], []);
  const told = await t.trigger(sql, "2026-03-02T20:00:00Z", { force: true, manual_test: true });
  assert.deepEqual([told.outcome, told.date, told.forced, told.manual_test], [
    "started",
    "2026-03-02",
    true,
    true,
  ]);
  assert.equal(
    (await t.trigger(sql, "2026-03-02T20:01:00Z", { force: true })).outcome,
    "already_run",
  );
  // Before its hour the date is yesterday's.
  assert.equal(
    (await t.trigger(sql, "2026-03-03T07:30:00Z", { force: true })).outcome,
    "already_run",
  );
  assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
});

t.batchTest(
  "force begins the day of organizations that are new or had no prompts at its time",
  async ({ sql }) => {
    const ran = await t.organization(sql, "Ran");
    const late = await t.organization(sql, "Late", {}, 0);
    const berlin = await t.organization(sql, "Berlin", { time_zone: "Europe/Berlin" }, 0);
    await t.trigger(sql, "2026-03-02T08:00:00Z");
    await t.trigger(sql, "2026-03-02T08:00:00Z", { zones: true });
    const made = await t.organization(sql, "New", { created_at: new Date("2026-03-02T09:00:00Z") });
    await sql`insert into prompts (organization_id, text) values (${late}, 'at last'), (${berlin}, 'at last')`;
    assert.equal((await t.trigger(sql, "2026-03-02T10:30:00Z")).outcome, "already_run");
    assert.equal((await t.trigger(sql, "2026-03-02T10:30:00Z", { force: true })).batches, 2);
    assert.equal((await t.trigger(sql, "2026-03-02T10:30:00Z", { zones: true })).batches, 0);
    const zones = { zones: true, force: true };
    assert.equal((await t.trigger(sql, "2026-03-02T10:30:00Z", zones)).batches, 1);
    assert.equal((await t.trigger(sql, "2026-03-02T10:45:00Z", zones)).batches, 0);
    for (const id of [ran, late, berlin, made]) {
      assert.deepEqual(await t.dates(sql, id), ["2026-03-02"]);
    }
  },
);

t.batchTest(
  "an organization created after today's time begins with tomorrow's date",
  async ({ sql }) => {
    const platform = await t.organization(sql, "P", {
      created_at: new Date("2026-03-02T08:01:00Z"),
    });
    const berlin = await t.organization(sql, "B", {
      time_zone: "Europe/Berlin",
      created_at: new Date("2026-03-02T02:01:00Z"),
    });
    assert.equal((await t.trigger(sql, "2026-03-02T08:15:00Z")).batches, 0);
    assert.equal((await t.trigger(sql, "2026-03-02T08:15:00Z", { zones: true })).batches, 0);
    assert.equal(await t.nextBatchAt(sql, berlin), "2026-03-03T02:00:00.000Z");
    await t.trigger(sql, "2026-03-03T08:15:00Z");
    await t.trigger(sql, "2026-03-03T08:15:00Z", { zones: true });
    assert.deepEqual(await t.dates(sql, platform), ["2026-03-03"]);
    assert.deepEqual(await t.dates(sql, berlin), ["2026-03-03"]);
  },
);

t.batchTest(
  "without a provider nothing is marked, and the tick after one is enabled begins",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme");
    const zoned = await t.organization(sql, "Zoned", { time_zone: "Asia/Tokyo" });
    await sql`update batch_providers set enabled = false`;
    assert.equal((await t.trigger(sql, "2026-03-02T08:00:00Z")).outcome, "no_provider");
    assert.equal(
      (await t.trigger(sql, "2026-03-02T08:00:00Z", { zones: true })).outcome,
      "no_provider",
    );
    assert.deepEqual([...await sql`select * from scheduler_state`], []);
    await sql`update batch_providers set enabled = true`;
    await t.trigger(sql, "2026-03-02T08:15:00Z");
    await t.trigger(sql, "2026-03-02T08:15:00Z", { zones: true });
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
    assert.deepEqual(await t.dates(sql, zoned), ["2026-03-02"]);
  },
);

t.batchTest(
  "run_if lets the ticks of the window through until the platform's day has run",
  async ({ sql }) => {
    const due = (at: string) => value(sql, "batches.daily_is_due($1)", [at]);
    assert.deepEqual(
      [
        await due("2026-03-02T07:45Z"),
        await due("2026-03-02T08:00Z"),
        await due("2026-03-02T10:45Z"),
      ],
      [false, true, true],
    );
    assert.equal(await due("2026-03-02T11:00Z"), false);
    await t.trigger(sql, "2026-03-02T08:00:00Z");
    assert.equal(await due("2026-03-02T08:15Z"), false);
    assert.equal(await due("2026-03-03T08:00Z"), true);
  },
);

t.batchTest(
  "after today's run the ticks of the window cost no request and no row",
  async ({ sql }) => {
    await t.organization(sql, "Acme");
    const zoned = await t.organization(sql, "Zoned", { time_zone: "Asia/Tokyo" });
    const job = "daily-batch-trigger";
    await sql`update scheduler_jobs set next_run_at = '2026-03-02T08:00Z' where name = ${job}`;
    await sql`update scheduler_jobs set next_run_at = '2026-03-02T08:00Z' where name = ${`${job}-zones`}`;
    const tick = async (at: string) => {
      for (const name of [job, `${job}-zones`]) {
        await value(sql, "scheduler.dispatch($1, $2)", [name, at]);
      }
      const sent = await sql`
        select job_name from scheduler_runs where scheduled_for = ${at} order by job_name`;
      return sent.map(({ job_name }) => job_name);
    };
    assert.deepEqual(await tick("2026-03-02T08:00:00Z"), [job, `${job}-zones`]);
    for (const { id } of await sql`select id from scheduler_runs`) {
      await begin(sql, id, new Date("2026-03-02T08:00:01Z"), job);
      await finish(sql, id, "completed", new Date("2026-03-02T08:00:03Z"));
    }
    await t.trigger(sql, "2026-03-02T08:00:02Z");
    await t.trigger(sql, "2026-03-02T08:00:02Z", { zones: true });
    await sql`delete from net.http_request_queue`;
    // Tokyo is due again at 18:00.
    for (let minutes = 15; minutes < 10 * 60; minutes += 15) {
      const at = new Date(Date.parse("2026-03-02T08:00Z") + minutes * 60_000).toISOString();
      assert.deepEqual(await tick(at), [], at);
    }
    assert.equal((await runs(sql, job)).length, 1);
    assert.equal((await runs(sql, `${job}-zones`)).length, 1);
    assert.deepEqual([...await sql`select * from net.http_request_queue`], []);
    assert.equal(await t.nextBatchAt(sql, zoned), "2026-03-02T18:00:00.000Z");
  },
);

t.batchTest(
  "a trigger that fails at any step leaves nothing, and the next one begins the whole day",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme");
    const zoned = await t.organization(sql, "Zoned", { time_zone: "Asia/Tokyo" });
    for (
      const table of [
        "scheduler_state",
        "organizations",
        "batch_jobs",
        "batch_tasks",
        "scheduler_runs",
      ]
    ) {
      await sql.unsafe(`
      create function public.break_it() returns trigger language plpgsql as $$ begin raise exception 'broken here'; end $$;
      create trigger zz_break after insert or update on public.${table} for each row execute function public.break_it()`);
      for (const options of [{ zones: true }, {}]) {
        if (table === "organizations" && !options.zones) continue;
        assert.match(
          (await refusal(t.trigger(sql, "2026-03-02T08:00:00Z", options))).message,
          /broken here/,
        );
      }
      await sql.unsafe(`drop function public.break_it() cascade`);
      for (const empty of ["scheduler_state", "batch_jobs", "batch_tasks"]) {
        assert.equal((await sql.unsafe(`select 1 from ${empty}`)).length, 0, `${table}: ${empty}`);
      }
      assert.deepEqual(await runs(sql, "robust-batch-processor"), []);
    }
    await t.trigger(sql, "2026-03-02T08:00:00Z", { zones: true });
    await t.trigger(sql, "2026-03-02T08:00:00Z");
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
    assert.deepEqual(await t.dates(sql, zoned), ["2026-03-02"]);
  },
);
