import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import {
  addDevices,
  addRows,
  assertExact,
  asService,
  at,
  fallBehind,
  hourMs,
  random,
  runJob,
  sqlSteps,
} from "../../support/device-metrics.ts";

const openHour = () => Math.floor(Date.now() / hourMs) * hourMs;

Deno.test("missed hours are caught up newest first, a bounded number a run, with progress", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    await fallBehind(db, 100);
    const progress: unknown[] = [];
    const first = await runJob(service, { maxHours: 30 }, {
      reportProgress: (value) => progress.push(value.hours),
    });
    assert.equal(first.hours, 30);
    assert.equal(first.hoursLeft, 70);
    assert.equal(first.stopped, "limit");
    assert.equal(first.caughtUpTo && Date.parse(first.caughtUpTo), openHour() - 100 * hourMs);
    assert.match(first.summary, /^30 hours, 0 device rows, caught up to .*, 70 hours left$/);
    assert.deepEqual(progress, [6, 18, 30]);
    const [row] = await db.sql`select min(period_start) as first, count(*)::int as rows
      from public.device_metrics_summary where granularity = 'hour'`;
    assert.deepEqual(row, { first: new Date(openHour() - 30 * hourMs), rows: 30 });

    const second = await runJob(service, { maxHours: 50 });
    assert.ok(second.hours === 50 && second.hoursLeft >= 20);
    const last = await runJob(service);
    assert.equal(last.hoursLeft, 0);
    assert.equal(last.stopped, "done");
    assert.equal(last.caughtUpTo && Date.parse(last.caughtUpTo), openHour());
    const [all] = await db
      .sql`select count(*)::int as rows from public.device_metrics_summary where granularity = 'hour'`;
    assert.equal(all!.rows, 100);
  }));

Deno.test("a run whose time runs out stops between steps, and the next one carries on", () =>
  withDatabase(async (db) => {
    const roll = random(5);
    const service = asService(db);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 3), 30);
    let left = 40_000;
    const first = await runJob(service, { granularity: "day" }, {
      remainingMs: () => (left -= 10_000),
    });
    assert.equal(first.stopped, "time");
    assert.ok(first.hours > 0 && first.hoursLeft > 0 && first.days === 0);
    assert.match(first.summary, /left, stopped for want of time$/);
    await runJob(service, { granularity: "day" });
    await assertExact(db.sql);
  }));

Deno.test("a run that is told to stop begins no further step, and keeps its rows", () =>
  withDatabase(async (db) => {
    await fallBehind(db, 48);
    const stop = new AbortController();
    const result = await runJob(asService(db), {}, {
      signal: stop.signal,
      reportProgress: () => stop.abort(),
    });
    assert.deepEqual([result.hours, result.hoursLeft, result.stopped], [6, 42, "time"]);
  }));

Deno.test("a day is computed when it is over and none of its hours is pending", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const [device] = await addDevices(db.sql, random(1), 1);
    await db.sql`insert into public.device_activity_log ${
      db.sql(Array.from({ length: 72 }, (_, hour) => ({
        device_id: device!,
        occurred_at: at(hour + 0.5),
        activity_type: "heartbeat",
      })))
    }`;
    const days = async () => {
      const rows = await db.sql`select period_start from public.device_metrics_summary
        where granularity = 'day' and device_id is null order by 1`;
      return rows.map((row) => row.period_start.toISOString().slice(0, 10));
    };
    const steps = sqlSteps(service);
    await steps.begin();
    await steps.hours(1000, { from: at(24).toISOString(), to: at(72).toISOString() });
    await steps.hours(1, { from: at(0).toISOString(), to: at(24).toISOString() });
    assert.equal((await steps.days(10)).days, 2);
    assert.deepEqual(await days(), ["2026-03-02", "2026-03-03"]);
    await runJob(service, { granularity: "day" });
    assert.deepEqual(await days(), ["2026-03-01", "2026-03-02", "2026-03-03"]);
    await assertExact(db.sql);

    await fallBehind(db, 1);
    await runJob(service, { granularity: "day" });
    const [today] = await db.sql`select count(*)::int as rows from public.device_metrics_summary
      where granularity = 'day' and period_start > now() - interval '24 hours'`;
    assert.equal(today!.rows, 0);
  }));

Deno.test("the hourly job leaves days to the daily one", () =>
  withDatabase(async (db) => {
    const roll = random(7);
    const service = asService(db);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 3), 20);
    assert.equal((await runJob(service)).days, 0);
    await assertExact(db.sql, { days: false });
    const daily = await runJob(service, { granularity: "day" });
    assert.ok(daily.days >= 3);
    assert.match(daily.summary, /^[\d,]+ hours?, \d+ days?, [\d,]+ device rows, caught up to /);
    await assertExact(db.sql);
  }));

Deno.test("a range recomputes the hours that it touches and their days, and nothing else", () =>
  withDatabase(async (db) => {
    const roll = random(8);
    const service = asService(db);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 3), 60);
    await runJob(service, { granularity: "day" });
    // Figures that no raw row explains, as if the code had been wrong.
    await db.sql`update public.device_metrics_summary set activity_events = 1000`;
    const result = await runJob(service, {
      from: at(25.5).toISOString(),
      to: at(27.25).toISOString(),
    });
    assert.deepEqual([result.hours, result.days, result.stopped], [3, 1, "done"]);
    const wrong = async (from: number, to: number) => {
      const [row] = await db.sql`select count(*)::int as rows from public.device_metrics_summary
        where granularity = 'hour' and activity_events = 1000 and period_start >= ${at(from)}
          and period_start < ${at(to)}`;
      return row!.rows;
    };
    assert.equal(await wrong(25, 28), 0);
    const [others] = await db.sql`select count(*)::int as rows from public.device_metrics_summary
      where granularity = 'hour' and activity_events <> 1000
        and (period_start < ${at(25)} or period_start >= ${at(28)})`;
    assert.equal(others!.rows, 0);
    await runJob(service, { from: at(-1).toISOString(), to: at(24 * 6).toISOString() });
    await assertExact(db.sql);
  }));

Deno.test("a range is computed before an older backlog, which stays", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    await fallBehind(db, 10);
    await sqlSteps(service).begin();
    const result = await runJob(service, { from: at(0).toISOString(), to: at(2).toISOString() });
    assert.deepEqual([result.hours, result.hoursLeft], [2, 0]);
    assert.equal((await runJob(service)).hours >= 10, true);
  }));

Deno.test("the hour that is still open is recomputed on demand and computed again when it is over", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const [device] = await addDevices(db.sql, random(1), 1);
    await db
      .sql`insert into public.device_activity_log (device_id, activity_type) values (${device!}, 'x')`;
    const hour = new Date(openHour());
    const range = {
      from: hour.toISOString(),
      to: new Date(hour.getTime() + hourMs).toISOString(),
    };
    assert.equal((await runJob(service, range)).hours, 1);
    const [row] = await db.sql`select p.pending, s.next_hour > p.period_start as passed
      from devices.metrics_periods p, devices.metrics_state s
      where p.granularity = 'hour' and p.period_start = ${hour}`;
    assert.deepEqual(row, { pending: false, passed: false });
  }));

Deno.test("figures before the freeze are final, though their raw rows go", () =>
  withDatabase(async (db) => {
    const roll = random(10);
    const service = asService(db);
    await addRows(db.sql, roll, await addDevices(db.sql, roll, 3), 30);
    const freeze = (before: Date) => db.sql`select devices.freeze_metrics(${before}) as before`;
    await assert.rejects(freeze(at(48)), { code: "SD103" });
    await sqlSteps(service).begin();
    await assert.rejects(freeze(at(48)), { code: "SD103" });
    await runJob(service, { granularity: "day" });
    const figures = () =>
      db.sql`select * from public.device_metrics_summary where period_start < ${at(48)} order by
        granularity, period_start, device_key`;
    const before = await figures();
    assert.deepEqual([...await freeze(at(50))], [{ before: at(48) }]);
    await db.sql`delete from public.device_activity_log where occurred_at < ${at(48)}`;
    await db.sql`delete from public.pop_events_ledger where occurred_at < ${at(48)}`;
    await runJob(service, { granularity: "day" });
    assert.deepEqual(await figures(), before);
    await assert.rejects(
      sqlSteps(service).recompute(at(47).toISOString(), at(60).toISOString()),
      {
        code: "22023",
        message: /^Cannot recompute device metrics: from must not be before 2026-03-03/,
      },
    );
    // The freeze only ever moves forward.
    assert.deepEqual([...await freeze(at(24))], [{ before: at(48) }]);
    await assert.rejects(freeze(new Date()), { code: "22023" });
  }));

Deno.test("bounds that cannot be meant are refused with the reason", () =>
  withDatabase(async (db) => {
    const service = asService(db);
    const refused = (call: Promise<unknown>, message: RegExp) =>
      assert.rejects(call, { code: "22023", message });
    const steps = sqlSteps(service);
    const soon = new Date(openHour() + hourMs + 1).toISOString();
    await refused(steps.hours(0), /p_max_hours must be 1 to 1000, got 0$/);
    await refused(steps.days(400), /p_max_days must be 1 to 366, got 400$/);
    await refused(
      steps.recompute(at(2).toISOString(), at(2).toISOString()),
      /from must be before to/,
    );
    await refused(steps.recompute("-infinity", at(2).toISOString()), /from must be before to/);
    await refused(
      steps.recompute(at(2).toISOString(), soon),
      /to must not be after the end of the current hour/,
    );
    await refused(steps.recompute("2019-12-31T00:00:00Z", at(2).toISOString()), /not be before/);
  }));
