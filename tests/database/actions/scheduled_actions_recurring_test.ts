import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import {
  action,
  addDevice,
  history,
  later,
  runJob,
  schedule,
  sqlActions,
} from "../../support/scheduled-actions.ts";

const at = (text: string) => new Date(text);

Deno.test("a recurring action is executed at its local time, on the days of clock changes once as well", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "reminder", {
      schedule: "30 2 * * *",
      time_zone: "America/New_York",
      now: at("2026-03-07T00:00:00Z"),
    });
    for (const day of ["07", "08", "09"]) {
      for (const hour of ["06:30", "07:00", "07:30", "12:00"]) {
        await runJob(sql, { at: at(`2026-03-${day}T${hour}:00Z`) });
      }
    }
    assert.deepEqual(await history(sql, id), [
      "completed 1 2026-03-07T07:30:00.000Z",
      "completed 1 2026-03-08T07:00:00.000Z", // 02:30 does not exist: the first minute after the gap
      "completed 1 2026-03-09T06:30:00.000Z",
    ]);
    const row = await action(sql, id);
    assert.deepEqual([row.status, row.due_at], ["scheduled", at("2026-03-10T06:30:00Z")]);
  }));

Deno.test("after an outage the latest occurrence is executed once, and the next one is in the future", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "reminder", {
      schedule: "0 * * * *",
      now: at("2026-03-02T07:30:00Z"),
    });
    await runJob(sql, { at: at("2026-03-02T12:20:00Z") });
    await runJob(sql, { at: at("2026-03-02T12:25:00Z") });
    assert.deepEqual(await history(sql, id), [
      "missed 0 2026-03-02T08:00:00.000Z",
      "completed 1 2026-03-02T12:00:00.000Z",
    ]);
    const [lines] = await sql`select count(*)::int as count from scheduler_activity`;
    assert.equal(lines!.count, 1);
    assert.deepEqual((await action(sql, id)).due_at, at("2026-03-02T13:00:00Z"));
  }));

Deno.test("called occurrences are caught up in the same way, and have their own keys", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function", {
      schedule: "*/5 * * * *",
      now: at("2026-03-02T11:57:00Z"),
    });
    const keys: string[] = [];
    const calls = {
      edge_function: (claimed: { idempotency_key: string }) => {
        keys.push(claimed.idempotency_key);
        return Promise.resolve({ outcome: "completed" as const, http_status: 200 });
      },
    };
    for (const time of ["12:00:10", "12:05:10", "12:20:10"]) {
      await runJob(sql, { at: at(`2026-03-02T${time}Z`), calls });
    }
    assert.deepEqual(await history(sql, id), [
      "completed 1 2026-03-02T12:00:00.000Z",
      "completed 1 2026-03-02T12:05:00.000Z",
      "missed 0 2026-03-02T12:10:00.000Z",
      "completed 1 2026-03-02T12:20:00.000Z",
    ]);
    const known = await sql`
      select idempotency_key as key from scheduled_action_occurrences where status = 'completed' order by scheduled_for`;
    assert.deepEqual(keys, known.map((row) => row.key));
    assert.equal(new Set(keys).size, 3);
  }));

Deno.test("an occurrence whose run was killed while it called keeps its time and key while later ones come due", () =>
  withDatabase(async ({ sql }) => {
    const { id, idempotency_key: key } = await schedule(sql, "edge_function", {
      schedule: "*/5 * * * *",
      now: at("2026-03-02T11:57:00Z"),
    });
    const claim = (time: string) =>
      sqlActions(sql, () => at(`2026-03-02T${time}Z`)).claim({
        kinds: ["edge_function"],
        limit: 10,
        perReceiver: 10,
        leaseSeconds: 170,
        exceptReceivers: [],
      });
    assert.equal((await claim("12:00:10")).actions[0]!.idempotency_key, key);
    assert.equal((await claim("12:10:10")).actions[0]!.idempotency_key, key);
    assert.deepEqual(await history(sql, id), [], "nobody knows whether the first call arrived");
  }));

Deno.test("a dead occurrence is recorded, and the recurrence goes on", () =>
  withDatabase(async ({ sql }) => {
    const device = await addDevice(sql);
    const { id } = await schedule(sql, "engagement_command", {
      schedule: "0 12 * * *",
      device_id: device,
      now: at("2026-03-01T13:00:00Z"),
    });
    await sql`delete from devices`;
    await runJob(sql, { at: at("2026-03-02T12:01:00Z") });
    const row = await action(sql, id);
    assert.deepEqual([row.status, row.attempts], ["scheduled", 0]);
    assert.match(row.last_error, /there is no device/);
    await sql`insert into devices (id, device_fingerprint) values (${device}, 'is back')`;
    await runJob(sql, { at: at("2026-03-03T12:01:00Z") });
    assert.deepEqual(await history(sql, id), [
      "dead 1 2026-03-02T12:00:00.000Z",
      "completed 1 2026-03-03T12:00:00.000Z",
    ]);
    assert.equal((await action(sql, id)).last_error, null);
  }));

Deno.test("an occurrence that is retried keeps its time and key while later ones come due", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "edge_function", {
      schedule: "0 * * * *",
      now: at("2026-03-02T11:30:00Z"),
    });
    const keys = new Set<string>();
    let status = 500;
    const calls = {
      edge_function: (claimed: { idempotency_key: string }) => {
        keys.add(claimed.idempotency_key);
        return Promise.resolve(
          status === 200
            ? { outcome: "completed" as const, http_status: 200 }
            : { outcome: "failed" as const, http_status: 500, error: "HTTP 500" },
        );
      },
    };
    await runJob(sql, { at: at("2026-03-02T12:00:00Z"), calls });
    await runJob(sql, { at: at("2026-03-02T14:10:00Z"), calls });
    status = 200;
    await runJob(sql, { at: at("2026-03-02T15:30:00Z"), calls });
    assert.equal(keys.size, 1);
    assert.deepEqual(await history(sql, id), ["completed 3 2026-03-02T12:00:00.000Z"]);
    await runJob(sql, { at: at("2026-03-02T15:35:00Z"), calls });
    assert.deepEqual(await history(sql, id), [
      "completed 3 2026-03-02T12:00:00.000Z",
      "missed 0 2026-03-02T13:00:00.000Z",
      "completed 1 2026-03-02T15:00:00.000Z",
    ]);
  }));

Deno.test("a schedule that can no longer be read ends its action; others are executed", () =>
  withDatabase(async ({ sql }) => {
    const { id } = await schedule(sql, "reminder", { schedule: "0 12 * * *", now: later(-60) });
    await sql`update scheduled_actions set time_zone = 'Atlantis/Capital' where id = ${id}`;
    await schedule(sql, "reminder");
    const figures = await runJob(sql, { at: later(300) });
    assert.equal(figures.completed, 2);
    const row = await action(sql, id);
    assert.deepEqual([row.status, row.last_error], [
      "dead",
      "the schedule has no further occurrence, or can no longer be read",
    ]);
  }));
