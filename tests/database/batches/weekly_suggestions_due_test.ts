import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { addProvider } from "../../support/batch.ts";
import { rowsRead } from "../../support/rows-read.ts";
import { addOrganization, addSuggester, MONDAY, WEEK } from "../../support/suggestions.ts";

const due = async (sql: Sql, at: string | Date): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await sql`select organization_id, week::text from batches.due_for_suggestions(1000, null, ${at})`)
      .map((row) => [row.organization_id, row.week]),
  );

Deno.test("an organization is due from its own Monday's time on, until it has had the week", () =>
  withDatabase(async ({ sql }) => {
    const platform = await addOrganization(sql, ["a"]);
    const tokyo = await addOrganization(sql, ["a"], { time_zone: "Asia/Tokyo" });
    await sql`select scheduler.try_mark_daily_run('2026-02-23', 'weekly-suggestions:' || id) from organizations`;
    assert.deepEqual(await due(sql, "2026-03-01T21:59:00Z"), {});
    assert.deepEqual(await due(sql, "2026-03-01T22:00:00Z"), { [tokyo]: WEEK }, "07:00 in Tokyo");
    assert.deepEqual(await due(sql, "2026-03-02T11:59:00Z"), { [tokyo]: WEEK });
    assert.deepEqual(await due(sql, "2026-03-02T12:00:00Z"), { [tokyo]: WEEK, [platform]: WEEK });
    await sql`select scheduler.try_mark_daily_run(${WEEK}, 'weekly-suggestions:' || ${tokyo})`;
    assert.deepEqual(
      await due(sql, "2026-03-08T12:00:00Z"),
      { [platform]: WEEK },
      "late, not lost",
    );
    // Sunday in New York, whose week it still is; Tokyo's next has begun.
    assert.deepEqual(await due(sql, "2026-03-08T22:00:00Z"), {
      [tokyo]: "2026-03-09",
      [platform]: WEEK,
    });
  }));

Deno.test("new or disabled organizations, and those without active prompts, are not due", () =>
  withDatabase(async ({ sql }) => {
    await addOrganization(sql, ["a"], { created_at: new Date("2026-03-02T12:30:00Z") });
    await addOrganization(sql, ["a"], { enabled: false });
    await addOrganization(sql, []);
    const paused = await addOrganization(sql, ["a"]);
    await sql`update prompts set status = 'paused' where organization_id = ${paused}`;
    assert.deepEqual(await due(sql, MONDAY), {});
    assert.equal(
      Object.keys(await due(sql, "2026-03-09T12:00:00Z")).length,
      1,
      "the new one, a week later",
    );
  }));

Deno.test("an organization that moves to another zone has no week twice", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["a"], { time_zone: "Asia/Tokyo" });
    await sql`select scheduler.try_mark_daily_run('2026-03-09', 'weekly-suggestions:' || ${id})`;
    await sql`update organizations set time_zone = 'Pacific/Honolulu' where id = ${id}`;
    assert.deepEqual(await due(sql, "2026-03-08T23:00:00Z"), {});
    assert.deepEqual(await due(sql, "2026-03-09T23:00:00Z"), {}, "Monday came a second time");
    assert.deepEqual(await due(sql, "2026-03-16T17:00:00Z"), { [id]: "2026-03-16" });
  }));

Deno.test("over both changes of the clock each organization has each week once, in its Monday's hour", () =>
  withDatabase(async ({ sql }) => {
    const zones = [
      "America/New_York",
      "Europe/Berlin",
      "Australia/Lord_Howe",
      "Africa/Cairo",
      "America/Santiago",
      "Pacific/Apia",
      "Pacific/Kiritimati",
      "Asia/Kolkata",
      "America/St_Johns",
      "Asia/Beirut",
      "UTC",
    ];
    for (const time_zone of zones) await addOrganization(sql, ["a"], { time_zone });
    await sql.unsafe(`
      create table had (organization_id uuid, week date, at timestamptz);
      do $$
      declare v_at timestamptz;
      begin
        for v_at in
          select tick from (
            select generate_series('2026-02-22 00:40Z'::timestamptz, '2026-04-15 00:00Z', '1 hour')
            union all select generate_series('2026-09-06 00:40Z'::timestamptz, '2026-11-20 00:00Z', '1 hour')) as ticks (tick)
          where extract(isodow from tick at time zone 'UTC') in (7, 1) order by 1
        loop
          with due as (select * from batches.due_for_suggestions(100, null, v_at)),
          marked as (select due.*, scheduler.try_mark_daily_run(week::text, 'weekly-suggestions:' || organization_id, '2100-01-01') as told from due)
          insert into had select organization_id, week, v_at from marked where (told ->> 'updated')::boolean;
        end loop;
      end $$`);
    // The weeks that are newly marked are counted each hour, by organization.
    const wrong = await sql`
      select time_zone, week, at, at at time zone time_zone as local
      from had join organizations on id = organization_id
      where extract(isodow from week) <> 1
        or at at time zone time_zone not between week + time '07:00' and week + time '08:00'
          and at not in ('2026-02-22 00:40Z', '2026-09-06 00:40Z')`;
    assert.deepEqual([...wrong], []);
    const counts = await sql`
      select time_zone, count(*)::int as had, count(distinct week)::int as weeks
      from had join organizations on id = organization_id group by time_zone`;
    for (const { time_zone, had, weeks } of counts) {
      assert.deepEqual([had, weeks], [21, 21], time_zone);
    }
    assert.equal(counts.length, zones.length);
  }));

Deno.test("due organizations are found by pages, in order", () =>
  withDatabase(async ({ sql }) => {
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await addOrganization(sql, ["a"]));
    ids.sort();
    const page = async (limit: number, past: string | null) =>
      (await sql`select organization_id as id from batches.due_for_suggestions(${limit}, ${past}, ${MONDAY})`)
        .map((row) => row.id);
    assert.deepEqual(await page(2, null), ids.slice(0, 2));
    assert.deepEqual(await page(2, ids[1]!), ids.slice(2, 4));
    assert.deepEqual(await page(2, ids[3]!), ids.slice(4));
  }));

Deno.test("run_if lets no tick through while no provider is set", () =>
  withDatabase(async ({ sql }) => {
    await addOrganization(sql, ["a"]);
    const isDue = async () =>
      (await sql`select batches.suggestions_are_due(${MONDAY}) as due`)[0]!.due;
    assert.equal(await isDue(), false);
    await addSuggester(sql);
    assert.equal(await isDue(), true);
    await sql`select scheduler.try_mark_daily_run(${WEEK}, 'weekly-suggestions:' || id) from organizations`;
    assert.equal(await isDue(), false);
  }));

Deno.test("run_if reads no prompts of organizations that had their week", () =>
  withDatabase(async ({ sql }) => {
    await addSuggester(sql);
    await sql`
      with added as (
        insert into organizations (name, time_zone, created_at)
        select 'Tests ' || i, (array['Europe/Berlin', 'Asia/Tokyo', 'UTC'])[1 + i % 3], '2025-01-01' from generate_series(1, 300) as i returning id)
      insert into prompts (organization_id, text) select id, 'a' from added`;
    await sql`select scheduler.try_mark_daily_run(${WEEK}, 'weekly-suggestions:' || id) from organizations`;
    const read = await rowsRead(
      sql,
      ["organizations", "scheduler_state", "prompts"],
      async (tx) => {
        const [row] = await tx`select batches.suggestions_are_due(${MONDAY}) as due`;
        assert.equal(row!.due, false);
      },
    );
    // Organizations are read twice: for the zones, and by zone.
    assert.deepEqual(read, { organizations: 600, scheduler_state: 300, prompts: 0 });
  }));

Deno.test("the model is told a bounded number of prompts and answers", () =>
  withDatabase(async ({ sql }) => {
    await addSuggester(sql);
    const id = await addOrganization(
      sql,
      [..."x".repeat(60)].map((x, i) => `${i} ${x.repeat(2000)}`),
    );
    await sql`
      with job as (insert into batch_jobs (organization_id, batch_date, time_zone, tasks_total)
        values (${id}, '2026-03-01', 'UTC', 60) returning id)
      insert into batch_tasks (job_id, prompt_id, provider, status, answered_by, model, answer, latency_ms, completed_at)
      select job.id, prompts.id, 'muse', 'completed', 'muse', 'm', repeat('y', 5000), 1,
        ${MONDAY}::timestamptz - case when row_number() over () % 2 = 0 then interval '1 day' else interval '8 days' end
      from job, prompts`;
    const [row] = await sql`select batches.next_suggestion_requests(10, null, ${MONDAY}) as told`;
    const [organization] = row!.told.organizations;
    assert.deepEqual(
      [
        organization.id,
        organization.week,
        organization.prompts.length,
        organization.answers.length,
      ],
      [id, WEEK, 40, 20],
    );
    assert.ok(JSON.stringify(row!.told).length < 60_000);
    const [later] = await sql`
      select batches.next_suggestion_requests(10, null, ${MONDAY}::timestamptz + interval '6.5 days') as told`;
    assert.deepEqual(later!.told.organizations[0].answers, [], "of the last seven days");
  }));

Deno.test("a provider that does not exist or is disabled is refused as a setting, and named when it goes later", () =>
  withDatabase(async ({ sql }) => {
    const key = "weekly_suggestions.provider";
    const write = (value: string) =>
      sql`update scheduler_settings set value = ${value}::text::jsonb where key = ${key}`;
    const fault =
      /weekly_suggestions.provider must be null or the name of an enabled provider, got/;
    await assert.rejects(write('"nobody"'), fault);
    await addProvider(sql, "one");
    await write('"one"');
    await sql`update batch_providers set enabled = false`;
    await assert.rejects(sql`select next_suggestion_requests()`, fault);
  }));
