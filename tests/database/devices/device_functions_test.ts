import assert from "node:assert/strict";
import {
  addCommand,
  addDevice,
  addSession,
  ago,
  command,
  handOver,
  NOON,
  session,
  sweep,
} from "../../support/device-connections.ts";
import { moveClock } from "../../support/clock.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";

Deno.test("the functions that a device's backend calls as service_role", async (test) => {
  await withDatabase(async (db: TestDatabase) => {
    const { sql } = db;
    const service = db.connect("service_role");
    const beat = async (id: string, now = NOON) => {
      await moveClock(sql, now);
      const [row] = await service`select device_heartbeat(${id}) as lives`;
      return row!.lives;
    };
    const commands = async (id: string, limit = 50, now = NOON) => {
      await moveClock(sql, now);
      const [row] = await service`select device_commands(${id}, ${limit}) as list`;
      return row!.list?.map((entry: { id: string }) => entry.id) ?? null;
    };
    const report = async (at: string, id: string, status: string, now = NOON) => {
      await moveClock(sql, now);
      const [row] = await service`
        select device_report_command(${at}, ${id}, ${status}, ${service.json({ said: status })}, ${
        status === "failed" ? "no battery" : null
      }) as status`;
      return row!.status;
    };

    await test.step("a heartbeat moves a live session's time forward, never back", async () => {
      const live = await addSession(sql, await addDevice(sql), null);
      assert.equal(await beat(live, ago(20)), true);
      assert.deepEqual((await session(sql, live)).last_heartbeat_at, ago(20));
      assert.equal(await beat(live, ago(30)), true);
      assert.deepEqual((await session(sql, live)).last_heartbeat_at, ago(20));
    });

    await test.step("a heartbeat of a session that is over says so, and changes nothing", async () => {
      const over = await addSession(sql, await addDevice(sql), ago(400));
      await sweep(sql);
      const before = await session(sql, over);
      assert.equal(await beat(over), false);
      assert.deepEqual(await session(sql, over), before);
      assert.equal(await beat(crypto.randomUUID()), false, "nor was there ever such a session");
    });

    await test.step("heartbeats are HOT updates: no index grows by them", async () => {
      const live = await addSession(sql, await addDevice(sql), ago(100));
      await db.connect().begin(async (transaction) => {
        for (let i = 0; i < 10; i++) {
          await transaction`select devices.heartbeat(${live}, ${ago(50 - i)})`;
        }
        const [row] = await transaction`
          select pg_stat_get_xact_tuples_updated(oid)::int as updated,
            pg_stat_get_xact_tuples_hot_updated(oid)::int as hot
          from pg_class where oid = 'public.device_connection_sessions'::regclass`;
        assert.deepEqual(row, { updated: 10, hot: 10 });
      });
    });

    await test.step("a session gets what was handed over to it, in order, until it acknowledges", async () => {
      const one = await addDevice(sql);
      const [other, live] = [
        await addSession(sql, one, ago(5)),
        await addSession(sql, one, ago(5), { connected_at: ago(60) }),
      ];
      const late = await addCommand(sql, one, { priority: 7, payload: { volume: 3 } });
      const second = await addCommand(sql, one, { priority: 2, issued_at: ago(50) });
      const first = await addCommand(sql, one, { priority: 2, issued_at: ago(90) });
      assert.deepEqual(await commands(live), [], "nothing is handed over yet");
      await handOver(sql);
      await addCommand(sql, one);
      assert.deepEqual(await commands(live), [first, second, late]);
      assert.deepEqual(await commands(live), [first, second, late], "asking takes nothing away");
      assert.deepEqual(await commands(live, 2), [first, second]);
      assert.deepEqual(await commands(other), [], "they were handed over to another session");
      assert.equal(await report(live, first, "acknowledged"), "acknowledged");
      assert.deepEqual(await commands(live), [second, late]);
      const [row] = await service`select device_commands(${live}, 50) -> 1 as last`;
      const { issued_at: _, ...rest } = row!.last;
      assert.deepEqual(rest, {
        id: late,
        command_type: "notify",
        payload: { volume: 3 },
        priority: 7,
        expires_at: null,
        handed_over_count: 1,
      });
    });

    await test.step("a device gets none whose time is up, nor when its session is over or it is suspended", async () => {
      const one = await addDevice(sql);
      const live = await addSession(sql, one, ago(5));
      const short = await addCommand(sql, one, { expires_at: ago(-10) });
      await handOver(sql);
      assert.deepEqual(await commands(live), [short]);
      assert.deepEqual(await commands(live, 50, ago(-10)), []);
      await sql`update devices set status = 'suspended' where id = ${one}`;
      assert.equal(await commands(live), null);
      await sql`update devices set status = 'online' where id = ${one}`;
      await sweep(sql, ago(-400));
      assert.equal(await commands(live), null);
      assert.equal(await commands(crypto.randomUUID()), null);
    });

    await test.step("a command is acknowledged and finished once, however often that is said", async () => {
      const one = await addDevice(sql);
      const live = await addSession(sql, one, ago(5));
      const id = await addCommand(sql, one);
      assert.equal(await report(live, id, "completed"), "pending", "it was never handed over");
      await handOver(sql);
      assert.equal(await report(live, id, "acknowledged", ago(-1)), "acknowledged");
      assert.equal(await report(live, id, "acknowledged", ago(-2)), "acknowledged");
      assert.equal(await report(live, id, "failed", ago(-3)), "failed");
      const over = await command(sql, id);
      assert.deepEqual(
        [over.status, over.acknowledged_at, over.finished_at, over.error_message, over.result],
        ["failed", ago(-1), ago(-3), "no battery", { said: "failed" }],
      );
      for (const status of ["failed", "completed", "acknowledged"]) {
        assert.equal(await report(live, id, status, ago(-4)), "failed");
      }
      assert.deepEqual(await command(sql, id), over);
    });

    await test.step("a device may finish without acknowledging, and after its session is over", async () => {
      const one = await addDevice(sql);
      const live = await addSession(sql, one, ago(5));
      const id = await addCommand(sql, one);
      await handOver(sql);
      await sweep(sql, ago(-400));
      assert.equal(await report(live, id, "completed"), "completed");
      const { acknowledged_at, finished_at } = await command(sql, id);
      assert.deepEqual([acknowledged_at, finished_at], [NOON, NOON]);
    });

    await test.step("an ended command stays ended, and a device cannot report another device's commands", async () => {
      const [one, two] = [await addDevice(sql), await addDevice(sql)];
      const [mine, theirs] = [
        await addSession(sql, one, ago(5)),
        await addSession(sql, two, ago(5)),
      ];
      const expired = await addCommand(sql, one, { status: "expired", finished_at: ago(1) });
      assert.equal(await report(mine, expired, "completed"), "expired");
      const id = await addCommand(sql, one);
      await handOver(sql);
      assert.equal(await report(theirs, id, "completed"), null);
      assert.equal(await report(crypto.randomUUID(), id, "completed"), null);
      assert.equal((await command(sql, id)).status, "sent");
    });

    await test.step("reports that make no sense are refused with a message", async () => {
      const id = crypto.randomUUID();
      assert.match((await refusal(commands(id, 501))).message, /p_limit must be 1 to 500, got 501/);
      assert.match(
        (await refusal(report(id, id, "expired"))).message,
        /must be acknowledged, compl/,
      );
    });

    await test.step("other roles may not call them", async () => {
      const id = crypto.randomUUID();
      for (const role of ["anon", "authenticated"] as const) {
        const caller = db.connect(role);
        for (
          const call of [
            `device_heartbeat('${id}')`,
            `device_commands('${id}')`,
            `device_report_command('${id}', '${id}', 'completed')`,
            "monitor_device_connections_sweep()",
            "monitor_device_connections_expire()",
            "monitor_device_connections_hand_over()",
          ]
        ) assert.equal((await refusal(caller.unsafe(`select ${call}`))).code, "42501", call);
      }
    });
  });
});
