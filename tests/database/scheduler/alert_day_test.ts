/** A day of 10,000 changes of what is wrong, against a model of what is to be said. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addChannel } from "../../support/alerts.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";

const CHANGES = 10_000;
const LOOK_SECONDS = 180;
const DAY_SECONDS = 86_400;
const SEVERITIES = ["info", "warning", "critical"];
const rank = (severity: string) => SEVERITIES.indexOf(severity);

interface State {
  isWrong: boolean;
  severity: string;
  forSeconds: number;
}

/** What is seen at a look, by cause. */
type Look = Map<string, State>;

/** Which of the causes are seen at each look, each changed at random: mostly short, some for hours. */
function randomLooks(causes: string[], random: Random): Look[] {
  const states = new Map<string, State>(
    causes.map((cause) => [cause, { isWrong: false, severity: "warning", forSeconds: 0 }]),
  );
  const times = Array.from({ length: CHANGES }, () => random.whole(0, DAY_SECONDS - 1)).sort((
    a,
    b,
  ) => a - b);
  const looks: Look[] = [];
  for (let at = 0; at < DAY_SECONDS; at += LOOK_SECONDS) {
    while (times.length > 0 && times[0]! <= at) {
      times.shift();
      // The first causes change seldom.
      const i = Math.floor(causes.length * Math.sqrt(random.whole(0, 999) / 1000));
      const state = states.get(causes[i]!)!;
      if (state.isWrong && random.chance(0.3)) state.severity = random.pick(SEVERITIES);
      else if (i > 2 || random.chance(0.1)) state.isWrong = !state.isWrong;
      if (!state.isWrong) {
        state.severity = random.pick(SEVERITIES);
        state.forSeconds = random.pick([0, 0, 60, 300]);
      }
    }
    looks.push(
      new Map(
        [...states].filter(([, state]) => state.isWrong).map((
          [cause, state],
        ) => [cause, { ...state }]),
      ),
    );
  }
  return looks;
}

interface Channel {
  name: string;
  least: string;
  /** Hours of the day, UTC. */
  quiet: [from: number, until: number] | null;
}

const CHANNELS: Channel[] = [
  { name: "all", least: "info", quiet: null },
  { name: "loud", least: "critical", quiet: null },
  { name: "sleeper", least: "warning", quiet: [22, 7] },
];

const isQuiet = ({ quiet }: Channel, at: number) => {
  const hour = (12 + at / 3600) % 24;
  return quiet !== null && (hour >= quiet[0] || hour < quiet[1]);
};

/** The words of the issue: opened once, worse at once, again by a growing interval, the end to all who knew. */
function modelOf(looks: Look[], repeatSeconds: number): string[] {
  interface Told {
    severity: string;
    at: number;
    times: number;
  }
  interface Alert {
    opensAt: number;
    isOpen: boolean;
    isOver: boolean;
    severity: string;
    told: Map<string, Told>;
  }
  const lines: string[] = [];
  const open = new Map<string, Alert>();
  let over: [cause: string, alert: Alert][] = [];
  looks.forEach((look, i) => {
    const at = i * LOOK_SECONDS;
    for (const [cause, alert] of open) {
      if (look.has(cause)) continue;
      open.delete(cause);
      if (alert.isOpen) over.push([cause, { ...alert, isOver: true }]);
    }
    for (const [cause, { severity, forSeconds }] of look) {
      const alert = open.get(cause) ??
        { opensAt: Infinity, isOpen: false, isOver: false, severity, told: new Map() };
      open.set(cause, alert);
      alert.severity = severity;
      alert.opensAt = Math.min(alert.opensAt, at + forSeconds);
      alert.isOpen ||= alert.opensAt <= at;
    }
    for (const channel of CHANNELS) {
      if (isQuiet(channel, at)) continue;
      for (const [cause, alert] of [...open, ...over]) {
        if (!alert.isOpen) continue;
        const told = alert.told.get(channel.name);
        const wants = rank(alert.severity) >= rank(channel.least);
        let event: string | null = null;
        if (alert.isOver) event = told === undefined ? null : "ended";
        else if (!wants) event = null;
        else if (told === undefined) event = "opened";
        else if (rank(alert.severity) > rank(told.severity)) event = "worse";
        else if (at >= told.at + Math.min(repeatSeconds * 2 ** (told.times - 1), DAY_SECONDS)) {
          event = "again";
        }
        if (event === null) continue;
        lines.push(`${at} ${channel.name} ${cause} ${event} ${alert.severity}`);
        if (event === "ended") alert.told.delete(channel.name);
        else {
          alert.told.set(channel.name, {
            severity: alert.severity,
            at,
            times: (told?.times ?? 0) + 1,
          });
        }
      }
    }
    over = over.filter(([, alert]) => alert.told.size > 0);
  });
  return lines.sort();
}

/** All looks in one statement, a transaction each; what was written, in the model's words. */
async function run(sql: Sql, looks: Look[]): Promise<string[]> {
  // When it is said is looked at, not the words, which take longer.
  await sql`
    create or replace function scheduler.alert_message(p_alert public.scheduler_alerts, p_event text, p_now timestamptz)
    returns jsonb language sql immutable as $$ select '{}'::jsonb $$`;
  await sql`create table looks (place integer, causes scheduler.seen_cause[])`;
  const rows = looks.flatMap((look, place) =>
    [...look].map(([cause, { severity, forSeconds }]) => ({ place, cause, severity, forSeconds }))
  );
  await sql`
    insert into looks
    select place, array_agg(row(cause, 'pulse_errors', severity, "forSeconds", '{}')::scheduler.seen_cause)
    from jsonb_to_recordset(${sql.json(rows)})
      as looks (place integer, cause text, severity text, "forSeconds" integer)
    group by place`;
  await sql`
    insert into looks select place, '{}' from generate_series(0, ${looks.length - 1}) as place
    where place not in (select place from looks)`;
  await sql.unsafe(`
    do $$
    declare
      v_look looks;
      v_at timestamptz;
    begin
      for v_look in select * from looks order by place loop
        v_at := '${t.NOON.toISOString()}'::timestamptz + v_look.place * interval '${LOOK_SECONDS} seconds';
        perform scheduler.write_causes(v_look.causes, v_at);
        perform scheduler.write_deliveries(v_at);
        perform scheduler.settle_alerts();
        commit;
      end loop;
    end $$`);
  const written = await sql`
    select extract(epoch from written_at - ${t.NOON}::timestamptz)::int as at, channel, cause, event, deliveries.severity
    from scheduler_alert_deliveries as deliveries join scheduler_alerts as alerts on alerts.id = alert_id`;
  return written.map(({ at, channel, cause, event, severity }) =>
    `${at} ${channel} ${cause} ${event} ${severity}`
  ).sort();
}

t.ledgerTest("a day of 10,000 random changes is told as the model tells it", async ({ sql }) => {
  const random = seededRandom(Number(Deno.env.get("SEED") ?? 12));
  for (const { name, least, quiet } of CHANNELS) {
    await addChannel(sql, "slack", {
      name,
      least_severity: least,
      quiet_from: quiet && `${quiet[0]}:00`,
      quiet_until: quiet && `${quiet[1]}:00`,
    }, { address: "https://hooks.slack.test/a" });
  }
  await sql`update scheduler_settings set value = '20' where key = 'alerts.repeat_minutes'`;
  const causes = Array.from({ length: 10 }, (_, i) => `budget b${i}`);
  const looks = randomLooks(causes, random);
  const expected = modelOf(looks, 1200);
  const written = await run(sql, looks);
  for (const event of ["opened", "worse", "again", "ended"]) {
    assert.ok(expected.filter((line) => line.includes(` ${event} `)).length > 20, event);
  }
  assert.deepEqual(written, expected);
  // Each end follows a beginning, and no alert is begun or ended twice in a channel.
  const twice = await sql`
    select alert_id, channel, event from scheduler_alert_deliveries where event in ('opened', 'ended')
    group by alert_id, channel, event having count(*) > 1`;
  assert.deepEqual([...twice], []);
});
