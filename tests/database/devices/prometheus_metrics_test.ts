import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import {
  addDevices,
  addRows,
  asService,
  base,
  hourMs,
  random,
  runJob,
} from "../../support/device-metrics.ts";
import {
  byLabel,
  countedDeviceSums,
  deviceSums,
  readSamples,
} from "../../support/exposed-metrics.ts";
import { insertDevices, insertPopEvents } from "../../support/prometheus-metrics.ts";

const metricsTest = (name: string, fn: (db: TestDatabase, service: Sql) => Promise<void>) =>
  Deno.test(name, () => withDatabase(async (db) => await fn(db, asService(db))));

const noCommands = {
  pending: 0,
  sent: 0,
  acknowledged: 0,
  completed: 0,
  failed: 0,
  expired: 0,
  cancelled: 0,
};

metricsTest("without a device every figure is zero", async ({ sql }) => {
  const samples = await readSamples(sql);
  assert.deepEqual(deviceSums(samples), await countedDeviceSums(sql));
  assert.equal(deviceSums(samples).devices, 0);
  assert.equal(samples.get("xmrt_devices_active"), 0);
  assert.equal(samples.get("xmrt_charging_efficiency_avg"), undefined);
  assert.deepEqual(byLabel(samples, "xmrt_commands_by_status"), noCommands);
});

metricsTest("devices count as active while they are online", async ({ sql }, service) => {
  await insertDevices(sql, 3);
  await insertDevices(sql, 2, "offline");
  await insertDevices(sql, 1, "retired");
  const samples = await readSamples(service);
  assert.equal(samples.get("xmrt_devices_total"), 6);
  assert.equal(samples.get("xmrt_devices_active"), 3);
});

metricsTest(
  "commands of the last 24 hours are counted by the status they have now",
  async ({ sql }, service) => {
    const [device] = await insertDevices(sql, 1);
    await sql`
      insert into engagement_commands (device_id, command_type, status, issued_at)
      select ${device!}, 'sync', status, now() - hours * interval '1 hour'
      from (values ('pending', 1), ('failed', 23), ('failed', 2), ('failed', 25)) as commands (status, hours)`;
    const commands = async () => byLabel(await readSamples(service), "xmrt_commands_by_status");
    assert.deepEqual(await commands(), { ...noCommands, pending: 1, failed: 2 });
    await sql`update engagement_commands set status = 'completed' where status = 'pending'`;
    assert.deepEqual(await commands(), { ...noCommands, completed: 1, failed: 2 });
  },
);

metricsTest(
  "days, hours and raw rows together count each row once, whatever of them is computed",
  async ({ sql, admin }, service) => {
    const roll = random(7);
    const devices = await addDevices(sql, roll, 5);
    await addRows(sql, roll, devices, 300);
    const expected = await countedDeviceSums(sql);
    assert.equal(
      deviceSums(await readSamples(service)).pop,
      0,
      "old rows are not looked at before their hours are listed",
    );
    await runJob(service, { granularity: "hour" });
    assert.deepEqual(deviceSums(await readSamples(service)), expected, "hours alone");
    await runJob(service, { granularity: "day" });
    assert.deepEqual(deviceSums(await readSamples(service)), expected, "days");

    // Some days have to be computed again; some hours of others are on the list, with and without a row.
    await admin`update devices.metrics_periods set pending = true
    where granularity = 'day' and period_start = ${new Date(base + 24 * hourMs)}`;
    assert.deepEqual(
      deviceSums(await readSamples(service)),
      expected,
      "the hours of a day that is pending",
    );
    await admin`update devices.metrics_periods set pending = true
    where granularity = 'hour' and period_start >= ${new Date(
      base + 30 * hourMs,
    )} and period_start < ${new Date(base + 40 * hourMs)}`;
    await admin`delete from device_metrics_summary
    where granularity = 'hour' and period_start >= ${new Date(
      base + 30 * hourMs,
    )} and period_start < ${new Date(base + 35 * hourMs)}`;
    assert.deepEqual(
      deviceSums(await readSamples(service)),
      expected,
      "hours that have no row are counted row by row",
    );

    // As if the aggregation had stopped in the middle of the second day.
    await admin`update devices.metrics_state set next_hour = ${new Date(base + 33 * hourMs)}`;
    assert.deepEqual(
      deviceSums(await readSamples(service)),
      expected,
      "everything from next_hour on",
    );
    assert.ok((await readSamples(service)).get("xmrt_metrics_age_seconds")! > 24 * 3600);
  },
);

metricsTest("rows of the open hour are counted at once", async ({ sql }, service) => {
  await runJob(service);
  const [device] = await insertDevices(sql, 1);
  const before = deviceSums(await readSamples(service));
  await insertPopEvents(sql, device!, new Date(), { validated: 3, rejected: 1, pending: 2 });
  const { pop, validated, rejected, points } = deviceSums(await readSamples(service));
  assert.deepEqual([pop, validated, rejected, points], [
    before.pop! + 6,
    before.validated! + 3,
    before.rejected! + 1,
    30,
  ]);
});

metricsTest(
  "the sums do not go back when old raw rows and device rows of the summary are pruned",
  async ({ sql, admin }, service) => {
    const roll = random(8);
    const devices = await addDevices(sql, roll, 5);
    await addRows(sql, roll, devices, 200);
    await runJob(service);
    await runJob(service, { granularity: "day" });
    const before = deviceSums(await readSamples(service));
    await sql`select devices.freeze_metrics(${new Date(base + 96 * hourMs)})`;
    for (const table of ["charging_sessions", "pop_events_ledger", "engagement_commands"]) {
      await admin.unsafe(`delete from ${table}`);
    }
    await admin`delete from device_metrics_summary where device_id is not null`;
    await admin`delete from devices.metrics_periods where period_start < ${new Date(
      base + 96 * hourMs,
    )}`;
    assert.deepEqual(deviceSums(await readSamples(service)), before);
    // The notes of the deletion are taken, and nothing is computed anew: these figures are final.
    await runJob(service);
    await runJob(service, { granularity: "day" });
    assert.deepEqual(deviceSums(await readSamples(service)), before);
  },
);

metricsTest(
  "charging efficiency is that of the last day that is summarized, weighted by energy",
  async ({ sql, admin }, service) => {
    const [device] = await insertDevices(sql, 1);
    const hour = Math.floor(Date.now() / hourMs) * hourMs;
    const charge = async (hoursAgo: number, wattHours: number, percent: number | null) =>
      await sql`insert into charging_sessions (device_id, status, started_at, ended_at, energy_wh, efficiency_percent)
      values (${device!}, 'completed', ${new Date(hour - hoursAgo * hourMs + 60_000)},
        ${new Date(hour - hoursAgo * hourMs + 120_000)}, ${wattHours}, ${percent})`;
    await charge(3, 30, 90);
    await charge(2, 10, 50);
    await charge(2, 70, null);
    await charge(30, 500, 10);
    await runJob(service);
    assert.equal((await readSamples(service)).get("xmrt_charging_efficiency_avg"), 80);
    await admin`delete from charging_sessions where energy_wh <= 30`;
    await runJob(service);
    assert.equal((await readSamples(service)).get("xmrt_charging_efficiency_avg"), undefined);
  },
);
