import assert from "node:assert/strict";
import { requestOf, Unadoptable } from "../../../cli/adopt/request.ts";
import { loadSqlParser } from "../../../cli/audit/work.ts";

await loadSqlParser();

const url = "'https://abc.supabase.co/functions/v1/f'";
const vault = (name: string) =>
  `(select decrypted_secret from vault.decrypted_secrets where name = '${name}')`;

function reasonOf(command: string): string {
  try {
    requestOf(command);
  } catch (error) {
    if (error instanceof Unadoptable) return error.message;
    throw error;
  }
  assert.fail(`it is read: ${command}`);
}

Deno.test("a request is read whichever way its arguments are given", () => {
  const asked = {
    url: [{ text: "https://abc.supabase.co/functions/v1/f" }],
    headers: [{ name: "Content-Type", value: [{ text: "application/json" }] }],
    payload: '{"a": 1}',
    timeoutMs: 9000,
  };
  const type = `'{"Content-Type": "application/json"}'::jsonb`;
  for (
    const command of [
      `select net.http_post(url := ${url}, headers := ${type}, body := '{"a": 1}'::jsonb, timeout_milliseconds := 9000)`,
      `select net.http_post(${url}, '{"a":1}', '{}', ${type}, 9000) as request_id;`,
      `SELECT net.http_post(${url}, headers => jsonb_build_object('Content-Type', 'application/json'),
        body => json_build_object('a', 1)::jsonb, timeout_milliseconds => 9000);`,
      `-- nightly\nselect net.http_post(url := concat('https://abc.supabase.co', '/functions/v1/f'),
        body := '{"a":' || '1}', headers := ${type}, timeout_milliseconds := 9000)`,
    ]
  ) assert.deepEqual(requestOf(command), asked, command);
});

Deno.test("what is looked up in Vault or in a setting is named, also within JSON", () => {
  const request = requestOf(`select net.http_post(
    url := ${vault("project_url")} || '/functions/v1/f',
    headers := ('{"Authorization": "Bearer ' || ${vault("key")} || '"}')::jsonb)`);
  assert.deepEqual(request.url, [{ vault: "project_url" }, { text: "/functions/v1/f" }]);
  assert.deepEqual(request.headers, [{
    name: "Authorization",
    value: [{ text: "Bearer " }, { vault: "key" }],
  }]);
  const other = requestOf(`select net.http_post(
    url := current_setting('app.settings.url', true)::text || '/f',
    headers := jsonb_build_object('x-cron-secret', (
      select d.decrypted_secret::text from vault.decrypted_secrets d where 'cron' = d.name limit 1)))`);
  assert.deepEqual(other.url, [{ setting: "app.settings.url" }, { text: "/f" }]);
  assert.deepEqual(other.headers, [{ name: "x-cron-secret", value: [{ vault: "cron" }] }]);
});

Deno.test("a payload keeps every digit, quote and kind of value", () => {
  const payload = (body: string) =>
    requestOf(`select net.http_post(${url}, body := ${body})`).payload;
  assert.equal(
    payload(
      `'{"id": 12345678901234567890, "n": 1.50, "t": "it''s \\u263a", "l": [1, null, true]}'`,
    ),
    '{"id": 12345678901234567890, "n": 1.50, "t": "it\'s ☺", "l": [1, null, true]}',
  );
  assert.equal(
    payload(
      `jsonb_build_object('a', 0, 'b', -1.5, 'c', false, 'd', null, 'e', '{}', 'f', '{}'::jsonb,
      'g', jsonb_build_array(12345678901234567890, 'x'))`,
    ),
    '{"a": 0, "b": -1.5, "c": false, "d": null, "e": "{}", "f": {}, "g": [12345678901234567890, "x"]}',
  );
  assert.equal(payload(`E'{"a": "\\\\"quoted\\\\""}'`), '{"a": "\\"quoted\\""}');
  assert.equal(requestOf(`select net.http_post(${url})`).payload, "{}");
});

Deno.test("what is no single request that a job could make has its reason", () => {
  const post = `net.http_post(${url})`;
  for (
    const [command, reason] of [
      ["vacuum analyze", /^it is SQL, and a job makes a request$/],
      ["select public.nightly()", /^it is SQL/],
      ["select nonsense from", /cannot be read$/],
      [`select ${post}; select ${post}`, /^it makes 2 requests$/],
      [`select ${post}, ${post}`, /^it makes 2 requests$/],
      [`select ${post}; delete from t`, /other statements/],
      [`select ${post} where now() > '2026-01-01'`, /under conditions.*run_if/],
      [`select ${post} from generate_series(1, 3)`, /part of a query/],
      [`select id from (select ${post} as id) x`, /part of a query/],
      [`with x as (select ${post}) select 1 from x`, /part of a query/],
      [`select ${post} order by 1 limit 0`, /part of a query/],
      [`insert into log select ${post}`, /part of a query/],
      [`do $$ begin perform ${post}; end $$`, /within a block of code/],
      [`select net.http_get(${url})`, /calls net.http_get/],
      [`select http_post(${url})`, /it calls http_post, and only net.http_post is known/],
      [`select net.http_post(${url}, params := '{"a": "1"}')`, /parameters/],
      [`select net.http_post(${url}, retries := 3)`, /argument retries/],
      [`select net.http_post(url())`, /URL is computed/],
      [`select net.http_post(format('%s', x))`, /URL is computed/],
      [`select net.http_post(${url}, body := jsonb_build_object('t', now()))`, /body is computed/],
      [
        `select net.http_post(${url}, body := concat('{"t": "', now(), '"}')::jsonb)`,
        /body is computed/,
      ],
      [
        `select net.http_post(${url}, body := jsonb_build_object('k', ${vault("k")}))`,
        /body is computed/,
      ],
      [`select net.http_post(${url}, body := '[1]')`, /no JSON object/],
      [`select net.http_post(${url}, body := 'no json')`, /body is no JSON$/],
      [`select net.http_post(${url}, body := ''::jsonb)`, /body is no JSON$/],
      [`select net.http_post(${url}, body := null)`, /body is no JSON object/],
      [`select net.http_post(${url}, headers := 'none')`, /headers are no JSON$/],
      [`select net.http_post(${url}, headers := null)`, /headers are no JSON object/],
      [`select net.http_post(${url}, headers := some_headers())`, /headers are computed/],
      [`select net.http_post(${url}, headers := '{"a": {}}')`, /header a is no text/],
      [
        `select net.http_post(${url}, headers := jsonb_build_object('a', md5(${vault("k")})))`,
        /headers are computed/,
      ],
      [
        `select net.http_post(${url}, headers := jsonb_build_object('a',
          (select md5(decrypted_secret) from vault.decrypted_secrets where name = 'k')))`,
        /headers are computed/,
      ],
      [
        `select net.http_post(${url}, headers := jsonb_build_object('a',
          (select decrypted_secret from vault.decrypted_secrets where name <> 'k')))`,
        /headers are computed/,
      ],
      [
        `select net.http_post(${url}, headers := ('{"' || ${vault("k")} || '": "v"}')::jsonb)`,
        /headers are computed/,
      ],
      [`select net.http_post(${url}, timeout_milliseconds := 2 * 1000)`, /timeout is computed/],
    ] as const
  ) assert.match(reasonOf(command), reason, command);
});
