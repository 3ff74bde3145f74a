import postgres from "postgres";
import { loadKeys } from "../local/keys.ts";
import { startRest } from "../local/rest.ts";
import type { ScratchDatabase } from "../local/scratch-database.ts";
import { startDaybook } from "./batch-daybook.ts";
import { startGraphileWorker } from "./batch-graphile.ts";
import { startPgBoss } from "./batch-pg-boss.ts";
import { type Figure, median, milliseconds } from "./figure.ts";

const rounds = 7;
const count = 40_000;

/**
 * No-op tasks claimed and finished per second, against graphile-worker and pg-boss: all on one Postgres (without
 * waiting for the disk, with synchronous_commit, like the other benches) and in this process, in turns, four workers each.
 */
export async function benchBatchQueues({ url }: ScratchDatabase): Promise<Figure[]> {
  const directory = await Deno.makeTempDir({ prefix: "daybook-bench-" });
  const { jwtSecret, serviceRoleKey } = await loadKeys(directory);
  const databaseUrl = new URL(url);
  databaseUrl.username = "authenticator";
  const rest = await startRest({
    databaseUrl: databaseUrl.href,
    jwtSecret,
    serviceRoleKey,
    port: 0,
    dataDirectory: directory,
  });
  const sql = postgres(url, { max: 3, onnotice: () => {} });
  const contestants = [
    await startDaybook(rest.url, serviceRoleKey, sql),
    await startGraphileWorker(url, sql),
    await startPgBoss(url, sql),
  ];
  try {
    const measured = contestants.map((): number[] => []);
    for (let round = -1; round < rounds; round++) {
      for (const [i, contestant] of contestants.entries()) {
        await contestant.fill(count);
        const ms = await milliseconds(() => contestant.drain(count));
        // The first is for the connections, the plans and the compiler.
        if (round >= 0) measured[i]!.push(count / ms * 1000);
      }
    }
    const perSecond = measured.map(median);
    const ratio = (i: number) => perSecond[0]! / perSecond[i]!;
    const part = (i: number) =>
      `${contestants[i]!.name} (${contestants[i]!.setting}): ${
        perSecond[i]!.toFixed(0)
      } /s, rounds ${measured[i]!.map((each) => each.toFixed(0)).join(" ")}`;
    const figure = (i: number, limit: number): Figure => ({
      name: `no-op batch tasks claimed and finished per second, answers kept, against ${
        contestants[i]!.name
      }`,
      value: ratio(i),
      unit: "×",
      limit,
      bound: "at least",
      parts: [part(0), part(i)],
    });
    return [figure(1, 1), figure(2, 2)];
  } finally {
    for (const contestant of contestants) await contestant.stop();
    await rest.stop();
    await sql.end();
    await Deno.remove(directory, { recursive: true });
  }
}
