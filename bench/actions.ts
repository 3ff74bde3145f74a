import type { Sql } from "postgres";
import { type Figure, milliseconds } from "./figure.ts";

const count = 10_000;
const rounds = 7;

/**
 * Due actions per second, against the bare `update` that sets the same rows completed and writes nothing else. Executed
 * in the database: half reminders, half commands, each with its line or command, its history and its end. By calls that
 * take no time: claimed, taken as completed, with their history and their end. Each time is the best of its rounds.
 */
export async function benchActions(sql: Sql): Promise<Figure[]> {
  await sql`insert into public.devices (device_fingerprint) select 'bench ' || n from generate_series(1, 100) as n`;
  return [
    await figure(
      sql,
      "reminders and commands executed, against the bare update of the same rows",
      8,
      ["reminder", "engagement_command"],
      async () => {
        const steps: { executed: number }[] = [];
        do {
          const [row] =
            await sql`select public.execute_scheduled_actions_in_database(1000) as step`;
          steps.push(row!.step);
        } while (steps.at(-1)!.executed === 1000);
        return steps.reduce((sum, { executed }) => sum + executed, 0);
      },
    ),
    await figure(
      sql,
      "calls claimed and reported, against the bare update of the same rows",
      12,
      ["edge_function"],
      () => callAll(sql),
    ),
  ];
}

/** Every claim and report of a run whose calls take no time; how many. */
async function callAll(sql: Sql): Promise<number> {
  for (let done = 0;;) {
    const [row] = await sql`
      select public.execute_scheduled_actions_claim(array['edge_function'], 1000, 200, 170) as claim`;
    const { token, actions } = row!.claim as { token: string; actions: { id: string }[] };
    if (actions.length === 0) return done;
    for (let from = 0; from < actions.length; from += 200) {
      const results = actions.slice(from, from + 200).map(({ id }) => ({
        id,
        token,
        outcome: "completed",
        http_status: 200,
      }));
      await sql`select public.execute_scheduled_actions_report(${sql.json(results)})`;
    }
    done += actions.length;
  }
}

async function figure(
  sql: Sql,
  name: string,
  limit: number,
  kinds: string[],
  execute: () => Promise<number>,
): Promise<Figure> {
  const bare: number[] = [], executed: number[] = [];
  for (let round = -1; round < rounds; round++) {
    await load(sql, kinds);
    const bareMs = await milliseconds(() =>
      sql`update public.scheduled_actions set status = 'completed', finished_at = now() where status = 'scheduled'`
    );
    await load(sql, kinds);
    let done = 0;
    const executedMs = await milliseconds(async () => void (done = await execute()));
    if (done !== count) {
      throw new Error(`Cannot measure actions: ${done} of ${count} were executed`);
    }
    // The first round only fills the caches.
    if (round < 0) continue;
    bare.push(bareMs);
    executed.push(executedMs);
  }
  const [bareMs, executedMs] = [Math.min(...bare), Math.min(...executed)];
  const part = (what: string, ms: number) =>
    `${what} ${ms.toFixed(0)} ms, ${
      Math.round(count / ms * 1000).toLocaleString("en-US")
    } a second`;
  return {
    name,
    value: executedMs / bareMs,
    unit: "×",
    limit,
    parts: [
      part(`bare update of ${count.toLocaleString("en-US")} rows`, bareMs),
      part("executed", executedMs),
    ],
  };
}

/** The same due actions, as new; ten receivers for calls. */
async function load(sql: Sql, kinds: string[]): Promise<void> {
  await sql`truncate public.scheduled_actions, public.scheduled_action_occurrences, public.scheduler_activity,
    public.engagement_commands`;
  await sql`
    insert into public.scheduled_actions (kind, message, device_id, command_type, function_name, payload, due_at, next_attempt_at)
    select kind, case kind when 'reminder' then 'reminder ' || n end,
      case kind when 'engagement_command' then device_id end,
      case kind when 'engagement_command' then 'notify' end,
      case kind when 'edge_function' then 'function-' || n % 10 end, jsonb_build_object('n', n), now(), now()
    from generate_series(1, ${count}) as n
    cross join lateral (select (${sql.json(kinds)} ->> (n % ${kinds.length})) as kind) as kinds
    left join (select id as device_id, row_number() over (order by id) - 1 as place from public.devices) as devices
      on devices.place = n % 100`;
  await sql`vacuum (analyze) public.scheduled_actions, public.scheduled_action_occurrences, public.scheduler_activity,
    public.engagement_commands`;
}
