import assert from "node:assert/strict";
import {
  addCommand,
  addDevice,
  addSession,
  ago,
  command,
  handOver,
  NOON,
  sweep,
} from "../../support/device-connections.ts";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { rowsRead } from "../../support/rows-read.ts";
import { impatient, untilBlocked } from "../../support/scheduler.ts";

Deno.test("the hand-over of commands", async (test) => {
  await withDatabase(async (db) => {
    const { sql } = db;
    /** A step that begins with nothing in the tables. */
    const step = (name: string, fn: () => Promise<void>) =>
      test.step(name, async () => {
        await sql`truncate devices cascade`;
        await fn();
      });
    const expire = async (now = NOON) => {
      const [row] = await sql`select devices.expire_commands(p_now => ${now}) as value`;
      return row!.value;
    };

    await step("gives a connected device what waits for it, once a session", async () => {
      const one = await addDevice(sql);
      const live = await addSession(sql, one, ago(10));
      const waiting = await addCommand(sql, one);
      assert.deepEqual(await handOver(sql), {
        next_after: null,
        handed_over: 1,
        handed_over_again: 0,
      });
      const given = await command(sql, waiting);
      assert.deepEqual(
        [given.status, given.sent_at, given.handed_to_session_id, given.handed_over_count],
        ["sent", NOON, live, 1],
      );
      assert.equal((await handOver(sql, ago(-60))).handed_over, 0);
      assert.deepEqual(await command(sql, waiting), given);
    });

    await step("leaves the commands of devices that are away, suspended or retired", async () => {
      const away = await addDevice(sql, { status: "online" });
      await addSession(sql, away, ago(400), { status: "ended", disconnected_at: ago(390) });
      const waiting = [await addCommand(sql, away)];
      for (const status of ["suspended", "retired"]) {
        const out = await addDevice(sql, { status });
        await addSession(sql, out, ago(10));
        waiting.push(await addCommand(sql, out));
      }
      assert.equal((await handOver(sql)).handed_over, 0);
      for (const id of waiting) assert.equal((await command(sql, id)).status, "pending");
    });

    await step("gives the newest of a device's sessions what waits", async () => {
      const one = await addDevice(sql);
      await addSession(sql, one, ago(10));
      const newest = await addSession(sql, one, ago(20), { connected_at: ago(60) });
      const waiting = await addCommand(sql, one);
      await handOver(sql);
      assert.equal((await command(sql, waiting)).handed_to_session_id, newest);
    });

    await step("gives a device that reconnects what it missed, under the same id", async () => {
      const one = await addDevice(sql);
      const first = await addSession(sql, one, ago(10));
      const [missed, got, done] = [
        await addCommand(sql, one),
        await addCommand(sql, one),
        await addCommand(sql, one),
      ];
      await handOver(sql);
      await sql`select device_report_command(${first}, ${got}, 'acknowledged')`;
      await sql`select device_report_command(${first}, ${done}, 'completed')`;
      await sweep(sql, ago(-400));
      assert.equal((await handOver(sql, ago(-400))).handed_over_again, 0, "it is away");
      const second = await addSession(sql, one, ago(-410), { connected_at: ago(-405) });
      assert.deepEqual(await handOver(sql, ago(-420)), {
        next_after: null,
        handed_over: 0,
        handed_over_again: 1,
      });
      const again = await command(sql, missed);
      assert.deepEqual(
        [again.status, again.handed_to_session_id, again.handed_over_count, again.sent_at],
        ["sent", second, 2, ago(-420)],
      );
      assert.equal((await command(sql, got)).status, "acknowledged");
      assert.equal((await command(sql, done)).status, "completed");
      assert.equal((await handOver(sql, ago(-430))).handed_over_again, 0);
    });

    await step("takes a session that was deleted for one that is over", async () => {
      const one = await addDevice(sql);
      const old = await addSession(sql, one, ago(10));
      const waiting = await addCommand(sql, one);
      await handOver(sql);
      await sql`delete from device_connection_sessions where id = ${old}`;
      const live = await addSession(sql, one, ago(5));
      assert.equal((await handOver(sql)).handed_over_again, 1);
      assert.equal((await command(sql, waiting)).handed_to_session_id, live);
    });

    await step("follows the priority, then the time of issue, within a bound", async () => {
      const one = await addDevice(sql);
      await addSession(sql, one, ago(10));
      const wanted = [];
      for (
        const [priority, issued] of [[9, 500], [1, 100], [5, 300], [1, 200], [5, 400]] as const
      ) {
        const id = await addCommand(sql, one, { priority, issued_at: ago(issued) });
        wanted.push({ id, priority, issued });
      }
      wanted.sort((a, b) => a.priority - b.priority || b.issued - a.issued);
      const given: string[] = [];
      for (let after: string | null = null, round = 0; round === 0 || after !== null; round++) {
        const rows: { value: { next_after: string | null; handed_over: number } }[] = await sql`
          select devices.hand_over_commands(${after}, null, 2, ${ago(-round)}) as value`;
        after = rows[0]!.value.next_after;
        const sent = await sql`select id from engagement_commands where sent_at = ${ago(-round)}`;
        assert.equal(rows[0]!.value.handed_over, Math.min(2, wanted.length - given.length));
        for (const { id } of wanted.slice(given.length, given.length + 2)) {
          assert.ok(sent.some((row) => row.id === id), `${id} is not in step ${round}`);
        }
        given.push(...sent.map((row) => row.id));
      }
      assert.equal(given.length, 5);
    });

    await step("comes to every device in bounded steps", async () => {
      for (let i = 0; i < 5; i++) {
        const one = await addDevice(sql);
        if (i !== 2) await addSession(sql, one, ago(10));
        await addCommand(sql, one);
      }
      let handed = 0;
      for (let after: string | null = null, round = 0; round === 0 || after !== null; round++) {
        const rows: { value: { next_after: string | null; handed_over: number } }[] = await sql`
          select devices.hand_over_commands(${after}, null, 2, ${NOON}) as value`;
        after = rows[0]!.value.next_after;
        handed += rows[0]!.value.handed_over;
        assert.ok(round < 10);
      }
      assert.equal(handed, 4);
    });

    await step("reads what it hands over, when statistics know no command that waits", async () => {
      await sql`
        insert into devices (device_fingerprint) select 'device ' || n from generate_series(1, 2000) as n`;
      await sql`insert into device_connection_sessions (device_id) select id from devices`;
      await sql`
        insert into engagement_commands (device_id, command_type, status, finished_at)
        select id, 'notify', 'completed', now() from devices, generate_series(1, 2)`;
      await sql`analyze devices, device_connection_sessions, engagement_commands`;
      await sql`
        insert into engagement_commands (device_id, command_type)
        select id, 'notify' from devices, generate_series(1, 2)`;
      const read = await rowsRead(
        db.connect(),
        ["devices", "device_connection_sessions", "engagement_commands"],
        async (tx) => {
          const [row] = await tx`select devices.hand_over_commands(p_max_commands => 50) as value`;
          assert.equal(row!.value.handed_over, 50);
        },
      );
      // 100 commands to find 50 devices, 50 for 25 of these, and again to write them.
      const most = { engagement_commands: 400, devices: 100, device_connection_sessions: 100 };
      for (const [table, rows] of Object.entries(most)) {
        assert.ok(read[table]! <= rows, `${read[table]} rows of ${table} are read`);
      }
    });

    await step("leaves a command that somebody holds, without waiting", async () => {
      const one = await addDevice(sql);
      const live = await addSession(sql, one, ago(10));
      const [held, free] = [await addCommand(sql, one), await addCommand(sql, one)];
      await db.connect().begin(async (transaction) => {
        await transaction`update engagement_commands set status = 'cancelled', finished_at = now()
          where id = ${held}`;
        assert.equal((await handOver(impatient(db))).handed_over, 1);
      });
      assert.equal((await handOver(sql)).handed_over, 0);
      assert.equal((await command(sql, held)).status, "cancelled");
      assert.equal((await command(sql, free)).handed_to_session_id, live);
    });

    await step("two at once take turns, and give nothing twice", async () => {
      const one = await addDevice(sql);
      await addSession(sql, one, ago(10));
      const waiting = await addCommand(sql, one);
      const [first, second] = [db.connect(), db.connect()];
      const [backend] = await second`select pg_backend_pid() as pid`;
      let other: Promise<Record<string, unknown>> | undefined;
      await first.begin(async (transaction) => {
        assert.equal((await handOver(transaction as unknown as typeof sql)).handed_over, 1);
        other = handOver(second);
        await untilBlocked(sql, backend!.pid);
      });
      assert.deepEqual(await other, { next_after: null, handed_over: 0, handed_over_again: 0 });
      assert.equal((await command(sql, waiting)).handed_over_count, 1);
    });

    await step(
      "a command expires at its time, pending or handed over, but not once acknowledged",
      async () => {
        const one = await addDevice(sql);
        const live = await addSession(sql, one, ago(10));
        const [sent, acknowledged] = [
          await addCommand(sql, one, { expires_at: ago(-60) }),
          await addCommand(sql, one, { expires_at: ago(-60) }),
        ];
        await handOver(sql);
        await sql`select device_report_command(${live}, ${acknowledged}, 'acknowledged')`;
        const pending = await addCommand(sql, one, { expires_at: ago(-60) });
        const later = await addCommand(sql, one, { expires_at: ago(-61) });
        const never = await addCommand(sql, one);
        assert.equal((await handOver(sql, ago(-60))).handed_over, 2, "not one whose time is up");
        assert.deepEqual(await expire(ago(-60)), { commands_expired: 2, more: false });
        for (const id of [sent, pending]) {
          const over = await command(sql, id);
          assert.deepEqual([over.status, over.finished_at], ["expired", ago(-60)]);
        }
        assert.equal((await command(sql, acknowledged)).status, "acknowledged");
        for (const id of [later, never]) assert.equal((await command(sql, id)).status, "sent");
        assert.equal((await expire(ago(-60))).commands_expired, 0);
      },
    );

    await step("expires in bounded steps, and leaves what somebody holds", async () => {
      const one = await addDevice(sql);
      for (let i = 0; i < 3; i++) await addCommand(sql, one, { expires_at: ago(i) });
      const held = await addCommand(sql, one, { expires_at: ago(9) });
      const hasty = impatient(db);
      const bounded = async () => {
        const [row] = await hasty`select devices.expire_commands(2, ${NOON}) as value`;
        return row!.value;
      };
      await db.connect().begin(async (transaction) => {
        await transaction`update engagement_commands set priority = 1 where id = ${held}`;
        assert.deepEqual(await bounded(), { commands_expired: 2, more: true });
        assert.deepEqual(await bounded(), { commands_expired: 1, more: false });
      });
      assert.deepEqual(await bounded(), { commands_expired: 1, more: false });
    });

    await step("refuses a bound that makes no sense", async () => {
      for (const name of ["expire", "hand_over"]) {
        for (const bound of [0, 10_001, null]) {
          const { code } = await refusal(sql.unsafe(
            `select monitor_device_connections_${name}(p_max_commands => $1)`,
            [bound],
          ));
          assert.equal(code, "22023");
        }
      }
    });
  });
});
