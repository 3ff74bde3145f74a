import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { freePort } from "../../../local/free-port.ts";
import { sendRequest } from "../../../local/net-request.ts";
import { type NetWorker, startNetWorker } from "../../../local/net-worker.ts";
import { assertQuick } from "../../support/assert-quick.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { recreatePgNet } from "../../support/recreate-pg-net.ts";
import { waitUntil } from "../../support/wait-until.ts";

interface Received {
  method: string;
  path: string;
  headers: Headers;
  body: string;
  at: number;
}

interface Server {
  url: string;
  requests: Received[];
}

/**
 * A worker at work and a server that answers `/slow` when the test lets it, what `answers` says, and 201 to
 * all else.
 */
async function withWorker(
  fn: (
    parts: TestDatabase & Server & { worker: NetWorker; errors: string[]; release(): void },
  ) => Promise<void>,
  answers: Record<string, (request: Request) => Response> = {},
): Promise<void> {
  const requests: Server["requests"] = [];
  const released = Promise.withResolvers<void>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      requests.push({
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body: await request.text(),
        at: Date.now(),
      });
      if (pathname === "/slow") await released.promise;
      if (answers[pathname]) return answers[pathname](request);
      if (pathname === "/moved") return Response.redirect(new URL("/there", request.url));
      if (pathname === "/zero") return new Response("before\0after");
      if (pathname === "/empty") return new Response(null, { status: 204 });
      return Response.json({ hello: "you" }, { status: 201, headers: { "x-answer": "yes" } });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  await withDatabase(async (db) => {
    const adminUrl = new URL(db.url);
    adminUrl.username = "supabase_admin";
    const errors: string[] = [];
    const worker = await startNetWorker({
      adminUrl: adminUrl.href,
      onError: (message) => errors.push(message),
    });
    try {
      await fn({ ...db, url, requests, worker, errors, release: released.resolve });
    } finally {
      released.resolve();
      await worker.stop();
    }
  }, { packs: "none" });
  await server.shutdown();
}

const response = (sql: TestDatabase["sql"], id: unknown) =>
  waitUntil(
    `the response ${id}`,
    async () => (await sql`select * from net._http_response where id = ${id as string}`)[0],
  );

const post = async (sql: TestDatabase["sql"], url: string, timeout = 5000) =>
  (await sql`
    select net.http_post(${url}, '{"a": 1}', headers := '{"x-a": "b"}',
      timeout_milliseconds := ${timeout}) as id`)[0]!.id;

Deno.test("a request is sent after the commit and its answer is kept", () =>
  withWorker(async ({ sql, url, requests }) => {
    const id = await post(sql, `${url}/path?x=1`);
    const row = await response(sql, id);
    assert.equal(row.status_code, 201);
    assert.equal(row.content, '{"hello":"you"}');
    assert.equal(row.content_type, "application/json");
    assert.equal(row.headers["x-answer"], "yes");
    assert.equal(row.timed_out, false);
    assert.equal(row.error_msg, null);
    assert.equal(requests.length, 1);
    const [request] = requests;
    assert.deepEqual([request!.method, request!.path, request!.body], [
      "POST",
      "/path?x=1",
      '{"a": 1}',
    ]);
    assert.equal(request!.headers.get("content-type"), "application/json");
    assert.equal(request!.headers.get("x-a"), "b");
    assert.equal(request!.headers.get("user-agent"), "pg_net/0.20.4");
    assert.equal((await sql`select * from net.http_request_queue`).length, 0);
  }));

Deno.test("a request of a transaction that rolls back is never sent", () =>
  withWorker(async ({ sql, url, requests }) => {
    await assert.rejects(sql.begin(async (transaction) => {
      await transaction`select net.http_post(${`${url}/never`})`;
      throw new Error("rolled back");
    }));
    await response(sql, await post(sql, `${url}/after`));
    assert.deepEqual(requests.map(({ path }) => path), ["/after"]);
  }));

Deno.test("a request that takes too long is recorded as timed out, in pg_net's words", () =>
  withWorker(async ({ sql, url }) => {
    const row = await response(sql, await post(sql, `${url}/slow`, 100));
    assert.equal(row.timed_out, true);
    assert.equal(row.status_code, null);
    assert.match(
      row.error_msg,
      /^Timeout of 100 ms reached\. Total time: \d+\.\d{6} ms \(DNS time: /,
    );
  }));

Deno.test("a server that is not there is an error and no timeout", () =>
  withWorker(async ({ sql }) => {
    const row = await response(sql, await post(sql, `http://127.0.0.1:${freePort()}/`));
    assert.deepEqual([row.timed_out, row.status_code, row.error_msg], [
      false,
      null,
      "Couldn't connect to server",
    ]);
  }));

Deno.test("a redirect is followed and an empty answer has null content", () =>
  withWorker(async ({ sql, url, requests }) => {
    const [get] = await sql`select net.http_get(${`${url}/moved`}) as id`;
    assert.equal((await response(sql, get!.id)).status_code, 201);
    assert.deepEqual(requests.map(({ path }) => path), ["/moved", "/there"]);
    const [empty] = await sql`select net.http_delete(${`${url}/empty`}) as id`;
    assert.equal((await response(sql, empty!.id)).content, null);
  }));

Deno.test("an answer with a zero byte ends there and holds up nothing", () =>
  withWorker(async ({ sql, url }) => {
    const row = await response(sql, await post(sql, `${url}/zero`));
    assert.deepEqual([row.status_code, row.content], [200, "before"]);
  }));

Deno.test("a line break in a header's value puts another header into the request", () =>
  withWorker(async ({ sql, url, requests }) => {
    const [made] = await sql`
      select net.http_post(${url}, headers := ${
      sql.json({ "x-key": "secret\r\nx-evil: 1" })
    }) as id`;
    assert.equal((await response(sql, made!.id)).status_code, 201);
    const { headers } = requests[0]!;
    assert.deepEqual([headers.get("x-key"), headers.get("x-evil")], ["secret", "1"]);
  }));

Deno.test("the answers of a batch appear when its slowest request ends", () =>
  withWorker(async ({ sql, url, requests, release }) => {
    const ids = await sql.begin(async (transaction) => [
      (await transaction`select net.http_post(${`${url}/slow`}) as id`)[0]!.id,
      (await transaction`select net.http_post(${`${url}/fast`}) as id`)[0]!.id,
    ]);
    await waitUntil("both requests", () => requests.length === 2);
    assert.equal((await sql`select * from net._http_response`).length, 0);
    // To others they are in the queue still: the transaction that took them is open.
    assert.equal((await sql`select * from net.http_request_queue`).length, 2);
    release();
    for (const id of ids) assert.equal((await response(sql, id)).status_code, 201);
  }));

Deno.test("a paused worker sends nothing until it is resumed", () =>
  withWorker(async ({ sql, url, requests, worker }) => {
    await response(sql, await post(sql, `${url}/first`));
    worker.pause();
    const id = await post(sql, `${url}/second`);
    await sql`select pg_sleep(0.3)`;
    assert.equal(requests.length, 1);
    worker.resume();
    await response(sql, id);
    assert.equal(requests.length, 2);
  }));

Deno.test("responses older than 6 hours go when the worker next has work", () =>
  withWorker(async ({ sql, url }) => {
    await sql`
      insert into net._http_response (id, status_code, created)
      values (1001, 200, now() - interval '7 hours'), (1002, 200, now() - interval '5 hours')`;
    await response(sql, await post(sql, url));
    const old = await sql`select id from net._http_response where id > 1000`;
    assert.deepEqual(old.map(({ id }) => id), ["1002"]);
  }));

Deno.test("the worker can be seen", () =>
  withWorker(async ({ sql }) => {
    await sql`select net.check_worker_is_up()`;
    await sql`select net.wait_until_running()`;
  }));

const insideOneTransaction = (sql: TestDatabase["sql"], urls: string[]) =>
  sql.begin(async (transaction) => {
    for (const url of urls) await transaction`select net.http_post(${url})`;
  });

const allAnswered = (sql: TestDatabase["sql"], count: number) =>
  waitUntil(`${count} answers`, async () => {
    const rows = await sql`select * from net._http_response order by id`;
    return rows.length >= count && rows;
  });

Deno.test("the requests of one transaction go out in one batch; the first wake after it is heard at once, the others a second later", async () => {
  let betweenFirstTwo = 0;
  const looks = () =>
    withWorker(async ({ sql, url, requests }) => {
      await insideOneTransaction(sql, Array.from({ length: 20 }, (_, index) => `${url}/${index}`));
      await waitUntil("the first batch", () => requests.length === 20);
      await post(sql, `${url}/second`);
      await waitUntil("the second batch", () => requests.length === 21);
      // At once: between two transactions the worker may look.
      await insideOneTransaction(sql, [`${url}/third`, `${url}/third`]);
      const rows = await allAnswered(sql, 23);
      const [first, second, third, ...others] = new Set(rows.map((row) => Number(row.created)));
      betweenFirstTwo = second! - first!;
      // The machine stood still, and the second came by itself: the wake is still to be heard.
      if (betweenFirstTwo >= 900) return;
      assert.deepEqual(others, []);
      assert.deepEqual(
        rows.map((row) => Number(row.created) === first),
        rows.map((_, at) => at < 20),
      );
      assert.ok(third! - second! >= 990, `the third look came after ${third! - second!} ms`);
      assert.ok(requests[21]!.at - requests[20]!.at >= 900);
    });
  await assertQuick("the second look after the first", 900, async () => {
    await looks();
    return betweenFirstTwo;
  });
});

Deno.test("a look takes 200 requests, the rest waits for the next one", () =>
  withWorker(async ({ sql, url, requests }) => {
    await insideOneTransaction(sql, Array.from({ length: 205 }, () => `${url}/`));
    const rows = await allAnswered(sql, 205);
    const batches = Map.groupBy(rows, (row) => Number(row.created));
    assert.deepEqual([...batches.values()].map((batch) => batch.length), [200, 5]);
    assert.ok(requests[200]!.at - requests[199]!.at >= 900);
  }));

Deno.test("a look sends committed requests alone", () =>
  withWorker(async ({ sql, url, requests }) => {
    await sql.begin(async (transaction) => {
      await transaction`select net.http_post(${`${url}/open`})`;
      await response(sql, await post(sql, `${url}/committed`));
      assert.deepEqual(requests.map(({ path }) => path), ["/committed"]);
    });
    await allAnswered(sql, 2);
    assert.deepEqual(requests.map(({ path }) => path), ["/committed", "/open"]);
  }));

Deno.test("a response was created when its batch began, before its request was made", () =>
  withWorker(async ({ sql, url, requests, release }) => {
    const id = await post(sql, `${url}/slow`);
    await waitUntil("the request", () => requests.length === 1);
    const [during] = await sql`
      select xact_start from pg_stat_activity
      where datname = current_database() and state = 'idle in transaction'`;
    release();
    const { created } = await response(sql, id);
    assert.ok(Number(created) <= requests[0]!.at);
    assert.deepEqual(created, during!.xact_start);
  }));

/** The process that others see as pg_net's worker, once it is at its batch. */
async function workerAtBatch(sql: TestDatabase["sql"]): Promise<number> {
  const row = await waitUntil("the worker at its batch", async () =>
    (await sql`
      select pid from pg_stat_activity
      where application_name = 'pg_net' and datname = current_database() and state = 'active'`)[0]);
  return row.pid;
}

Deno.test("a worker that is cancelled sends its whole batch a second time", () =>
  withWorker(async ({ sql, admin, url, requests, release }) => {
    await insideOneTransaction(sql, [`${url}/slow`, `${url}/fast`]);
    await waitUntil("both requests", () => requests.length === 2);
    const pid = await workerAtBatch(sql);
    await admin`select pg_cancel_backend(${pid})`;
    await waitUntil(
      "the worker to notice",
      async () =>
        (await sql`select from pg_stat_activity where pid = ${pid} and state = 'idle'`).length ===
          1,
    );
    release();
    const rows = await allAnswered(sql, 2);
    assert.equal(rows.length, 2);
    assert.deepEqual(requests.map(({ path }) => path).sort(), ["/fast", "/fast", "/slow", "/slow"]);
  }));

Deno.test("a worker whose transaction fails sends its whole batch again", () =>
  withWorker(async ({ sql, admin, url, requests }) => {
    await admin`alter table net._http_response add constraint broken check (status_code <> 201)`;
    await insideOneTransaction(sql, [`${url}/a`, `${url}/b`]);
    await waitUntil("the second time", () => requests.length >= 4);
    assert.equal((await sql`select * from net._http_response`).length, 0);
    await admin`alter table net._http_response drop constraint broken`;
    assert.equal((await allAnswered(sql, 2)).length, 2);
    assert.equal((await sql`select * from net.http_request_queue`).length, 0);
  }));

Deno.test("a worker that is terminated or restarted loses nothing and sends nothing twice", () =>
  withWorker(async ({ sql, admin, url, requests, release }) => {
    const first = await post(sql, `${url}/slow`);
    await waitUntil("the request", () => requests.length === 1);
    assert.equal((await sql`select net.worker_restart() as ok`)[0]!.ok, true);
    await admin`select pg_terminate_backend(${await workerAtBatch(sql)}, 5000)`;
    await assert.rejects(sql`select net.check_worker_is_up()`);
    const second = await post(sql, `${url}/second`);
    release();
    assert.equal((await response(sql, first)).status_code, 201);
    assert.equal((await response(sql, second)).status_code, 201);
    await waitUntil("the worker to be back", async () =>
      (await sql`select from pg_stat_activity
        where application_name = 'pg_net' and datname = current_database()`).length === 1);
    await response(sql, await post(sql, `${url}/third`));
    assert.deepEqual(requests.map(({ path }) => path), ["/slow", "/second", "/third"]);
  }));

Deno.test("a locked table is skipped until the next wake, without an error", () =>
  withWorker(async ({ sql, admin, url, errors }) => {
    await admin.begin(async (locking) => {
      await locking`lock table net._http_response`;
      await post(sql, `${url}/held`);
      // The lock is held until the worker has tried, which the statistics of its session show.
      await waitUntil("the worker to give up", async () =>
        (await sql`
          select from pg_stat_activity where application_name = 'net worker, its batch'
            and datname = current_database() and query = 'rollback'`).length === 1);
    });
    await response(sql, await post(sql, `${url}/wakes`));
    assert.equal((await allAnswered(sql, 2)).length, 2);
    assert.deepEqual(errors, []);
  }));

Deno.test("pg_net dropped and created anew is empty, its ids begin at 1, and other tables keep their rows", () =>
  withWorker(async ({ sql, admin, url }) => {
    await sql`create unlogged table public.kept as select 7 as seven`;
    assert.equal(await post(sql, `${url}/old`), "1");
    await response(sql, 1);
    await recreatePgNet(admin);
    assert.equal((await sql`select * from net._http_response`).length, 0);
    assert.equal(await post(sql, `${url}/new`), "1");
    const row = await response(sql, 1);
    assert.equal(row.status_code, 201);
    assert.deepEqual([...await sql`select * from public.kept`], [{ seven: 7 }]);
    const [extension] = await sql`
      select obj_description(oid, 'pg_extension') as comment from pg_extension
      where extname = 'pg_net'`;
    assert.equal(extension!.comment, "a stand-in of the local stack");
  }));

/** Errors that no server gives on purpose: what answers is made of bytes. */
const FAILURES: [string, string | null, string][] = [
  ["closed at once", "", "Server returned nothing (no headers, no data)"],
  [
    "half an answer",
    "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    "Transferred a partial file",
  ],
  ["no HTTP", "hello\r\n\r\n", "Unsupported protocol"],
  ["reset", null, "Failure when receiving data from the peer"],
];

Deno.test("a connection that breaks leaves libcurl's text and no status", async (t) => {
  for (const [what, bytes, text] of FAILURES) {
    await t.step(what, () => withSocketServer(bytes, (url) => assertFailure(url, text)));
  }
});

Deno.test("an address that cannot be reached leaves libcurl's text and no status", async (t) => {
  const failures: [string, string, string][] = [
    ["nobody listens", `http://127.0.0.1:${freePort()}/`, "Couldn't connect to server"],
    ["unknown host", "http://nowhere.invalid/", "Couldn't resolve host name"],
    ["ftp", "ftp://127.0.0.1/", "Unsupported protocol"],
    ["file", "file:///etc/hostname", "Unsupported protocol"],
  ];
  for (const [what, url, text] of failures) await t.step(what, () => assertFailure(url, text));
});

Deno.test("TLS on a plain port and a loop of redirects leave libcurl's text and no status", () =>
  withWorker(async ({ sql, url }) => {
    const errors: [string, string][] = [
      [url.replace("http:", "https:"), "SSL connect error"],
      [`${url}/loop`, "Number of redirects hit maximum amount"],
    ];
    for (const [address, text] of errors) {
      const row = await response(sql, await post(sql, address));
      assert.deepEqual([row.status_code, row.timed_out, row.error_msg], [null, false, text]);
    }
  }, { "/loop": (request) => Response.redirect(request.url) }));

async function assertFailure(url: string, text: string) {
  const request = { id: "1", method: "GET", url, headers: {}, body: null };
  const response = await sendRequest({ ...request, timeout_milliseconds: 5000 });
  assert.deepEqual(response, {
    id: "1",
    status_code: null,
    content_type: null,
    headers: null,
    content: null,
    timed_out: false,
    error_msg: text,
  });
}

/** A server that answers whatever comes with these bytes and closes, or resets the connection. */
async function withSocketServer(bytes: string | null, fn: (url: string) => Promise<void>) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => bytes === null ? socket.resetAndDestroy() : socket.end(bytes));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  await fn(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await new Promise((closed) => server.close(closed));
}

const STATUSES = [
  ...[304, 405, 408, 409, 500, 502, 599, 400, 413, 401, 403, 404, 429, 503, 504, 546],
];

Deno.test("every status is kept as it is, and is no error", () =>
  withWorker(async ({ sql, url }) => {
    await insideOneTransaction(sql, STATUSES.map((status) => `${url}/status?${status}`));
    const rows = await allAnswered(sql, STATUSES.length);
    assert.deepEqual(
      rows.map((row) => [row.status_code, row.timed_out, row.error_msg]),
      STATUSES.map((status) => [status, false, null]),
    );
  }, {
    "/status": (request) =>
      new Response(null, { status: Number(new URL(request.url).search.slice(1)) }),
  }));

Deno.test("the bytes of any answer are kept up to the first zero", () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const bodies: Record<string, Uint8Array<ArrayBuffer>> = {
    "/html": encode("<!doctype html><p>ü"),
    "/invalid": new Uint8Array([0x61, 0xff, 0xfe, 0x62]),
    "/zero": encode("before\0after"),
    "/first-zero": encode("\0after"),
    "/deep": encode("[".repeat(20_000) + "]".repeat(20_000)),
    "/big": new Uint8Array(20 * 1024 * 1024).fill(0x78),
  };
  const paths = Object.keys(bodies);
  return withWorker(
    async ({ sql, url }) => {
      await insideOneTransaction(sql, paths.map((path) => url + path));
      await allAnswered(sql, paths.length);
      const rows = await sql`
        select status_code, error_msg, octet_length(content) as bytes,
          encode(substr(textsend(content), 1, 8), 'hex') as first
        from net._http_response order by id`;
      const hex = (bytes: Uint8Array) => bytes.subarray(0, 8).toHex();
      assert.deepEqual(
        rows.map((row) => [row.status_code, row.error_msg]),
        paths.map(() => [200, null]),
      );
      const kept = paths.map((path) => bodies[path]!).map((body) =>
        body.includes(0) ? body.subarray(0, body.indexOf(0)) : body
      );
      assert.deepEqual(
        rows.map((row) => [row.bytes, row.first]),
        kept.map((body) => body.length === 0 ? [null, null] : [body.length, hex(body)]),
      );
    },
    Object.fromEntries(paths.map((path) => [path, () => new Response(bodies[path]!)])),
  );
});

Deno.test("a body that comes too slowly is timed out, though its status had come", () =>
  withWorker(async ({ sql, url }) => {
    const row = await response(sql, await post(sql, `${url}/drip`, 200));
    assert.deepEqual([row.status_code, row.timed_out], [null, true]);
    assert.match(row.error_msg, /^Timeout of 200 ms reached\. Total time: \d+\.\d{6} ms \(/);
  }, {
    "/drip": () =>
      new Response(new ReadableStream({ start: (body) => body.enqueue(new Uint8Array(1)) })),
  }));

Deno.test("a limit of 0 is none, and one below 0 holds up its batch for good", () =>
  withWorker(async ({ sql, url, requests, release }) => {
    const endless = await post(sql, `${url}/slow`, 0);
    await waitUntil("the request", () => requests.length === 1);
    release();
    assert.equal((await response(sql, endless)).status_code, 201);
    await sql.begin(async (transaction) => {
      await transaction`select net.http_get(${`${url}/poison`}, timeout_milliseconds := -1)`;
      await transaction`select net.http_get(${`${url}/healthy`})`;
    });
    await waitUntil("the batch to be tried", async () =>
      (await sql`
        select from pg_stat_activity where application_name = 'net worker, its batch'
          and datname = current_database() and query = 'rollback'`).length === 1);
    assert.equal(requests.length, 1);
    assert.equal((await sql`select * from net.http_request_queue`).length, 2);
  }));
