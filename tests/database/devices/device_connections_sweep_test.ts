import assert from "node:assert/strict";
import {
  addDevice,
  addSession,
  ago,
  device,
  NOON,
  session,
  sweep,
  sweepInSteps,
} from "../../support/device-connections.ts";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { impatient } from "../../support/scheduler.ts";

Deno.test("the sweep of the connections", async (test) => {
  await withDatabase(async (db) => {
    const { sql } = db;
    /** A step that begins with nothing in the tables. */
    const step = (name: string, fn: () => Promise<void>) =>
      test.step(name, async () => {
        await sql`truncate devices cascade`;
        await fn();
      });

    await step("ends a silent session at its last heartbeat, or where it began", async () => {
      const one = await addDevice(sql);
      const silent = await addSession(sql, one, ago(301));
      const never = await addSession(sql, one, null);
      const live = await addSession(sql, one, ago(300));
      await sql`delete from devices.metrics_changes`;
      const report = await sweep(sql);
      assert.equal(report.sessions_ended, 2);
      const notes = await sql`select * from devices.metrics_changes`;
      assert.deepEqual([...notes], [], "no hour's figures change by it");
      const ended = await session(sql, silent);
      assert.deepEqual(
        [ended.status, ended.disconnected_at, ended.last_heartbeat_at, ended.disconnect_reason],
        ["timed_out", ago(301), ago(301), "heartbeat_timeout"],
      );
      assert.deepEqual((await session(sql, never)).disconnected_at, ago(3600));
      const left = await session(sql, live);
      assert.deepEqual([left.status, left.disconnected_at], ["active", null]);
      assert.deepEqual(await sweep(sql), { ...report, sessions_ended: 0, devices_online: 0 });
    });

    await step("waits for a first heartbeat as long as for any other", async () => {
      const young = await addSession(sql, await addDevice(sql), null, { connected_at: ago(299) });
      await sweep(sql);
      assert.equal((await session(sql, young)).status, "active");
    });

    await step(
      "brings a heartbeat from the future back to now, and ends the session after that",
      async () => {
        const one = await addDevice(sql);
        const far = await addSession(sql, one, ago(-86_400));
        const begun = await addSession(sql, one, null, { connected_at: ago(-86_400) });
        const near = await addSession(sql, one, ago(-300));
        assert.equal((await sweep(sql)).heartbeats_corrected, 2);
        assert.deepEqual((await session(sql, far)).last_heartbeat_at, NOON);
        assert.deepEqual((await session(sql, begun)).last_heartbeat_at, NOON);
        assert.deepEqual((await session(sql, near)).last_heartbeat_at, ago(-300));
        assert.equal((await sweep(sql, ago(-301))).sessions_ended, 2);
        assert.deepEqual((await session(sql, far)).disconnected_at, NOON);
        assert.equal((await sweep(sql, ago(-601))).sessions_ended, 1);
      },
    );

    await step("sets devices online and offline by their open sessions", async () => {
      const connects = await addDevice(sql, { status: "offline", last_seen_at: ago(7200) });
      await addSession(sql, connects, ago(10));
      const falls = await addDevice(sql, { status: "online", last_seen_at: ago(7200) });
      await addSession(sql, falls, ago(400));
      const leaves = await addDevice(sql, { status: "online" });
      await addSession(sql, leaves, ago(200), { status: "ended", disconnected_at: ago(190) });
      const never = await addDevice(sql, { status: "online" });
      const changes = await addDevice(sql, { status: "online", last_seen_at: ago(100) });
      await addSession(sql, changes, ago(400));
      await addSession(sql, changes, ago(20));
      const report = await sweep(sql);
      assert.deepEqual([report.devices, report.devices_online, report.devices_offline], [5, 1, 3]);
      const shown = async (id: string) => {
        const { status, last_seen_at } = await device(sql, id);
        return [status, last_seen_at];
      };
      assert.deepEqual(await shown(connects), ["online", ago(10)]);
      assert.deepEqual(await shown(falls), ["offline", ago(400)]);
      assert.deepEqual(await shown(leaves), ["offline", ago(190)]);
      assert.deepEqual(await shown(never), ["offline", null]);
      assert.deepEqual(await shown(changes), ["online", ago(100)]);
    });

    await step("never touches suspended and retired devices, but ends their sessions", async () => {
      for (const status of ["suspended", "retired"]) {
        const out = await addDevice(sql, { status, last_seen_at: ago(7200) });
        const silent = await addSession(sql, out, ago(400));
        await addSession(sql, out, ago(10));
        const before = await device(sql, out);
        await sweep(sql);
        assert.deepEqual(await device(sql, out), before);
        assert.equal((await session(sql, silent)).status, "timed_out");
      }
    });

    await step(
      "moves last_seen_at forward only, and of a connected device once an hour",
      async () => {
        const ahead = await addDevice(sql, { status: "online", last_seen_at: ago(5) });
        await addSession(sql, ahead, ago(400));
        const recent = await addDevice(sql, { status: "online", last_seen_at: ago(3600) });
        const old = await addDevice(sql, { status: "online", last_seen_at: ago(3700) });
        const future = await addDevice(sql, { status: "offline" });
        await addSession(sql, recent, ago(10));
        await addSession(sql, old, ago(10));
        await addSession(sql, future, ago(-250));
        await sweep(sql);
        assert.deepEqual((await device(sql, ahead)).last_seen_at, ago(5));
        assert.deepEqual((await device(sql, recent)).last_seen_at, ago(3600));
        assert.deepEqual((await device(sql, old)).last_seen_at, ago(10));
        assert.deepEqual((await device(sql, future)).last_seen_at, NOON);
      },
    );

    await step("writes no row that does not change", async () => {
      for (const seconds of [10, 299, 400]) {
        await addSession(sql, await addDevice(sql), ago(seconds));
      }
      await sweep(sql);
      const rows = () =>
        sql`
        select id, xmin::text from devices union all
        select id, xmin::text from device_connection_sessions order by id`;
      const before = await rows();
      await sweep(sql);
      assert.deepEqual([...await rows()], [...before]);
    });

    await step(
      "leaves what a device holds at that moment, without waiting, and says so",
      async () => {
        const one = await addDevice(sql, { status: "online" });
        const beating = await addSession(sql, one, ago(400));
        const two = await addDevice(sql, { status: "online" });
        const gone = await addSession(sql, two, ago(400));
        const other = db.connect();
        await other.begin(async (transaction) => {
          await transaction`select devices.heartbeat(${beating}, ${NOON})`;
          await transaction`update devices set battery_percent = 5 where id = ${two}`;
          const report = await sweep(impatient(db));
          assert.deepEqual([report.sessions_ended, report.devices_offline, report.left], [1, 0, 2]);
          assert.equal((await session(sql, gone)).status, "timed_out");
        });
        const report = await sweep(sql);
        assert.deepEqual([report.sessions_ended, report.devices_offline, report.left], [0, 1, 0]);
        assert.equal((await session(sql, beating)).status, "active");
        assert.equal((await device(sql, one)).status, "online");
      },
    );

    await step("leaves a device that is connecting at that moment", async () => {
      const one = await addDevice(sql, { status: "online" });
      await db.connect().begin(async (transaction) => {
        await transaction`insert into device_connection_sessions (device_id) values (${one})`;
        const report = await sweep(impatient(db));
        assert.deepEqual([report.devices_offline, report.left], [0, 1]);
      });
      await sweep(sql, new Date());
      assert.equal((await device(sql, one)).status, "online");
    });

    await step("takes bounded steps along the ids, and finds everybody", async () => {
      for (let i = 0; i < 7; i++) {
        const status = i % 2 === 0 ? "online" : "offline";
        await addSession(sql, await addDevice(sql, { status }), ago(i < 4 ? 400 : 10));
        await addDevice(sql, { status: "offline" });
        await addDevice(sql, { status: "online" });
      }
      const reports = await sweepInSteps(sql, 3);
      const sum = (key: string) => reports.reduce((total, report) => total + report[key], 0);
      // Of the seven that have a session, four are silent, two of them online.
      assert.deepEqual([sum("devices"), sum("sessions_ended")], [14, 4]);
      assert.equal(sum("devices_offline"), 2 + 7);
      assert.ok(reports.every((report) => report.devices <= 3 && report.sessions_ended <= 3));
      const [wrong] = await sql`
        select count(*)::int as count from devices where (status = 'online') <> exists (
          select from device_connection_sessions where device_id = devices.id and disconnected_at is null)`;
      assert.equal(wrong!.count, 0);
    });

    await step(
      "ends the sessions of a device that closed none of them in bounded steps, too",
      async () => {
        const one = await addDevice(sql, { status: "online" });
        for (let i = 0; i < 7; i++) await addSession(sql, one, ago(400));
        const ended = (await sweepInSteps(sql, 3)).map((report) => report.sessions_ended);
        assert.deepEqual(ended, [6, 1]);
        assert.equal((await device(sql, one)).status, "offline");
      },
    );

    await step("stays within its stretch of ids", async () => {
      const ids = ["1", "2", "3"].map((n) => `${n.repeat(8)}-0000-4000-8000-000000000000`);
      for (const id of ids) await addSession(sql, await addDevice(sql, { id }), ago(400));
      const [row] = await sql`
        select devices.sweep_connections(${ids[0]!}, ${ids[
        1
      ]!}, 2000, ${NOON}) as value`;
      assert.deepEqual([row!.value.sessions_ended, row!.value.next_after], [1, null]);
      const [left] = await sql`
        select array_agg(device_id order by device_id) as ids from device_connection_sessions
        where disconnected_at is null`;
      assert.deepEqual(left!.ids, [ids[0], ids[2]]);
    });

    await step(
      "takes the timeout from the setting, and refuses a wrong one by its name",
      async () => {
        const key = "device_connections.heartbeat_timeout_seconds";
        const one = await addSession(sql, await addDevice(sql), ago(301));
        await sql`update scheduler_settings set value = '600' where key = ${key}`;
        assert.equal((await sweep(sql)).sessions_ended, 0);
        for (const wrong of ['"300"', "9", "86401", "60.5", "-300", "null", "{}"]) {
          const { code, message } = await refusal(
            sql`update scheduler_settings set value = ${wrong}::text::jsonb where key = ${key}`,
          );
          assert.equal(code, "22023", wrong);
          assert.match(
            message,
            /cannot set device_connections\.heartbeat_timeout_seconds: .* from 10 to 86400/,
          );
        }
        await sql`update scheduler_settings set value = '10' where key = ${key}`;
        assert.equal((await sweep(sql)).sessions_ended, 1);
        assert.equal((await session(sql, one)).status, "timed_out");
      },
    );

    await step("refuses a bound that makes no sense", async () => {
      for (const bound of [0, 10_001, null]) {
        const { code } = await refusal(
          sql`select devices.sweep_connections(p_max_devices => ${bound})`,
        );
        assert.equal(code, "22023");
      }
    });
  });
});
