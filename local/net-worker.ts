/**
 * The background worker of the pg_net stand-in, faults included: requests go out in batches of 200 and a
 * batch is committed when its slowest request ends; while there is work it looks once a second.
 */
import postgres, { type Sql } from "postgres";
import { type NetResponse, type QueuedRequest, sendRequest } from "./net-request.ts";
import { within } from "./within.ts";

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
const STOP_LIMIT_MS = 1000;
const RESPONSES_LIVE = "6 hours";

/** Starts the worker; it is up when this resolves. */
export async function startNetWorker(options: NetWorkerOptions): Promise<NetWorker> {
  const onError = options.onError ?? (() => {});
  const connect = () =>
    postgres(options.adminUrl, {
      max: 1,
      onnotice: () => {},
      // What it would look up when it connects is not needed, and nobody could catch its failure.
      fetch_types: false,
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
      // Whatever still waits on these connections is refused; the server rolls its part back.
      await Promise.all([ears.end({ timeout: 0 }), work.end({ timeout: 0 })]);
      // A query that was on its way when the server died may never be answered, not even with an error.
      await within(STOP_LIMIT_MS, running);
    },
  };
}

/**
 * One transaction, as in pg_net: take, send, wait for all, write. Returns how many were taken.
 *
 * Written out, not with sql.begin(): when the server dies in the middle, what is left to do here must not
 * run on the connection that replaces the lost one.
 */
async function sendBatch(sql: Sql, stopped: AbortSignal): Promise<number> {
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  try {
    await sql`begin`;
    const expired = await sql`
      delete from net._http_response where ctid in (
        select ctid from net._http_response
        where created < now() - ${RESPONSES_LIVE}::interval order by created limit ${BATCH_SIZE})`;
    const requests = await sql<QueuedRequest[]>`
      delete from net.http_request_queue where id in (
        select id from net.http_request_queue order by id limit ${BATCH_SIZE})
      returning id, method, url, headers, body, timeout_milliseconds`;
    const responses = await Promise.all(
      requests.map((request) => sendRequest(request, stopped)),
    );
    if (responses.length > 0) await writeResponses(sql, responses, backend!.pid);
    await sql`commit`;
    return requests.length + expired.count;
  } catch (error) {
    await sql`rollback`.catch(() => {});
    throw error;
  }
}

async function writeResponses(sql: Sql, responses: NetResponse[], pid: number) {
  await sql`
    insert into net._http_response
      (id, status_code, content_type, headers, content, timed_out, error_msg)
    select id, status_code, content_type, headers, content, timed_out, error_msg
    from jsonb_to_recordset(${sql.json(responses as never)}) as responses (
      id bigint, status_code integer, content_type text, headers jsonb, content text,
      timed_out boolean, error_msg text)
    where pg_backend_pid() = ${pid}`;
}
