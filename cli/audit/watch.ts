/** Watches pg_net: while a request waits or is under way its URL can be read, and its answer has its id. */
import type { Sql } from "postgres";
import type { Io } from "../daybook/io.ts";
import type { Answer } from "./facts.ts";
import { readAnswers } from "./sources/database.ts";

/**
 * pg_net deletes requests and keeps their answers in one transaction, which ends with the slowest answer: until then the
 * requests can be read. A quick batch is over in less than this, and its answers stay nobody's.
 */
const periodMs = 250;
/** An answer has the time at which its batch began, which may be so long ago when it comes. */
const slowestBatchMs = 900_000;

/**
 * The answers that came while it watched, with the URL that each was sent to and how long it took at least. Ends after
 * these hours, or when it is told to stop.
 */
export async function watchAnswers(
  sql: Sql,
  hours: number,
  io: Pick<Io, "now" | "pause" | "signal">,
): Promise<Answer[]> {
  const begin = io.now().getTime();
  const ahead = await databaseAheadMs(sql, io);
  const recent = () => readAnswers(sql, new Date(io.now().getTime() + ahead - slowestBatchMs));
  const urls = new Map<string, string>();
  const seen = new Map<string, Answer>();
  // What was there before is nobody's that was watched, even if its id is given again.
  const old = new Set((await recent()).map(keyOf));
  let before = begin;
  while (!io.signal.aborted && io.now().getTime() < begin + hours * 3_600_000) {
    for (
      const { id, url } of await sql<{ id: string; url: string }[]>`
      select id::text, url from net.http_request_queue`
    ) {
      urls.set(id, url);
    }
    const at = io.now().getTime();
    const fresh = (await recent())
      .filter((answer) => !old.has(keyOf(answer)) && !seen.has(keyOf(answer)));
    for (const answer of fresh) {
      const url = urls.get(answer.id);
      // Answers of one batch come together, when the slowest has come.
      const isAlone = fresh.every((other) =>
        other === answer || other.createdAt.getTime() !== answer.createdAt.getTime()
      );
      const tookMs = before + ahead - answer.createdAt.getTime();
      seen.set(keyOf(answer), {
        ...answer,
        ...(url === undefined ? {} : { url }),
        ...(isAlone && tookMs > 0 ? { tookMs } : {}),
      });
      urls.delete(answer.id);
    }
    before = at;
    await io.pause(periodMs);
  }
  return [...seen.values()];
}

/** By how much the database's clock is ahead of ours, at least. */
async function databaseAheadMs(sql: Sql, io: Pick<Io, "now">): Promise<number> {
  const [row] = await sql<{ now: Date }[]>`select clock_timestamp() as now`;
  return row!.now.getTime() - io.now().getTime();
}

/** Ids begin again after a crash. */
export function keyOf({ id, createdAt }: Answer): string {
  return `${id} ${createdAt.getTime()}`;
}
