import postgres, { type Sql } from "postgres";
import type { ScratchDatabase } from "../local/scratch-database.ts";
import { type Figure, median, milliseconds } from "./figure.ts";

const takes = 1000;
const rounds = 7;
const connections = 4;
const secondsAtOnce = 3;

/**
 * A token taken of a budget, against the bare `update … returning` of one row: each a statement of its own with its commit
 * and its round trip on loopback, in turns. The budget has a span of ten seconds, so that it always holds the 100 to 128
 * entries that are the most there can be. And how many takes a second four connections get of one budget.
 */
export async function benchBudgets({ url }: ScratchDatabase): Promise<Figure[]> {
  const clients = Array.from(
    { length: connections },
    () => postgres(url, { max: 1, onnotice: () => {} }),
  );
  try {
    const sql = clients[0]!;
    await sql`create table public.bench_counter (name text primary key, tokens_left integer not null) with (fillfactor = 50)`;
    await sql`insert into public.bench_counter values ('bench', 1000000000)`;
    await sql`select scheduler.register_budget('bench', 1000000000, '10 seconds')`;
    await until(10_000, () => take(sql));
    const bare: number[] = [], taken: number[] = [];
    for (let round = 0; round < rounds; round++) {
      bare.push(await milliseconds(() => times(takes, () => update(sql))) / takes);
      taken.push(await milliseconds(() => times(takes, () => take(sql))) / takes);
    }
    const [entries] = await sql`
      select cardinality(taken_at) as count from public.scheduler_budgets where name = 'bench'`;
    const atOnce = async (work: (sql: Sql) => Promise<void>) => {
      const counts = await Promise.all(
        clients.map((client) => until(secondsAtOnce * 1000, () => work(client))),
      );
      return counts.reduce((sum, count) => sum + count) / secondsAtOnce;
    };
    const bareRate = await atOnce(update);
    const rate = await atOnce(take);
    return [
      {
        name: "a token taken, against the bare update … returning of one row (p50)",
        value: median(taken) / median(bare),
        unit: "×",
        limit: 1.5,
        parts: [
          `bare update ${median(bare).toFixed(3)} ms`,
          `take ${median(taken).toFixed(3)} ms, of a budget of ${entries!.count} entries`,
        ],
      },
      {
        name: `takes of one budget on ${connections} connections`,
        value: rate,
        unit: "a second",
        limit: 2000,
        bound: "at least",
        parts: [`bare updates of one row ${Math.round(bareRate)} a second`],
      },
    ];
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function update(sql: Sql): Promise<void> {
  await sql`update public.bench_counter set tokens_left = tokens_left - 1 where name = 'bench' returning tokens_left`;
}

async function take(sql: Sql): Promise<void> {
  const [row] = await sql`select scheduler.take_tokens('bench', 1) as answer`;
  if (row!.answer.granted !== true) throw new Error("Cannot measure: a take was not granted");
}

async function times(count: number, work: () => Promise<void>): Promise<void> {
  for (let i = 0; i < count; i++) await work();
}

/** Works for so long; how often it has. */
async function until(ms: number, work: () => Promise<void>): Promise<number> {
  let count = 0;
  for (const end = performance.now() + ms; performance.now() < end; count++) await work();
  return count;
}
