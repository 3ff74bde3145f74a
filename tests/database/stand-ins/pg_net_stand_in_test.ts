import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const bare = { packs: "none" } as const;

Deno.test("net.http_post() queues the request with pg_net's defaults and gives its id", () =>
  withDatabase(async ({ sql }) => {
    const [made] =
      await sql`select net.http_post('http://127.0.0.1/path', '{"a": 1}'::jsonb) as id`;
    const [queued] =
      await sql`select *, convert_from(body, 'utf8') as text from net.http_request_queue`;
    assert.equal(queued!.id, made!.id);
    assert.equal(queued!.method, "POST");
    assert.equal(queued!.url, "http://127.0.0.1/path");
    assert.deepEqual(queued!.headers, { "Content-Type": "application/json" });
    assert.equal(queued!.text, '{"a": 1}');
    assert.equal(queued!.timeout_milliseconds, 5000);
  }, bare));

Deno.test("net.http_post() adds the content type to headers without one and refuses another", () =>
  withDatabase(async ({ sql }) => {
    await sql`select net.http_post('http://h/', headers := '{"x-a": "b"}')`;
    const [queued] = await sql`select headers from net.http_request_queue`;
    assert.deepEqual(queued!.headers, { "Content-Type": "application/json", "x-a": "b" });
    await assert.rejects(
      sql`select net.http_post('http://h/',
        headers := '{"content-type": "application/json; charset=utf-8"}')`,
      { code: "P0001", message: 'Content-Type header must be "application/json"' },
    );
  }, bare));

Deno.test("net.http_get() and http_delete() encode their parameters", () =>
  withDatabase(async ({ sql }) => {
    await sql`select net.http_get('http://h/p?a=1', '{"q": "a b&c=ü/"}')`;
    await sql`select net.http_delete('http://h', '{"id": "5"}', body := '{"x": 1}')`;
    const queued = await sql`
      select method, url, convert_from(body, 'utf8') as body, headers
      from net.http_request_queue order by id`;
    assert.deepEqual([...queued], [
      { method: "GET", url: "http://h/p?a=1&q=a%20b%26c%3D%C3%BC%2F", body: null, headers: {} },
      { method: "DELETE", url: "http://h/?id=5", body: '{"x": 1}', headers: {} },
    ]);
  }, bare));

Deno.test("a URL that is null or none raises in the caller, with all of it in the message", () =>
  withDatabase(async ({ sql }) => {
    await assert.rejects(sql`select net.http_post(null)`, { code: "23502" });
    const refused: [string, string][] = [
      ["nowhere", "Bad scheme"],
      ["/path?key=secret", "Bad scheme"],
      ["127.0.0.1/path", "Bad scheme"],
      ["://h/", "Bad scheme"],
      ["foo://h/", "Unsupported URL scheme"],
      ["http://h:port/", "Port number was not a decimal number between 0 and 65535"],
      ["http://user:password@h:65536/", "Port number was not a decimal number between 0 and 65535"],
      ["http://", "No host part in the URL"],
      ["http://:80/", "No host part in the URL"],
      ["http://[::1/", "Bad IPv6 address"],
      ["http://a|b/", "Bad hostname"],
      ["", "Malformed input to a URL function"],
      ["http:// h/", "Malformed input to a URL function"],
      ["http://h/a b", "Malformed input to a URL function"],
      ["http://h/a\n", "Malformed input to a URL function"],
    ];
    for (const [url, problem] of refused) {
      const message = `invalid URL "${url}": ${problem}`;
      await assert.rejects(sql`select net.http_post(${url})`, { code: "XX000", message });
    }
    assert.equal((await sql`select * from net.http_request_queue`).length, 0);
  }, bare));

Deno.test("a URL that libcurl takes is queued, whether its scheme is served or not", () =>
  withDatabase(async ({ sql }) => {
    const taken: [string, string][] = [
      ["HTTP://h", "http://h/"],
      ["https://user:pass@h:8443/a?b=c#d", "https://user:pass@h:8443/a?b=c#d"],
      ["http://[::1]:54321/x", "http://[::1]:54321/x"],
      ["http://h?q", "http://h/?q"],
      ["ftp://h/file", "ftp://h/file"],
      ["file:///etc/hostname", "file:///etc/hostname"],
    ];
    for (const [url, kept] of taken) {
      const [queued] = await sql`
        with made as (select net.http_get(${url}) as id) select id from made`;
      const [row] = await sql`select url from net.http_request_queue where id = ${queued!.id}`;
      assert.equal(row!.url, kept);
    }
  }, bare));

Deno.test("both tables are unlogged and every role may read and write them", () =>
  withDatabase(async ({ sql, connect }) => {
    const persistence = await sql`
      select relname, relpersistence from pg_class
      where oid in ('net.http_request_queue'::regclass, 'net._http_response'::regclass)`;
    assert.deepEqual(persistence.map((row) => row.relpersistence), ["u", "u"]);
    for (const role of ["anon", "authenticated", "service_role"] as const) {
      await connect(role)`select net.http_get('http://h/')`;
      await connect(role)`delete from net.http_request_queue`;
      await connect(role)`delete from net._http_response`;
    }
  }, bare));

Deno.test("net.check_worker_is_up() raises while no worker is there", () =>
  withDatabase(async ({ sql }) => {
    await assert.rejects(sql`select net.check_worker_is_up()`, {
      message: "the pg_net background worker is not up",
    });
  }, bare));

Deno.test("net._http_collect_response() tells an answer from an error and from nothing", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into net._http_response (id, status_code, headers, content, timed_out, error_msg) values
        (1, 200, '{"a": "b"}', 'hello', false, null), (2, null, null, null, false, 'no route')`;
    const [answer] = await sql`
      select (r).status, (r).message, ((r).response).status_code, ((r).response).body
      from net._http_collect_response(1) as r`;
    assert.deepEqual({ ...answer }, {
      status: "SUCCESS",
      message: "ok",
      status_code: 200,
      body: "hello",
    });
    for (const [id, message] of [[2, "no route"], [3, "request matching request_id not found"]]) {
      const [row] = await sql`select * from net._http_collect_response(${id as number})`;
      assert.deepEqual([row!.status, row!.message], ["ERROR", message]);
    }
  }, bare));
