import assert from "node:assert/strict";
import { ruleFiles, ruleTestFiles } from "../../support/alert-rules.ts";
import { loadSeed } from "../../../local/migrations.ts";
import { renderReading } from "../../../supabase/functions/prometheus-metrics/exposition.ts";
import type { Group } from "../../../supabase/functions/prometheus-metrics/reading.ts";
import { withDatabase } from "../../support/database.ts";
import { asService, runJob } from "../../support/device-metrics.ts";
import {
  byLabel,
  countedDeviceSums,
  deviceSums,
  exposedFamilies,
  exposedNames,
  metricsIn,
  readMetrics,
  readSamples,
} from "../../support/exposed-metrics.ts";
import { checkMetrics, hasPromtool } from "../../support/promtool.ts";
import { value } from "../../support/scheduler.ts";

const read = (path: string) => Deno.readTextFile(new URL(`../../../${path}`, import.meta.url));

/** The scheduler counts the sources that failed when it has asked them all. */
const OF_NO_SOURCE = "scheduler_metric_sources_failed";

Deno.test("each source gives the families of its pack and no other, a histogram where one is said to come", () =>
  withDatabase(async ({ sql }) => {
    const families = await sql`
      select family, pack, type = 'histogram' as histogram from scheduler.metric_families where family <> ${OF_NO_SOURCE}`;
    const sources = await sql`select function_name as name, pack from scheduler.metric_sources`;
    assert.ok(sources.length > 5 && families.length > 30);
    const given = new Set<string>();
    for (const source of sources) {
      const groups: Group[] = await value(sql, `${source.name}(now())`);
      for (const series of groups.flatMap((group) => group.series)) {
        given.add(`${source.pack} ${series.family} ${"counts" in series}`);
      }
    }
    const defined = families.map((row) => `${row.pack} ${row.family} ${row.histogram}`);
    assert.deepEqual([...given].sort(), defined.sort());
  }));

Deno.test("docs/jobs/prometheus-metrics.md has each metric with its type and its labels, in the order of a scrape", async () => {
  const page = await read("docs/jobs/prometheus-metrics.md");
  const written = page.split("\n").filter((line) =>
    /^\| `[a-z_]+` +\| (counter|gauge|histogram)/.test(line)
  )
    .map((line) => {
      const [, name, type, labels] = line.split("|").map((cell) => cell.trim().replaceAll("`", ""));
      return `${name} ${type} ${labels}`.trim();
    });
  await withDatabase(async ({ sql }) => {
    const { families, sources } = await readMetrics(sql);
    const labels = new Map<string, Set<string>>(families.map(({ name }) => [name, new Set()]));
    for (const group of sources.flat()) {
      for (const series of group.series) {
        const own = "labels" in series ? series.labels : {};
        for (const label of [...Object.keys(group.labels), ...Object.keys(own)]) {
          labels.get(series.family)!.add(label);
        }
      }
    }
    assert.deepEqual(
      written,
      families.map(({ name, type }) =>
        `${name} ${type} ${[...labels.get(name)!].join(", ")}`.trim()
      ),
    );
  });
});

Deno.test("alerts and their tests ask for metrics that the exposition has", () =>
  withDatabase(async ({ sql }) => {
    const names = await exposedNames(sql);
    for (const file of [...ruleFiles, ...ruleTestFiles]) {
      const asked = metricsIn((await Deno.readTextFile(file)).replace(/^\s*#.*$/gm, ""));
      assert.ok(asked.length >= 3, file);
      for (const metric of asked) assert.ok(names.has(metric), `${file}: ${metric}`);
    }
  }));

Deno.test("the dashboard asks for metrics that the exposition has, and shows each of them", () =>
  withDatabase(async ({ sql }) => {
    const panels: { targets?: { expr: string }[] }[] =
      JSON.parse(await read("grafana/dashboard.json")).panels;
    const asked = new Set(
      panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr))),
    );
    const names = await exposedNames(sql);
    for (const name of asked) assert.ok(names.has(name), name);
    const shown = new Set([...asked].map((name) => name.replace(/_(bucket|sum|count)$/, "")));
    for (const name of (await exposedFamilies(sql)).keys()) {
      assert.ok(shown.has(name), `${name} is shown nowhere`);
    }
  }));

Deno.test("on the demo data the figures of the devices are what a plain count gives", () =>
  withDatabase(async (db) => {
    const { sql } = db;
    const service = asService(db);
    await loadSeed(sql);
    await runJob(service);
    await runJob(service, { granularity: "day" });
    const samples = await readSamples(service);
    const sums = deviceSums(samples);
    assert.deepEqual(sums, await countedDeviceSums(sql));
    assert.ok(sums.pop! > 0 && sums.commands! > 0 && sums.charging! > 0);
    const [devices] = await sql`
      select count(*)::int as online from devices where status = 'online'`;
    assert.equal(samples.get("xmrt_devices_active"), devices!.online);
    const statuses = await sql`
      select status, count(*)::int as count from engagement_commands
      where issued_at > now() - interval '24 hours' group by status`;
    assert.ok(statuses.length > 1);
    assert.deepEqual(
      withoutZeros(byLabel(samples, "xmrt_commands_by_status")),
      Object.fromEntries(statuses.map(({ status, count }) => [status, count])),
    );
  }));

Deno.test("on the demo data the figures of actions, API keys and failing code are what a plain count gives", () =>
  withDatabase(async ({ sql, admin }) => {
    await loadSeed(sql);
    const now = new Date();
    await admin`
      update scheduled_action_occurrences set finished_at = ${now}::timestamptz - interval '59 minutes'
      where idempotency_key in (select idempotency_key from scheduled_action_occurrences limit 2)`;
    const samples = await readSamples(sql, now);
    const [row] = await sql`
      select (select count(*) from scheduled_actions where status = 'scheduled')::int as waiting,
        (select coalesce(json_object_agg(status, count), '{}') from (
          select status, count(*) from scheduled_action_occurrences
          where finished_at > ${now}::timestamptz - interval '1 hour' group by status) as ended) as ended,
        (select count(*) from code_failure_causes where status = 'open')::int as causes,
        (select count(*) from code_fix_proposals where status = 'pending')::int as proposals,
        (select json_agg(format('api_key_status{provider="%s",key_name="%s",status="%s"}', provider, key_name, status))
          from api_key_health) as keys`;
    assert.ok(row!.waiting > 0 && Object.keys(row!.ended).length > 0 && row!.keys.length > 0);
    assert.equal(samples.get("scheduled_actions_waiting"), row!.waiting);
    assert.deepEqual(
      withoutZeros(byLabel(samples, "scheduled_action_occurrences_by_status")),
      row!.ended,
    );
    assert.equal(samples.get("code_failure_causes_open"), row!.causes);
    assert.equal(samples.get("code_fix_proposals_pending"), row!.proposals);
    const keys = [...samples].filter(([name, is]) =>
      name.startsWith("api_key_status{") && is === 1
    );
    assert.deepEqual(keys.map(([name]) => name).sort(), row!.keys.sort());
  }));

Deno.test({
  name: "promtool finds nothing to say against the exposition of the demo data",
  ignore: !hasPromtool,
  fn: () =>
    withDatabase(async ({ sql }) => {
      await loadSeed(sql);
      const reading = await readMetrics(sql);
      assert.deepEqual(reading.errors, {});
      assert.equal(await checkMetrics(renderReading(reading)), "");
    }),
});

function withoutZeros(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));
}
