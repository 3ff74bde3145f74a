// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addCommand, addDevice, addSession } from "../support/device-connections.ts";
import { assertAllRunsOver, beat, beatUntilIdle, fire, passTime } from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const job = "monitor-device-connections";
const devices = 3000;
const commands = 8 * devices;

/** Calls the job as a person does. */
async function call({ apiUrl, keys }: Stack) {
  const response = await fetch(`${apiUrl}/functions/v1/${job}`, {
    method: "POST",
    headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
  });
  return { status: response.status, answer: await response.json() };
}

/** Nothing but devices that beat just now, each with eight commands waiting; and a note of every hand-over, taken by a trigger. */
async function prepare(sql: Sql): Promise<void> {
  await sql.unsafe(`
    truncate devices cascade;
    create table hand_overs (command_id uuid, session_id uuid, handed_over_count int);
    create function note_hand_over() returns trigger language plpgsql security definer as $$
    begin
      insert into public.hand_overs values (new.id, new.handed_to_session_id, new.handed_over_count);
      return null;
    end $$;
    create trigger note_hand_over after update on engagement_commands for each row
      when (old.handed_over_count <> new.handed_over_count) execute function note_hand_over();
    insert into devices (id, device_fingerprint) select md5(n::text)::uuid, n from generate_series(1, ${devices}) as n;
    insert into device_connection_sessions (device_id, connected_at, last_heartbeat_at)
    select id, now() - interval '1 hour', now() from devices;
    insert into engagement_commands (device_id, command_type, priority)
    select md5((1 + n % ${devices})::text)::uuid, 'notify', 1 + n % 10 from generate_series(1, ${commands}) as n;
    analyze devices, device_connection_sessions, engagement_commands;
  `).simple();
}

Deno.test("monitor-device-connections through the whole stack", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql, functions } = stack;
    const now = Date.now();

    await test.step("it ends, hands over, expires, and says so in a line for people", async () => {
      const seconds = (count: number) => new Date(now - count * 1000);
      const live = await addDevice(sql);
      await addSession(sql, live, seconds(10));
      await addCommand(sql, live);
      await addCommand(sql, live, { expires_at: seconds(60) });
      const silent = await addDevice(sql, { status: "online" });
      await addSession(sql, silent, seconds(900));
      const { status, answer } = await call(stack);
      assert.equal(status, 200, JSON.stringify(answer));
      const words = "2 devices looked at: 1 session ended, 1 device online, 1 device offline, " +
        "1 command handed over, 1 command expired";
      assert.deepEqual(answer.result, {
        summary: words,
        devices: 2,
        sessionsEnded: 1,
        heartbeatsCorrected: 0,
        devicesOnline: 1,
        devicesOffline: 1,
        commandsExpired: 1,
        commandsHandedOver: 1,
        commandsHandedOverAgain: 0,
        leftForNextRun: 0,
        stopped: "done",
        notable: "info",
      });
      const lines = await sql`
        select severity, message from scheduler_activity where run_id = ${answer.run_id}`;
      assert.deepEqual([...lines], [{ severity: "info", message: words }]);

      const again = await call(stack);
      assert.equal(again.answer.result.summary, "1 device looked at: nothing to do");
      const [quiet] = await sql`
        select count(*)::int as lines from scheduler_activity where run_id = ${again.answer.run_id}`;
      assert.equal(quiet!.lines, 0);
    });

    await test.step("killed while it hands over: nothing is lost, and nothing goes to a session twice", async () => {
      await prepare(sql);
      const count = async (status: string) => {
        const [row] = await sql`
          select count(*)::int as count from engagement_commands where status = ${status}`;
        return row!.count;
      };
      const id = await fire(sql, job);
      await waitUntil("the first commands to be handed over", async () => await count("sent") > 0);
      // The step after the present one waits for this lock, so that the kill finds the run half way.
      const held = await sql.reserve();
      await held`select pg_advisory_lock(-7031000002)`;
      const sent = await count("sent");
      assert.ok(sent > 0 && sent < commands, `${sent} of ${commands} are handed over`);
      await functions.kill();
      await held`select pg_advisory_unlock(-7031000002)`;
      // The steps that waited go on in the database. They end before devices reconnect: whoever asks later is served later.
      await held`select pg_advisory_lock(-7031000002)`;
      await held`select pg_advisory_unlock(-7031000002)`;
      held.release();
      await functions.start();

      // Meanwhile some devices have acknowledged a command, and others have reconnected.
      const acknowledged = await sql`
        select id, device_report_command(handed_to_session_id, id, 'acknowledged') as status
        from engagement_commands where status = 'sent' order by device_id limit 100`;
      assert.ok(acknowledged.every((row) => row.status === "acknowledged"));
      await sql`
        with over as (
          update device_connection_sessions set status = 'ended', disconnected_at = now()
          where disconnected_at is null and get_byte(uuid_send(device_id), 0) % 4 = 0 returning device_id
        )
        insert into device_connection_sessions (device_id, last_heartbeat_at) select device_id, now() from over`;

      await passTime(sql, 61);
      assert.equal((await beat(sql)).judged, 1);
      assert.equal((await run(sql, id)).verdict, "stalled");
      await beatUntilIdle(sql, 60_000);
      const attempts = await sql`
        select attempt, status, result -> 'commandsHandedOverAgain' as again from scheduler_runs
        where scheduled_for = (select scheduled_for from scheduler_runs where id = ${id}) order by attempt`;
      assert.deepEqual(attempts.map((row) => row.status), ["failed", "completed"]);
      assert.ok(attempts[1]!.again > 0, "what devices missed that reconnected");

      const problems = await sql`
        select 'lost' as what, commands.id from engagement_commands as commands
        where status not in ('sent', 'acknowledged')
          or status = 'sent' and not exists (
            select from device_connection_sessions as sessions
            where sessions.id = handed_to_session_id and disconnected_at is null)
        union all
        select 'twice to a session', command_id from hand_overs group by command_id, session_id having count(*) > 1
        union all
        select 'an acknowledged one again', commands.id from engagement_commands as commands
        where status = 'acknowledged' and handed_over_count > 1
        union all
        select 'counted wrongly', commands.id from engagement_commands as commands
        left join (select command_id, count(*) as given from hand_overs group by command_id) as noted
          on noted.command_id = commands.id
        where handed_over_count is distinct from given
        limit 10`;
      assert.deepEqual([...problems], []);
      assert.equal(await count("sent") + await count("acknowledged"), commands);

      // What the devices see are the commands' own ids, whichever session they were handed over to.
      const [seen] = await sql`
        select count(distinct entry ->> 'id')::int as ids, bool_and(exists (
          select from engagement_commands where id = (entry ->> 'id')::uuid)) as known
        from device_connection_sessions as sessions, jsonb_array_elements(device_commands(sessions.id)) as entry
        where sessions.disconnected_at is null`;
      assert.deepEqual({ ...seen }, { ids: await count("sent"), known: true });
      await assertSettledBut(sql);
    });
  }));

/** As assertAllRunsOver(), except for the run whose setting made no sense: it has no retry. */
async function assertSettledBut(sql: Sql): Promise<void> {
  await sql`update scheduler_runs set max_attempts = 1 where status = 'failed' and error_message like '%soon%'`;
  await assertAllRunsOver(sql);
}
