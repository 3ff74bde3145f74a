/** Forecasts as the API, a scrape and an alert have them. */
import assert from "node:assert/strict";
import { forecast as shape } from "../../../supabase/functions/cron/shapes.ts";
import { addChannel, alerts } from "../../support/alerts.ts";
import { type Day, writeDays } from "../../support/days.ts";
import { readSamples } from "../../support/exposed-metrics.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const today = new Date("2026-03-02T00:00:00Z");
const rows = (sum: number) => ({ rows: { sum, least: sum, most: sum, runs: 1 } });
/** Two months of a job that takes a second more each day, of which runs fail lately, and one was quick yesterday. */
const growing = Array.from({ length: 60 }, (_, place): Day => ({
  ago: 60 - place,
  runs: [{ ms: (40 + place) * 1000, hour: 3 }, { ms: place === 59 ? 10 : 1000, hour: 9 }],
  failed: place > 52 ? 2 : 0,
  figures: rows(place * 100),
}));

t.ledgerTest(
  "a page has what the pulse has foreseen, in the shape of openapi.json",
  async ({ sql }) => {
    await writeDays(sql, today, [["job", growing]]);
    await t.register(sql, "job", {
      schedule: "*/2 * * * *",
      timeout_seconds: 110,
      figures: ["rows"],
    });
    const page = (job: string | null = null) =>
      t.value(sql, "scheduler.api_forecast($1, null, $2)", [job, t.NOON]);
    const empty = shape.parse(await page());
    assert.deepEqual([empty.project, empty.jobs.length, empty.jobs[0]!.made_at], [null, 1, null]);
    await t.pulse(sql, t.NOON);
    const { project, jobs: [job], next_cursor } = shape.parse(await page());
    assert.deepEqual([next_cursor, job!.job, job!.days, job!.error], [null, "job", 60, null]);
    assert.equal(Date.parse(job!.made_at!), t.NOON.getTime());
    const findings = job!.findings.map((finding) =>
      finding.kind === "outgrows" ? `${finding.limit} ${finding.reached}` : finding.kind
    );
    assert.deepEqual(findings, [
      "timeout false",
      "interval false",
      "wall_clock false",
      "failure_rate",
      "unusual_duration",
    ]);
    assert.deepEqual([job!.duration!.days, job!.figures.rows!.a_day], [60, 100]);
    assert.deepEqual(job!.cost, { days: 42, invocations: 70, wall_seconds: 2384 });
    assert.match(project!.ledger.sentence, /^the ledger has 0 rows and /);
    assert.match(project!.cost.sentence, /; the plan free includes 500000 \(by 60 days\)$/);
    assert.equal(project!.cost.looked_up_on, "2026-11-30");
  },
);

t.ledgerTest("a hundred jobs a page, or one by its name or alias", async ({ sql }) => {
  await sql`
    select scheduler.register_job('job-' || lpad(i::text, 3, '0'), null, target => 'job')
    from generate_series(1, 101) as i`;
  await t.register(sql, "zebra", { alias: "striped", schedule: null });
  await t.pulse(sql, t.NOON);
  const page = (job: string | null, cursor: string | null = null) =>
    t.value(sql, "scheduler.api_forecast($1, $2)", [job, cursor]);
  const first = shape.parse(await page(null));
  assert.deepEqual([first.jobs.length, first.next_cursor], [100, "job-100"]);
  const second = shape.parse(await page(null, first.next_cursor));
  assert.deepEqual(second.jobs.map(({ job }) => job), ["job-101", "zebra"]);
  assert.equal(second.next_cursor, null);
  assert.deepEqual((await page("striped")).jobs.map(({ job }: { job: string }) => job), ["zebra"]);
  assert.equal((await refusal(page("nobody"))).code, "SD001");
});

t.ledgerTest("a scrape shows in how many days a job reaches its first limit", async ({ sql }) => {
  await writeDays(sql, today, [["job", growing], ["over", growing], ["well", growing]]);
  await t.register(sql, "job", { schedule: null, timeout_seconds: 110 });
  await t.register(sql, "over", { schedule: null, timeout_seconds: 90 });
  await t.register(sql, "well", { schedule: null, timeout_seconds: 86400 });
  await sql`update scheduler_plans set wall_clock_seconds = null`;
  await t.pulse(sql, t.NOON);
  const samples = await readSamples(sql, t.NOON);
  const of = (family: string) =>
    [...samples].filter(([name]) => name.startsWith(family)).map(([name, value]) =>
      `${name} ${value}`
    );
  const [job, over, ...others] = of("scheduler_forecast_limit_days");
  assert.match(job!, /^scheduler_forecast_limit_days\{job_name="job",limit="timeout"\} (9|10|11)$/);
  assert.equal(over, 'scheduler_forecast_limit_days{job_name="over",limit="timeout"} 0');
  assert.deepEqual(others, []);
  assert.equal(of("scheduler_forecast_invocations").length, 1);
  assert.equal(of("scheduler_forecast_wall_seconds").length, 1);
  assert.deepEqual(of("scheduler_ledger_rows"), ["scheduler_ledger_rows 0"]);
  // Days later it is nearer.
  const later = await readSamples(sql, t.after(5 * 1440));
  const nearer = later.get('scheduler_forecast_limit_days{job_name="job",limit="timeout"}')!;
  assert.equal(
    nearer,
    samples.get('scheduler_forecast_limit_days{job_name="job",limit="timeout"}')! - 5,
  );
});

t.ledgerTest("an alert says it, with the sentence of the forecast", async ({ sql }) => {
  await addChannel(sql, "webhook");
  await writeDays(sql, today, [["job", growing]]);
  await t.register(sql, "job", { schedule: null, timeout_seconds: 110 });
  await t.pulse(sql, t.NOON);
  await t.pulse(sql, t.after(1));
  const [alert, ...others] = await alerts(sql);
  assert.deepEqual([alert!.rule, alert!.cause, others.length], ["outgrows", "job job", 0]);
  const [delivery] = await sql`select message from scheduler_alert_deliveries`;
  assert.equal(delivery!.message.title, "job outgrows its time");
  assert.match(
    delivery!.message.sentence,
    /^job reaches its timeout of 110 s on 2026-03-1\d \(between /,
  );
  // With more time it is over: the next forecast says so.
  await t.register(sql, "job", { schedule: null, timeout_seconds: 86400 });
  await sql`update scheduler_plans set wall_clock_seconds = null`;
  await t.pulse(sql, t.after(6));
  await t.pulse(sql, t.after(7));
  assert.notEqual(
    (await sql`select ended_at from scheduler_alerts where cause = 'job job'`)[0]!.ended_at,
    null,
  );
});
