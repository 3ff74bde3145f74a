import assert from "node:assert/strict";
import { auditOf, brief, readEntries } from "../../support/audit.ts";

const read = async (name: string) =>
  readEntries(
    name,
    await Deno.readTextFile(new URL(`../../support/schedules/${name}`, import.meta.url)),
  ).entries;

/** The one finding of a list whose jobs start together, without its figures. */
async function sharedMinutesOf(name: string) {
  const { findings } = auditOf(await read(name));
  assert.deepEqual(findings.map(({ rule, certainty }) => [rule, certainty]), [
    ["shared-minutes", "proven"],
  ]);
  return findings[0]!;
}

Deno.test("the nine entries of the daily batch get what their audit found, and nothing that is not so", async () => {
  const { findings } = auditOf(await read("daily-batch-audited.tsv"), {
    works: [{ fromHour: 3, toHour: 6, zone: "America/New_York" }],
  });
  assert.deepEqual(findings.map(brief), [
    "same-work-same-times, proven: daily-batch-midnight-edt, daily-batch-trigger-12am-est",
    "shared-minutes, proven: daily-batch-trigger-resilient, daily-batch-trigger-every-5min, " +
    "batch-reconciler-cleanup, batch-reconciler-every-10min, daily-batch-midnight-edt, " +
    "daily-batch-midnight-est, daily-batch-trigger-12am-est, daily-scheduler-3am-edt, daily-scheduler-3am-est",
    "same-work-covered, proven: daily-batch-trigger-every-5min, daily-batch-trigger-resilient, " +
    "daily-batch-midnight-edt, daily-batch-midnight-est, daily-batch-trigger-12am-est, " +
    "daily-scheduler-3am-edt, daily-scheduler-3am-est",
    "idle-hours, proven: daily-batch-trigger-resilient, daily-batch-trigger-every-5min, " +
    "batch-reconciler-cleanup, batch-reconciler-every-10min",
    "idle-hours, proven: daily-batch-midnight-edt, daily-batch-midnight-est, daily-batch-trigger-12am-est",
    "same-work-covered, proven: batch-reconciler-every-10min, batch-reconciler-cleanup",
    "zone-pair, proven: daily-batch-midnight-edt, daily-batch-midnight-est",
    "zone-pair, proven: daily-scheduler-3am-edt, daily-scheduler-3am-est",
    "name-says-other-time, proven: daily-batch-midnight-edt",
    "name-says-other-time, proven: daily-batch-midnight-est",
    "idle-hours, proven: daily-scheduler-3am-edt",
    "utc-called-local, likely: daily-batch-trigger-12am-est",
  ]);
});

Deno.test("without being told when there is work the audit claims no idle hours", async () => {
  const { findings } = auditOf(await read("daily-batch-audited.tsv"));
  assert.ok(findings.length > 5);
  assert.deepEqual(findings.filter(({ rule }) => rule === "idle-hours"), []);
});

Deno.test("in the ecosystem's list the scheduled actions share the minute of every other job", async () => {
  const { evidence, entries } = await sharedMinutesOf("ecosystem.tsv");
  assert.equal(entries.length, 8);
  assert.deepEqual(evidence, [
    "execute-scheduled-actions (*/5 * * * * UTC) shares every minute of every other entry",
  ]);
});

Deno.test("in the gateway's list daily jobs collide with aggregate-hourly, and two have the same times", async () => {
  const { evidence, entries } = await sharedMinutesOf("gateway-workers.tsv");
  assert.ok(!entries.some(({ name }) => name === "orchestration-retry-failed"));
  assert.deepEqual(evidence, [
    "process-sequences and orchestration-batch have the same times: 0 */6 * * * UTC",
    "aggregate-hourly (0 * * * * UTC) shares every minute of 11 of the 12 others",
    // The 1st of a month or a Monday at 00:00 has no more: cohorts come at 06:00.
    "most at once: 4, at 00:00 UTC",
    "3 or more at :00 (up to 4)",
  ]);
});

Deno.test("in the coordinated list many share :00, :15, :30 and :45; services that never end share nothing", async () => {
  const { evidence, entries } = await sharedMinutesOf("coordination.tsv");
  assert.ok(!entries.some(({ schedule }) => schedule === "@continuous"));
  const crowded = evidence.at(-1)!;
  for (const minute of [":00", ":15", ":30", ":45"]) {
    assert.ok(crowded.includes(`${minute} (up to `), `${minute}: ${crowded}`);
  }
  assert.equal(evidence.at(-2), "most at once: 7, at 02:00 UTC");
});

Deno.test("the pollers overdraw one budget at the old intervals and none at the new ones", async () => {
  const { findings } = auditOf(await read("x-api-pollers.tsv"));
  assert.deepEqual(findings.map(brief), [
    "budget-overdrawn, proven: validateEntries, fastDeleteSweep",
  ]);
  const [{ evidence, entries }] = findings as [typeof findings[number]];
  assert.deepEqual(evidence, [
    "25 calls in 15 minutes against 15: validateEntries 15, fastDeleteSweep 10",
  ]);
  assert.deepEqual(entries.map(({ section }) => section), ["before", "before"]);
});

Deno.test("Daybook's own jobs share no minute without a reason", async () => {
  const text = await Deno.readTextFile(
    new URL("../../../supabase/schedules.json", import.meta.url),
  );
  const { entries } = readEntries("supabase/schedules.json", text);
  assert.deepEqual(auditOf(entries).findings.map(brief), []);
  const unsaid = entries.map(({ shares: _, ...entry }) => entry);
  assert.match(
    auditOf(unsaid).findings.map(brief).join(),
    /shared-minutes, proven: .*execute-scheduled-actions/,
  );
});
