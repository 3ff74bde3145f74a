/**
 * The background worker of the pg_net stand-in, faults included: requests go out in batches of 200 and a
 * batch is committed when its slowest request ends; while there is work it looks once a second.
 */
import postgres, { type Sql } from "postgres";
import { type NetResponse, type QueuedRequest, sendRequest } from "./net-request.ts";

export interface NetWorkerOptions {
  /** URL of the database as a superuser. */
  adminUrl: string;
  onError?(message: string): void;
}

export interface NetWorker {
  /** From here on nothing is sent: the worker stands still, as the real one at times does. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

const BATCH_SIZE = 200;
const POLL_MS = 1000;
const RESPONSES_LIVE = "6 hours";

/** Starts the worker; it is up when this resolves. */
export async function startNetWorker(options: NetWorkerOptions): Promise<NetWorker> {
  const onError = options.onError ?? (() => {});
  const connect = () =>
    postgres(options.adminUrl, {
      max: 1,
      onnotice: () => {},
      // Times out of mind would be cut off in the middle of a batch.
      connection: { application_name: "pg_net", statement_timeout: 0 },
    });
  const work = connect();
  const ears = connect();
  const stopping = new AbortController();
  let paused = false;
  let wanted = true;
  let wake = () => {};

  function wakeUp() {
    wanted = true;
    wake();
  }

  // Listens again by itself when the server comes back, and looks at once what came in meanwhile.
  await ears.listen("pg_net", wakeUp, wakeUp);

  async function run() {
    while (!stopping.signal.aborted) {
      if (!wanted || paused) {
        await sleep();
        continue;
      }
      wanted = false;
      try {
        if (await sendBatch(work, stopping.signal) > 0) wanted = true;
      } catch (error) {
        if (stopping.signal.aborted) return;
        wanted = true;
        onError(`pg_net: ${error instanceof Error ? error.message : error}`);
      }
      if (wanted) await sleep(POLL_MS);
    }
  }

  /** Until woken, or for this long whatever comes. */
  async function sleep(ms?: number) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      const end = () => resolve();
      if (ms === undefined) wake = end;
      else timer = setTimeout(end, ms);
      stopping.signal.addEventListener("abort", end, { once: true });
    });
    clearTimeout(timer);
    wake = () => {};
  }

  const running = run();
  return {
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      wake();
    },
    async stop() {
      stopping.abort();
      await running;
      await Promise.all([ears.end({ timeout: 0 }), work.end({ timeout: 0 })]);
    },
  };
}

/** One transaction, as in pg_net: take, send, wait for all, write. Returns how many were taken. */
async function sendBatch(sql: Sql, stopped: AbortSignal): Promise<number> {
  return await sql.begin(async (transaction) => {
    const expired = await transaction`
      delete from net._http_response where ctid in (
        select ctid from net._http_response
        where created < now() - ${RESPONSES_LIVE}::interval order by created limit ${BATCH_SIZE})`;
    const requests = await transaction<QueuedRequest[]>`
      delete from net.http_request_queue where id in (
        select id from net.http_request_queue order by id limit ${BATCH_SIZE})
      returning id, method, url, headers, body, timeout_milliseconds`;
    if (requests.length === 0) return expired.count;
    const responses: NetResponse[] = await Promise.all(
      requests.map((request) => sendRequest(request, stopped)),
    );
    for (const response of responses) {
      await transaction`
        insert into net._http_response
          (id, status_code, content_type, headers, content, timed_out, error_msg)
        values (
          ${response.id}, ${response.status_code}, ${response.content_type},
          ${response.headers === null ? null : transaction.json(response.headers)},
          ${response.content}, ${response.timed_out}, ${response.error_msg})`;
    }
    return requests.length + expired.count;
  });
}
