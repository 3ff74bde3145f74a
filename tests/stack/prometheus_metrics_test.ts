// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { ruleFiles } from "../support/alert-rules.ts";
import { beat, fire, registerJob, untilStatus } from "../support/faults.ts";
import { exposedFamilies, samplesOf } from "../support/exposed-metrics.ts";
import { hasPrometheus, withPrometheus } from "../support/prometheus.ts";
import { insertDevices, insertPopEvents } from "../support/prometheus-metrics.ts";
import { checkMetrics, hasPromtool } from "../support/promtool.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const token = "the-token-of-the-scraper-0123456789";
const rules = ruleFiles;

Deno.test("prometheus-metrics", (test) =>
  withStack({ cron: false, seed: true, env: { METRICS_TOKEN: token } }, async (stack) => {
    const { apiUrl, sql } = stack;
    const url = `${apiUrl}/functions/v1/prometheus-metrics`;
    const scrape = (init: RequestInit = {}) =>
      fetch(url, { headers: { authorization: `Bearer ${token}` }, ...init });
    const samples = async () => samplesOf(await (await scrape()).text());

    await test.step("shows a run of the scheduler and what devices did, and leaves no row in the ledger", async () => {
      await registerJob(sql, "fickle");
      await untilStatus(sql, await fire(sql, "fickle"), "completed");
      await beat(sql);
      const before = await samples();
      const [device] = await insertDevices(sql, 1);
      await insertPopEvents(sql, device!, new Date(), { validated: 2, pending: 1 });
      const after = await samples();
      const grown = (name: string) => after.get(name)! - before.get(name)!;
      assert.equal(after.get('scheduler_runs_total{job_name="fickle",status="completed"}'), 1);
      assert.equal(after.get('scheduler_run_duration_seconds_count{job_name="fickle"}'), 1);
      assert.equal(after.get('scheduler_fire_lag_seconds_bucket{job_name="fickle",le="1"}'), 1);
      assert.ok(after.get('scheduler_last_success_age_seconds{job_name="fickle"}')! < 60);
      assert.ok(after.get("scheduler_pulse_age_seconds")! < 60);
      assert.deepEqual(
        ["xmrt_devices_total", "xmrt_devices_active", "xmrt_pop_events_total"].map(grown),
        [1, 1, 3],
      );
      assert.deepEqual(["xmrt_pop_events_validated", "xmrt_pop_points_total"].map(grown), [2, 20]);
      const [ledger] = await sql`select count(*)::int as runs from scheduler_runs`;
      assert.equal(ledger!.runs, 1);
    });

    await test.step("shows what it can where a source fails, and counts the source", async () => {
      assert.equal((await samples()).get("scheduler_metric_sources_failed"), 0);
      await sql`alter table devices rename to gone`;
      const found = await samples();
      await sql`alter table gone rename to devices`;
      assert.equal(found.get("scheduler_metric_sources_failed"), 1);
      assert.equal(found.get("xmrt_devices_total"), undefined);
      assert.equal(found.get("scheduled_actions_waiting")! > 0, true);
      assert.equal(found.get('scheduler_runs_total{job_name="fickle",status="completed"}'), 1);
    });

    await test.step("refuses calls without a credential, and every method but GET and HEAD", async () => {
      const head = await scrape({ method: "HEAD" });
      assert.equal(head.status, 200);
      for (
        const [init, status] of [
          [{ headers: {} }, 401],
          [{ headers: { authorization: `Bearer ${token}x` } }, 401],
          [{ method: "POST", body: "{}" }, 405],
        ] as const
      ) {
        const response = await scrape(init);
        assert.equal(response.status, status);
        assert.equal(typeof (await response.json()).error.message, "string");
      }
    });

    await test.step("503 with words while the database is down", async () => {
      await stack.postgres.kill();
      const response = await scrape();
      const { error } = await response.json();
      assert.deepEqual([response.status, error.code], [503, "database_unavailable"]);
      await stack.postgres.start();
      await waitUntil("a scrape", async () => {
        const again = await scrape();
        await again.body?.cancel();
        return again.status === 200;
      }, 40_000);
    });
  }));

Deno.test({
  name:
    "the real Prometheus scrapes the running stack, knows its types, and evaluates the alert rules; promtool check metrics is silent",
  ignore: !hasPrometheus || !hasPromtool,
  fn: () =>
    withStack(
      { cron: false, seed: true, env: { METRICS_TOKEN: token } },
      async ({ apiUrl, sql }) => {
        const url = `${apiUrl}/functions/v1/prometheus-metrics`;
        // Their batches are due from the first moment on, which is worth an alert.
        await sql`update organizations set enabled = false`;
        await registerJob(sql, "fickle");
        await untilStatus(sql, await fire(sql, "fickle"), "completed");
        const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
        assert.equal(await checkMetrics(await response.text()), "");

        await withPrometheus({ url, token, rules }, async ({ api, query }) => {
          const target = await waitUntil("the target to be up", async () => {
            const { activeTargets: [target] } = await api("targets");
            return target?.health !== "unknown" && target;
          }, 20_000);
          assert.deepEqual([target.health, target.lastError], ["up", ""]);

          const runs = 'scheduler_runs_total{job_name="fickle",status="completed"}';
          const [sample] = await waitUntil("the first samples", async () => {
            const found = await query(runs);
            return found.length > 0 && found;
          });
          assert.deepEqual(sample, {
            labels: {
              __name__: "scheduler_runs_total",
              job: "daybook",
              instance: new URL(url).host,
              job_name: "fickle",
              status: "completed",
            },
            value: 1,
          });
          const [{ devices }] =
            await sql`select count(*)::int as devices from devices` as unknown as [
              { devices: number },
            ];
          assert.equal((await query("xmrt_devices_total"))[0]?.value, devices);

          const metadata = await api("metadata");
          const families = await exposedFamilies(sql);
          assert.ok(families.size > 30);
          for (const [name, { type, help }] of families) {
            assert.deepEqual(metadata[name]?.[0], { type, help, unit: "" }, name);
          }
          // The job is registered as if a year ago, and no pulse has beaten since.
          const pending = async () =>
            (await api("alerts")).alerts.map(({ labels }: { labels: Record<string, string> }) =>
              labels.alertname
            );
          await waitUntil("the alert of a dead pulse", async () =>
            (await pending()).join() === "SchedulerPulseDead");
          await beat(sql);
          await waitUntil("the rules to be evaluated, and none of them to hold", async () => {
            const { groups } = await api("rules");
            const loaded: { name: string; health: string; lastError?: string }[] = groups.flatMap((
              group: { rules: [] },
            ) =>
              group.rules
            );
            assert.equal(loaded.length, 24);
            for (const { name, lastError } of loaded) assert.equal(lastError ?? "", "", name);
            return loaded.every(({ health }) => health === "ok") && (await pending()).length === 0;
          });
        });
      },
    ),
});
