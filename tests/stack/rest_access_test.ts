// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import type { Sql } from "postgres";
import { loadKeys } from "../../local/keys.ts";
import { type Stack, withStack } from "../support/stack.ts";

/** Values with which every function of ours can be called. */
const SAMPLES: Record<string, unknown> = {
  uuid: "00000000-0000-0000-0000-000000000001",
  text: "2026-03-01",
  jsonb: {},
  boolean: true,
  "timestamp with time zone": "2026-03-01T00:00:00Z",
  "text[]": [],
};

async function tables(sql: Sql): Promise<string[]> {
  const rows = await sql`
    select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by relname`;
  return rows.map((row) => row.relname);
}

/** Every function in `public` with a value for each of its arguments. */
async function functions(sql: Sql): Promise<{ name: string; args: Record<string, unknown> }[]> {
  const rows = await sql`
    select proname as name, to_json(coalesce(proargnames[1:pronargs], '{}')) as names,
      to_json(array(select format_type(type, null) from unnest(proargtypes) as type)) as types
    from pg_proc
    where pronamespace = 'public'::regnamespace and prokind = 'f' and prorettype <> 'trigger'::regtype
    order by proname`;
  return rows.map(({ name, names, types }) => ({
    name,
    args: Object.fromEntries(
      names.map((arg: string, index: number) => [arg, SAMPLES[types[index]] ?? 1]),
    ),
  }));
}

function userToken(jwtSecret: string): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  // PostgREST goes by the true time, also where the clock of the tests is set to another.
  const exp = Date.UTC(2100, 0) / 1000;
  const claims = { role: "authenticated", sub: SAMPLES.uuid, aud: "authenticated", exp };
  const content = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${content}.${createHmac("sha256", jwtSecret).update(content).digest("base64url")}`;
}

async function ask(
  { apiUrl }: Stack,
  path: string,
  headers: Record<string, string>,
  method = "GET",
  body?: unknown,
) {
  const response = await fetch(`${apiUrl}/rest/v1/${path}`, {
    method,
    headers: { ...headers, "content-type": "application/json", prefer: "return=minimal" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text), text };
}

Deno.test("the ledger through REST", (test) =>
  withStack({ cron: false, seed: true }, async (stack) => {
    const { sql, keys } = stack;
    const { jwtSecret } = await loadKeys(stack.dataDirectory);
    const names = await tables(sql);
    const calls = await functions(sql);
    assert.ok(names.includes("scheduler_runs") && names.includes("scheduler_settings"));
    assert.ok(calls.some(({ name }) => name === "scheduler_begin_run"));

    const strangers: [string, Record<string, string>, number][] = [
      ["the publishable key", { apikey: keys.publishableKey }, 401],
      ["the anon key", { apikey: keys.anonKey, authorization: `Bearer ${keys.anonKey}` }, 401],
      [
        "a user who is logged in",
        { apikey: keys.publishableKey, authorization: `Bearer ${userToken(jwtSecret)}` },
        403,
      ],
    ];
    for (const [who, headers, refused] of strangers) {
      await test.step(`${who} reads, changes and calls nothing`, async () => {
        for (const name of names) {
          for (
            const [method, path, body] of [
              ["GET", `${name}?limit=1`, undefined],
              ["POST", name, {}],
              ["DELETE", name, undefined],
            ] as const
          ) {
            const answer = await ask(stack, path, headers, method, body);
            assert.equal(answer.status, refused, `${method} ${path}: ${answer.text}`);
            assert.equal(answer.body.code, "42501", `${method} ${path}: ${answer.text}`);
          }
        }
        for (const { name, args } of calls) {
          const answer = await ask(stack, `rpc/${name}`, headers, "POST", args);
          assert.equal(answer.status, refused, `${name}: ${answer.text}`);
          assert.match(answer.body.message, /^permission denied for function /);
        }
        for (const schema of ["scheduler", "net", "vault", "cron"]) {
          const answer = await ask(stack, "verdicts", { ...headers, "accept-profile": schema });
          assert.equal(answer.status, 406, answer.text);
        }
        const root = await ask(stack, "", headers);
        assert.doesNotMatch(root.text, /scheduler_runs|scheduler_begin_run|scheduler_settings/);
      });
    }

    await test.step("a call without a key, or with another project's token, gets no answer", async () => {
      assert.equal((await ask(stack, "scheduler_runs", {})).status, 401);
      const forged = { apikey: keys.publishableKey, authorization: `Bearer ${userToken("other")}` };
      assert.equal((await ask(stack, "scheduler_runs", forged)).status, 401);
    });

    for (const key of [keys.secretKey, keys.serviceRoleKey]) {
      await test.step(`${key === keys.secretKey ? "the secret" : "the service-role"} key reads the ledger and cannot write it`, async () => {
        const headers = { apikey: key };
        for (const name of ["scheduler_runs", "scheduler_jobs", "scheduler_locks"]) {
          assert.equal((await ask(stack, name, headers)).status, 200);
          const column = name === "scheduler_runs" ? "status" : "name";
          for (
            const [method, path, body] of [
              ["POST", name, {}],
              ["PATCH", `${name}?${column}=eq.x`, { [column]: "x" }],
              ["DELETE", `${name}?${column}=eq.x`, undefined],
            ] as const
          ) {
            const answer = await ask(stack, path, headers, method, body);
            assert.equal(answer.status, 403, `${method} ${name}: ${answer.text}`);
            assert.equal(answer.body.code, "42501");
          }
        }
        const begun = await ask(stack, "rpc/scheduler_begin_run", headers, "POST", {
          p_run_id: SAMPLES.uuid,
          p_function_name: "x",
        });
        assert.deepEqual(begun.body, { begun: false, reason: "unknown run" });
      });
    }

    await test.step("a function that refuses is answered 400 with its SQLSTATE", async () => {
      const headers = { apikey: keys.secretKey };
      for (
        const [name, args, code] of [
          [
            "cancel_scheduled_action",
            { p_id: SAMPLES.uuid, p_reason: "no longer wanted", p_author: "ann" },
            "SD006",
          ],
          ["try_mark_daily_run", { p_today_key: "today" }, "22023"],
        ] as const
      ) {
        const answer = await ask(stack, `rpc/${name}`, headers, "POST", args);
        assert.deepEqual([answer.status, answer.body.code], [400, code], answer.text);
      }
    });
  }));
