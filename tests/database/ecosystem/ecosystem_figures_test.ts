import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { definitions } from "../../../supabase/functions/ecosystem-monitor/scores.ts";
import { day, scheduledFor, withEcosystem } from "../../support/ecosystem.ts";
import { refusal } from "../../support/refusal.ts";
import { withDatabase } from "../../support/database.ts";

async function infrastructure(sql: Sql, now = scheduledFor, of = day) {
  const [row] = await sql`select ecosystem.infrastructure(${of}, ${now}) as found`;
  return row!.found;
}

async function activity(sql: Sql) {
  const [row] = await sql`select ecosystem.activity(${day}) as found`;
  return row!.found;
}

async function addDevices(sql: Sql) {
  for (
    const [name, status, registered] of [
      ["a", "online", "2026-02-01T00:00:00Z"],
      ["b", "offline", "2026-02-20T23:59:59Z"],
      ["c", "retired", "2026-02-01T00:00:00Z"],
      ["d", "suspended", "2026-02-01T00:00:00Z"],
      ["e", "online", "2026-02-21T00:00:00Z"],
    ]
  ) {
    await sql`insert into devices (device_fingerprint, status, registered_at) values (${name!}, ${status!}, ${registered!})`;
  }
}

Deno.test("infrastructure has the fleet's rows of the UTC day, and the devices in service by its end", () =>
  withDatabase(async ({ sql }) => {
    await addDevices(sql);
    const device = (await sql`select id from devices limit 1`)[0]!.id;
    await sql`insert into device_metrics_summary (granularity, period_start, device_id, active_devices, pop_events_validated,
        pop_events_rejected, commands_completed, commands_failed, commands_expired, energy_wh, efficiency_energy_wh, efficiency_weight)
      values ('day', '2026-02-20Z', null, 2, 8, 2, 5, 1, 0, 100, 100, 8125),
        ('day', '2026-02-20Z', ${device}, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        ('day', '2026-02-19Z', null, 7, 7, 7, 7, 7, 7, 7, 7, 7)`;
    await sql`insert into device_metrics_summary (granularity, period_start, active_devices)
      values ('hour', '2026-02-19T23:00Z', 1), ('hour', '2026-02-20T00:00Z', 1), ('hour', '2026-02-20T01:00Z', 0),
        ('hour', '2026-02-20T23:00Z', 2), ('hour', '2026-02-21T00:00Z', 1)`;
    const { devices, ...found } = await infrastructure(sql);
    assert.deepEqual(found, {
      computed: true,
      active_devices: 2,
      charging_efficiency_percent: 81.25,
      energy_wh: 100,
      pop_validated: 8,
      pop_rejected: 2,
      commands_completed: 5,
      commands_failed: 1,
      commands_expired: 0,
      hours_computed: 3,
      hours_active: 2,
    });
    assert.deepEqual([devices.in_service, devices.online], [2, 1]);
  }));

Deno.test("a day without metrics is unknown, not 0", () =>
  withDatabase(async ({ sql }) => {
    const { computed, active_devices, commands_failed, hours_computed } = await infrastructure(sql);
    assert.deepEqual([computed, active_devices, commands_failed, hours_computed], [
      false,
      null,
      null,
      0,
    ]);
  }));

Deno.test("devices are those of the day's first report; a day that is long over has none", () =>
  withEcosystem(async ({ db: { sql }, run }) => {
    await addDevices(sql);
    await run({ env: { GITHUB_TOKEN: "" } });
    await sql`update devices set status = 'offline'`;
    const later = new Date("2026-03-24T00:00:00Z");
    assert.equal((await infrastructure(sql, later)).devices.online, 1);
    assert.equal((await infrastructure(sql, later, "2026-02-19")).devices, null);
    assert.equal(
      (await infrastructure(sql, new Date("2026-02-20T23:59:59Z"), "2026-02-19")).devices.online,
      0,
    );
    const again = await run({ env: { GITHUB_TOKEN: "" }, input: { day }, now: later });
    assert.equal(again.scores.infrastructure.parts.online_percent.value, 50);
  }));

Deno.test("activity sums the known figures of enabled repositories that exist", () =>
  withDatabase(async ({ sql }) => {
    await sql`insert into ecosystem_repositories (full_name, enabled, gone_since) values ('a/known', true, null),
      ('a/partly', true, null), ('a/unread', true, null), ('a/disabled', false, null), ('a/gone', true, now()), ('a/gone-since', true, now())`;
    await sql`
      insert into repository_activity (repository_id, day, commits, issues_opened, stars_total, stars_gained, truncated)
      select id, ${day}, commits, 1, 10, stars, truncated::text[] from ecosystem_repositories join (values
        ('a/known', 5, 2, '{commits}'), ('a/partly', null, -3, '{}'), ('a/disabled', 50, 50, '{}'), ('a/gone-since', 7, null, '{}')
      ) as given (full_name, commits, stars, truncated) using (full_name)`;
    const found = await activity(sql);
    assert.deepEqual([found.repositories, found.with_figures, found.gone], [4, 3, ["a/gone"]]);
    assert.deepEqual(found.figures.commits, { total: 12, known: 2, at_least: true });
    assert.deepEqual(found.figures.issues_opened, { total: 3, known: 3, at_least: false });
    assert.deepEqual(found.figures.stars_gained, { total: -1, known: 2, at_least: false });
    assert.deepEqual(found.figures.releases, { total: null, known: 0, at_least: false });
    assert.deepEqual(Object.keys(found.figures).sort(), Object.keys(definitions.activity).sort());
    assert.deepEqual(
      found.busiest.map((one: { full_name: string }) => one.full_name),
      ["a/gone-since", "a/known", "a/partly"],
    );
  }));

Deno.test("the 40 busiest repositories are listed", () =>
  withDatabase(async ({ sql }) => {
    await sql`insert into ecosystem_repositories (full_name) select 'a/r' || n from generate_series(1, 1200) n`;
    await sql`insert into repository_activity (repository_id, day, commits) select id, ${day}, id from ecosystem_repositories`;
    const found = await activity(sql);
    assert.deepEqual([found.repositories, found.busiest.length], [1200, 40]);
    assert.equal(found.busiest[0].full_name, "a/r1200");
    const [row] = await sql`select ecosystem_repositories_to_read() as found`;
    assert.deepEqual([row!.found.enabled, row!.found.repositories.length], [1200, 500]);
    // Those that were asked about longest ago, or never.
    await sql`update ecosystem_repositories set last_asked_at = now() - make_interval(mins => id::integer) where id <> 600`;
    const [next] = await sql`select ecosystem_repositories_to_read(2) as found`;
    assert.deepEqual(
      next!.found.repositories.map((one: { full_name: string }) => one.full_name),
      ["a/r600", "a/r1200"],
    );
  }));

Deno.test("malformed names are refused, and so is a known name in other letters", () =>
  withDatabase(async ({ sql }) => {
    const add = (name: string) =>
      sql`insert into ecosystem_repositories (full_name) values (${name})`;
    await add("octo-cat_acme/Hello.World-2");
    for (
      const name of [
        "",
        "acme",
        "acme/",
        "/x",
        "acme/x/y",
        "acme/..",
        "acme/.",
        "-acme/x",
        "acme/x?y",
        "acme/x y",
        "https://github.com/acme/x",
      ]
    ) {
      assert.equal((await refusal(add(name))).code, "23514", name);
    }
    assert.equal((await refusal(add("OCTO-CAT_ACME/hello.world-2"))).code, "23505");
  }));

Deno.test("kept answers and days are bounded", () =>
  withDatabase(async ({ sql }) => {
    const [repository] =
      await sql`insert into ecosystem_repositories (full_name) values ('a/b') returning id`;
    const record = (of: string, now: string, url: string) =>
      sql`select ecosystem.record_activity(${repository!.id}, ${of}, ${
        sql.json({ outcome: "read", figures: { commits: 1 }, truncated: [] })
      },
        ${sql.json([{ url, etag: '"1"', found: { commits: 1 }, next_url: null }])}, ${now})`;
    await record("2024-02-20", "2024-02-21T11:35:00Z", "https://api.github.com/old");
    await record(day, "2026-02-21T11:35:00Z", "https://api.github.com/new");
    const urls = await sql`select url from ecosystem.github_responses`;
    assert.deepEqual(urls.map((row) => row.url), ["https://api.github.com/new"]);
    const days = await sql`select day::text from repository_activity`;
    assert.deepEqual(days.map((row) => row.day), [day]);
    // Also when a person asks for a day that is older than that.
    await record("2024-02-20", "2026-02-21T11:35:00Z", "https://api.github.com/new");
    assert.equal((await sql`select 1 from repository_activity`).length, 2);
    const [stored] = await sql`select ecosystem_responses_of(${repository!.id}) as found`;
    assert.deepEqual(stored!.found, {
      "https://api.github.com/new": { etag: '"1"', found: { commits: 1 }, next_url: null },
    });
  }));

Deno.test("a repository that is deleted while it is read leaves no rows", () =>
  withDatabase(async ({ sql }) => {
    await sql`select ecosystem.record_activity(4711, ${day}, '{"outcome": "read", "figures": {}, "truncated": []}',
      '[{"url": "x", "etag": "1", "found": {}}]', ${scheduledFor})`;
    assert.equal((await sql`select 1 from ecosystem.github_responses`).length, 0);
  }));

Deno.test("the setting decides when a run warns; a value that cannot be meant is refused", () =>
  withEcosystem(async ({ db: { sql }, run, github, watch }) => {
    await watch("acme/quiet");
    github.repositories["acme/quiet"] = {};
    const set = (value: unknown) =>
      sql`update scheduler_settings set value = ${
        sql.json(value as never)
      } where key = 'ecosystem.warning_below_score'`;
    const low = await run();
    assert.deepEqual([low.scores.overall, low.notable], [0, "warning"]);
    assert.match(low.summary, /; below 40$/);
    await set(0);
    assert.equal((await run()).notable, "info");
    await assert.rejects(
      set("forty"),
      /cannot set ecosystem.warning_below_score: .* a number from 0 to 100, got "forty"/,
    );
  }));
