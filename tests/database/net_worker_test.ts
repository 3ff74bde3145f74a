import assert from "node:assert/strict";
import { freePort } from "../../local/free-port.ts";
import { type NetWorker, startNetWorker } from "../../local/net-worker.ts";
import { type TestDatabase, withDatabase } from "../support/database.ts";
import { waitUntil } from "../support/wait-until.ts";

interface Server {
  url: string;
  requests: { method: string; path: string; headers: Headers; body: string }[];
}

/** A worker at work and a server that answers `/slow` when the test lets it, and 201 to all else. */
async function withWorker(
  fn: (parts: TestDatabase & Server & { worker: NetWorker; release(): void }) => Promise<void>,
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
      });
      if (pathname === "/slow") await released.promise;
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
    const worker = await startNetWorker({ adminUrl: adminUrl.href });
    try {
      await fn({ ...db, url, requests, worker, release: released.resolve });
    } finally {
      released.resolve();
      await worker.stop();
    }
  }, { migrated: false });
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
    assert.equal(request!.headers.get("user-agent"), "pg_net/0.20.0");
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
      "Could not connect to server",
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

Deno.test("a line break in a header sends nothing and says so without the value", () =>
  withWorker(async ({ sql, url, requests }) => {
    const [made] = await sql`
      select net.http_post(${url}, headers := ${
      sql.json({ "x-key": "secret\r\nx-evil: 1" })
    }) as id`;
    const row = await response(sql, made!.id);
    assert.equal(row.error_msg, 'header "x-key" contains a carriage return or line feed');
    assert.equal(requests.length, 0);
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

Deno.test("the worker can be seen and restarted", () =>
  withWorker(async ({ sql }) => {
    await sql`select net.check_worker_is_up()`;
    await sql`select net.wait_until_running()`;
    assert.equal((await sql`select net.worker_restart() as ok`)[0]!.ok, true);
  }));
