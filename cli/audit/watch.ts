/** Watches pg_net: while a request waits or is under way its URL can be read, and its answer has its id. */
import type { Sql } from "postgres";
import type { Answer } from "./facts.ts";
import { readAnswers } from "./sources/database.ts";

export interface Clock {
  now(): Date;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** pg_net looks for new requests once a second. */
const periodMs = 1_000;

/**
 * The answers that came while it watched, with the URL that each was sent to and how long it took at least. Ends after
 * these hours, or when it is told to stop.
 */
export async function watchAnswers(
  sql: Sql,
  hours: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Answer[]> {
  const begin = clock.now().getTime();
  const urls = new Map<string, string>();
  const seen = new Map<string, Answer>();
  // What was there before is nobody's that was watched.
  const old = new Set((await readAnswers(sql)).map(keyOf));
  let before = begin;
  while (!signal.aborted && clock.now().getTime() < begin + hours * 3_600_000) {
    for (
      const { id, url } of await sql<{ id: string; url: string }[]>`
      select id::text, url from net.http_request_queue`
    ) {
      urls.set(id, url);
    }
    const at = clock.now().getTime();
    const fresh = (await readAnswers(sql))
      .filter((answer) => !old.has(keyOf(answer)) && !seen.has(keyOf(answer)));
    for (const answer of fresh) {
      const url = urls.get(answer.id);
      // Answers of one batch come together, when the slowest has come.
      const isAlone = fresh.every((other) =>
        other === answer || other.createdAt.getTime() !== answer.createdAt.getTime()
      );
      const tookMs = before - answer.createdAt.getTime();
      seen.set(keyOf(answer), {
        ...answer,
        ...(url === undefined ? {} : { url }),
        ...(isAlone && tookMs > 0 ? { tookMs } : {}),
      });
      urls.delete(answer.id);
    }
    before = at;
    await clock.sleep(periodMs, signal);
  }
  return [...seen.values()];
}

/** Ids begin again after a crash. */
export function keyOf({ id, createdAt }: Answer): string {
  return `${id} ${createdAt.getTime()}`;
}
