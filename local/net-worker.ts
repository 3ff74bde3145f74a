/**
 * The background worker of the pg_net stand-in, faults included: requests go out in batches of 200 and a
 * batch is committed when its slowest request ends. While there is work it looks once a second, and the first
 * wake after it turned to its work cuts one such second short.
 */
import postgres, { type Sql } from "postgres";
import { atMost } from "../shared/at-most.ts";
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
/** Postgres starts a worker that has ended again after a second. */
const RESTART_MS = 1000;
const STOP_LIMIT_MS = 1000;
const RESPONSES_LIVE = "6 hours";
/** The key of the advisory lock that a batch holds; any number that has no other use. */
const BATCH_LOCK = 7_165_002_020;
/** Tables that are locked by somebody or not there: the real worker waits for the next wake. */
const NOT_NOW = ["55P03", "42P01", "3F000"];

/** Starts the worker; it is up when this resolves. */
export async function startNetWorker(options: NetWorkerOptions): Promise<NetWorker> {
  const onError = options.onError ?? (() => {});
  const connect = (name: string, onclose = () => {}) =>
    postgres(options.adminUrl, {
      max: 1,
      max_lifetime: null,
      onnotice: () => {},
      onclose,
      // The types that it fetches when it connects are not needed, and no code could catch that failure.
      fetch_types: false,
      connection: { application_name: name, statement_timeout: 0 },
    });
  // A client that waits for requests has no query under way, so nobody could cancel it as one can the real
  // worker. Therefore its batch and what others see of it are two sessions.
  const work = connect("net worker, its batch");
  const ears = connect("net worker, its ears");
  const face = connect("pg_net", () => void appear());
  const stopping = new AbortController();
  let paused = false;
  /** Somebody has work. While this is set further wakes do nothing, as in the real worker: they end no wait. */
  let shouldWake = true;
  let latched = false;
  let endWait = () => {};

  function wakeUp() {
    if (shouldWake) return;
    shouldWake = true;
    setLatch();
  }

  function setLatch() {
    latched = true;
    endWait();
  }

  /** Until the latch is set, at most so long; then it is not set any more. */
  async function waitForLatch(limitMs?: number) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (!latched) {
      await new Promise<void>((resolve) => {
        endWait = resolve;
        if (limitMs !== undefined) timer = setTimeout(resolve, limitMs);
      });
    }
    clearTimeout(timer);
    latched = false;
  }

  /** Connects again a second after the session ended, as a worker that was terminated comes back. */
  async function appear() {
    await sleep(RESTART_MS);
    if (stopping.signal.aborted) return;
    // When the server is gone this closes once more, and is tried again.
    await face`select`.then(wakeUp, () => {});
  }

  await face`select`;
  // Listens again by itself when the server comes back, and looks at once what came in meanwhile.
  await ears.listen("pg_net", wakeUp, wakeUp);

  async function run() {
    while (!stopping.signal.aborted) {
      if (!shouldWake || paused) {
        await waitForLatch();
        continue;
      }
      shouldWake = false;
      try {
        await sendBatches();
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (NOT_NOW.includes((error as { code?: string }).code ?? "")) continue;
        onError(`pg_net: ${error instanceof Error ? error.message : error}`);
        // The real worker dies of it, and its successor begins with a look.
        shouldWake = true;
        await sleep(RESTART_MS);
      }
    }
  }

  /** One after the other until one is empty; the worker waits after that one, too. */
  async function sendBatches() {
    let sent;
    do {
      sent = await sendBatch(work, face, stopping.signal);
      if (!stopping.signal.aborted) await waitForLatch(POLL_MS);
    } while (sent > 0 && !paused && !stopping.signal.aborted);
  }

  /** For this long, or until the worker is stopped. */
  async function sleep(ms: number) {
    if (stopping.signal.aborted) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
      stopping.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    clearTimeout(timer);
  }

  const running = run();
  return {
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      shouldWake = true;
      setLatch();
    },
    async stop() {
      stopping.abort();
      setLatch();
      // Whatever still waits on these connections is refused; the server rolls its part back.
      await Promise.all([ears, work, face].map((sql) => sql.end({ timeout: 0 })));
      // A query that was on its way when the server died may never be answered, not even with an error.
      await atMost(STOP_LIMIT_MS, running);
    },
  };
}

/**
 * One transaction, as in pg_net: take, send, wait for all, write. Returns how many were taken.
 *
 * Written out, not with sql.begin(): when the server dies in the middle, what is left to do here must not
 * run on the connection that replaces the lost one.
 */
async function sendBatch(work: Sql, face: Sql, stopped: AbortSignal): Promise<number> {
  const [backend] = await work<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const over = new AbortController();
  try {
    await work`begin`;
    await work`
      lock table net.http_request_queue, net._http_response in access share mode nowait`;
    const expired = await work`
      delete from net._http_response where ctid in (
        select ctid from net._http_response
        where created < now() - ${RESPONSES_LIVE}::interval order by created limit ${BATCH_SIZE})`;
    const requests = await work<QueuedRequest[]>`
      delete from net.http_request_queue where id in (
        select id from net.http_request_queue order by id limit ${BATCH_SIZE})
      returning id, method::text, url, headers, body, timeout_milliseconds`;
    if (requests.length > 0) {
      await work`select pg_advisory_xact_lock(${BATCH_LOCK}::bigint)`;
      const signal = AbortSignal.any([stopped, over.signal]);
      const responses = await sendAll(requests, watchForCancel(face), signal);
      for (const response of responses) await writeResponse(work, response, backend!.pid);
    }
    await work`commit`;
    return requests.length + expired.count;
  } catch (error) {
    over.abort();
    await work`rollback`.catch(() => {});
    throw error;
  }
}

/**
 * While a batch is out its worker is seen waiting for it. Who cancels that query cancels the worker; one
 * who terminates the session lets the batch end, as the real worker does before it goes.
 */
function watchForCancel(face: Sql): () => void {
  let problem: unknown;
  face`select pg_advisory_xact_lock_shared(${BATCH_LOCK}::bigint)`
    .catch((error) => problem = error.code === "57014" ? error : undefined);
  return () => {
    if (problem !== undefined) throw problem;
  };
}

/** As in the real worker, a cancel is noticed when the next answer is there. */
async function sendAll(
  requests: QueuedRequest[],
  throwIfCancelled: () => void,
  signal: AbortSignal,
): Promise<NetResponse[]> {
  // libcurl refuses it, and pg_net then gives up the whole batch before any of it is sent.
  if (requests.some((request) => request.timeout_milliseconds < 0)) {
    throw new Error("Could not curl_easy_setopt(CURLOPT_TIMEOUT_MS)");
  }
  return await Promise.all(requests.map(async (request) => {
    const response = await sendRequest(request, signal);
    throwIfCancelled();
    return response;
  }));
}

async function writeResponse(sql: Sql, response: NetResponse, pid: number) {
  const { id, status_code, content_type, headers, content, timed_out, error_msg } = response;
  await sql`
    insert into net._http_response
      (id, status_code, content_type, headers, content, timed_out, error_msg)
    select ${id}::bigint, ${status_code}::integer, ${content_type}::text, ${
    sql.json(headers)
  }::jsonb,
      net._unchecked_text(${content}::bytea), ${timed_out}::boolean, ${error_msg}::text
    where pg_backend_pid() = ${pid}`;
}
