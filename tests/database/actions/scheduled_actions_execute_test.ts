import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import {
  action,
  addDevice,
  history,
  later,
  NOON,
  runJob,
  schedule,
} from "../../support/scheduled-actions.ts";

Deno.test("a due reminder adds one line to scheduler_activity, and a second run adds none", () =>
  withDatabase(async ({ sql }) => {
    const { id, idempotency_key } = await schedule(sql, "reminder", {
      message: "water\nthe plants",
      payload: { room: 4 },
    });
    await schedule(sql, "reminder", { due_at: later(1) });
    const figures = await runJob(sql);
    assert.equal(figures.summary, "1 executed (1 reminder)");
    assert.equal(figures.notable, undefined);
    await runJob(sql);
    const lines = await sql`select source, severity, message, details from scheduler_activity`;
    assert.deepEqual(
      lines.map(({ details: { due_at: _, ...details }, ...line }) => [line, details]),
      [
        [
          { source: "reminder", severity: "info", message: "water the plants" },
          { room: 4, action_id: id, idempotency_key },
        ],
      ],
    );
    assert.deepEqual(await history(sql, id), [`completed 1 ${NOON.toISOString()}`]);
    assert.equal((await action(sql, id)).status, "completed");
  }));

Deno.test("a due command is written once, under the occurrence's key; a command without its device is dead, the others are written", () =>
  withDatabase(async ({ sql }) => {
    const [device, gone] = [await addDevice(sql), await addDevice(sql)];
    const good = await schedule(sql, "engagement_command", {
      device_id: device,
      payload: { text: "hello" },
      command_expires_seconds: 60,
    });
    const bad = await schedule(sql, "engagement_command", { device_id: gone, name: "greet" });
    await sql`delete from devices where id = ${gone}`;
    const figures = await runJob(sql);
    assert.equal(
      figures.summary,
      `1 executed (1 command); 1 dead, first greet: there is no device ${gone} any more`,
    );
    assert.equal(figures.notable, "error");
    assert.deepEqual(figures.deadActions.map(({ id, name }) => [id, name]), [[bad.id, "greet"]]);
    const commands =
      await sql`select id, device_id, command_type, payload, status, issued_at, expires_at from engagement_commands`;
    assert.deepEqual([...commands], [{
      id: good.idempotency_key,
      device_id: device,
      command_type: "notify",
      payload: { text: "hello" },
      status: "pending",
      issued_at: NOON,
      expires_at: later(60),
    }]);
    assert.deepEqual(await history(sql, bad.id), [`dead 1 ${NOON.toISOString()}`]);
    assert.equal((await action(sql, bad.id)).status, "dead");
  }));
