import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { ago, NOON, sweepInSteps } from "../../support/device-connections.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";

const devices = 20_000;
const silentDevices = 500;
/** Every device beats once in this time, a second before its session would be ended. */
const cycleSeconds = 299;
const ticks = 10;

/** A fleet of connected devices: the n-th beats in tick n of each cycle. The silent ones were last heard of at noon. */
async function connectFleet(sql: Sql): Promise<string[][]> {
  await sql`
    insert into devices (id, device_fingerprint, status, last_seen_at)
    select md5(n::text)::uuid, n, 'online', ${NOON} from generate_series(1, ${
    devices + silentDevices
  }) as n`;
  await sql`
    insert into device_connection_sessions (id, device_id, session_key, connected_at, last_heartbeat_at)
    select md5('session' || n)::uuid, md5(n::text)::uuid, case when n <= ${devices} then 'live' else 'silent' end,
      ${ago(3600)}, case when n <= ${devices}
        then ${NOON}::timestamptz - ${cycleSeconds} * interval '1 s' * (1 - n % ${ticks} / ${ticks}::float) else ${NOON} end
    from generate_series(1, ${devices + silentDevices}) as n`;
  await sql`analyze devices, device_connection_sessions`;
  const rows = await sql`
    select n % ${ticks} as tick, array_agg(md5('session' || n) :: uuid order by random()) as ids
    from generate_series(1, ${devices}) as n group by 1 order by 1`;
  return rows.map((row) => row.ids);
}

/** What `share` of them is for this one of `of` connections. */
function share(ids: string[], which: number, of: number): string[] {
  return ids.filter((_, index) => index % of === which);
}

/** A backend that collects heartbeats and writes them in one statement; the sessions that live. */
async function beatTogether(sql: Sql, ids: string[], now: Date): Promise<string[]> {
  const alive: string[] = [];
  for (let at = 0; at < ids.length; at += 300) {
    const rows = await sql`
      update device_connection_sessions set last_heartbeat_at = ${now}
      where id = any(${ids.slice(at, at + 300)}) and disconnected_at is null returning id`;
    alive.push(...rows.map((row) => row.id));
  }
  return alive;
}

/** One that writes each as it comes. */
async function beatOneByOne(sql: Sql, ids: string[], now: Date): Promise<string[]> {
  const alive: string[] = [];
  for (const id of ids) {
    const [row] = await sql`select devices.heartbeat(${id}, ${now}) as lives`;
    if (row!.lives) alive.push(id);
  }
  return alive;
}

/** 19 of 20 heartbeats come in batches, on three connections; the others one by one, on a fourth. */
function beaters(db: TestDatabase): (ids: string[], now: Date) => Promise<string[]> {
  const connections = [1, 2, 3].map(() => db.connect());
  const single = db.connect();
  return async (ids, now) => {
    const alone = share(ids, 0, 20);
    const together = ids.filter((_, index) => index % 20 !== 0);
    const answers = await Promise.all([
      beatOneByOne(single, alone, now),
      ...connections.map((sql, i) =>
        beatTogether(sql, share(together, i, connections.length), now)
      ),
    ]);
    return answers.flat();
  };
}

Deno.test("20,000 devices beat while the monitor runs: exactly the silent ones are ended", async () => {
  await withDatabase(async (db) => {
    const { sql } = db;
    const slices = await connectFleet(sql);
    const beat = beaters(db);
    const monitors = [db.connect(), db.connect()];

    // Time goes on with the heartbeats: the next of 30 ticks comes when all of this one are committed. Those that are
    // still to beat in it are 299 s old then.
    let now = NOON;
    let over = false;
    let sweeps = 0;
    const monitoring = Promise.all(monitors.map(async (monitor) => {
      while (!over) {
        await sweepInSteps(monitor, 2000, now);
        sweeps++;
      }
    }));
    for (let tick = 0; tick < 3 * ticks; tick++) {
      now = new Date(NOON.getTime() + tick * cycleSeconds * 1000 / ticks);
      const ids = slices[tick % ticks]!;
      assert.equal(
        (await beat(ids, now)).length,
        ids.length,
        "every heartbeat found its session alive",
      );
    }
    over = true;
    await monitoring;
    assert.ok(sweeps >= 4, `${sweeps} sweeps`);
    await sweepInSteps(sql, 2000, now);

    const found = await sql`
      select session_key, sessions.status, disconnected_at = ${NOON} as at_last_heartbeat, devices.status as shown,
        devices.last_seen_at >= ${NOON} as seen, count(*)::int
      from device_connection_sessions as sessions join devices on devices.id = device_id
      group by 1, 2, 3, 4, 5 order by 1`;
    assert.deepEqual([...found], [
      {
        session_key: "live",
        status: "active",
        at_last_heartbeat: null,
        shown: "online",
        seen: true,
        count: devices,
      },
      {
        session_key: "silent",
        status: "timed_out",
        at_last_heartbeat: true,
        shown: "offline",
        seen: true,
        count: silentDevices,
      },
    ]);
  });
});

Deno.test("20,000 late heartbeats race the monitor: the one that comes first decides, and both agree on it", async () => {
  await withDatabase(async (db) => {
    const { sql } = db;
    const ids = (await connectFleet(sql)).flat().sort();
    const beat = beaters(db);
    const monitors = [db.connect(), db.connect()];
    await sql`alter table device_connection_sessions add column was timestamptz`;
    await sql`update device_connection_sessions set was = last_heartbeat_at`;

    // From now on every session is silent that has not beaten anew.
    const late = ago(-301);
    const alive = new Set(await beat(ids.slice(0, 100), late));
    await sql`select devices.sweep_connections(p_max_devices => 100, p_now => ${late})`;
    const [answers] = await Promise.all([
      beat([...ids.slice(100)].sort(() => Math.random() - 0.5), late),
      ...monitors.map((monitor) => sweepInSteps(monitor, 500, late)),
    ]);
    for (const id of answers) alive.add(id);
    for (let left = 1; left > 0;) {
      left = (await sweepInSteps(sql, 2000, late)).reduce((sum, report) => sum + report.left, 0);
    }

    const rows = await sql`
      select sessions.id, sessions.status, last_heartbeat_at = ${late} as beat, disconnected_at = was as at_last,
        last_heartbeat_at = was as untouched, devices.status as shown
      from device_connection_sessions as sessions join devices on devices.id = device_id
      where session_key = 'live'`;
    const told = { alive: 0, ended: 0 };
    for (const { id, ...row } of rows) {
      const lives = alive.has(id);
      told[lives ? "alive" : "ended"]++;
      const wanted = lives
        ? { status: "active", beat: true, at_last: null, untouched: false, shown: "online" }
        : { status: "timed_out", beat: false, at_last: true, untouched: true, shown: "offline" };
      // Comparing 20,000 rows by deepEqual would take longer than the race.
      if (JSON.stringify(row) !== JSON.stringify(wanted)) assert.deepEqual(row, wanted, id);
    }
    assert.ok(told.alive > 100 && told.ended > 50, `a race: ${JSON.stringify(told)}`);
  });
});
