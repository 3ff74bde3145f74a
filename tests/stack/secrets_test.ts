import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { beatUntilIdle, fire, readLog, registerJob } from "../support/faults.ts";
import { runs, setSecret } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

/** A secret of the job `leaks`, which says so. */
const OWN_SECRET = "an-api-key-of-the-job-itself-0123456789";
/** Another, of which it says the ending alone. */
const FOUND_SECRET = "an-api-key-with-a-name-like-others-0123456789";
const WRONG_SECRET = "a-wrong-secret-of-more-than-32-characters";

Deno.test("secrets stay where they are", (test) =>
  withStack(
    { cron: false, env: { LEAKS_API_KEY: OWN_SECRET, LEAKS_FOUND_KEY: FOUND_SECRET } },
    async (stack) => {
      const { apiUrl, sql, keys } = stack;
      const secrets = [
        keys.cronSecret,
        keys.secretKey,
        keys.serviceRoleKey,
        WRONG_SECRET,
        OWN_SECRET,
        FOUND_SECRET,
      ];

      await test.step("after runs that complete, fail, throw them, and are refused", async () => {
        await registerJob(sql, "completes");
        await registerJob(sql, "throws", { payload: { behaviour: "throw" } });
        for (const how of ["throw", "return"]) {
          const payload = { how };
          await registerJob(sql, `leaks-${how}`, { target: "leaks", max_attempts: 1, payload });
        }
        await registerJob(sql, "nowhere", { target: "nowhere", max_attempts: 1 });
        for (
          const job of ["completes", "throws", "leaks-throw", "leaks-return", "nowhere"]
        ) await fire(sql, job);
        await beatUntilIdle(sql);
        const [leaked] = await runs(sql, "leaks-throw");
        assert.match(leaked?.error_message, /\[redacted\].*\[redacted\]/);
        const [returned] = await runs(sql, "leaks-return");
        assert.match(returned?.result.summary, /\[redacted\]/);
        assert.match(returned?.progress.secrets, /\[redacted\]/);
        const lines = await sql`
        select severity, message from scheduler_activity where source like 'leaks-%' order by source`;
        assert.deepEqual(lines.map((line) => line.severity), ["warning", "error"]);
        for (const line of lines) assert.match(line.message, /\[redacted\]/);

        await setSecret(sql, "cron_secret", WRONG_SECRET);
        await registerJob(sql, "refused", { max_attempts: 1 });
        await fire(sql, "refused");
        await beatUntilIdle(sql);
        assert.equal((await runs(sql, "refused"))[0]?.verdict, "unauthorized");

        for (
          const headers of [
            { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
            { authorization: `Bearer ${keys.secretKey}` },
            { "x-cron-secret": WRONG_SECRET },
          ]
        ) {
          const response = await fetch(`${apiUrl}/functions/v1/fickle`, {
            method: "POST",
            headers,
          });
          assertNone(await response.text(), secrets, "an answer");
        }
      });

      await test.step("no table holds one, but Vault", async () => {
        const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
        const tables = await admin`
          select format('%I.%I', nspname, relname) as name
          from pg_class join pg_namespace on pg_namespace.oid = relnamespace
          where relkind in ('r', 'p', 'v', 'm') and nspname not in ('pg_catalog', 'information_schema', 'vault')`;
        const names = tables.map((row) => row.name);
        for (const name of ["net.http_request_queue", "net._http_response", "cron.job"]) {
          assert.ok(names.includes(name), name);
        }
        for (const name of names) {
          const [row] = await admin.unsafe(
            `select coalesce(string_agg(t::text, ' '), '') as text from ${name} as t`,
          );
          assertNone(row!.text, secrets, name);
        }
        await admin.end();
      });

      await test.step("no log holds one", async () => {
        const log = await readLog(stack);
        assert.match(log, /\[redacted\]/);
        assertNone(log, secrets, "functions.log");
        assertNone(
          await Deno.readTextFile(join(stack.dataDirectory, "postgres.log")),
          secrets,
          "postgres.log",
        );
      });
    },
  ));

function assertNone(text: string, secrets: string[], where: string): void {
  for (const secret of secrets) {
    assert.ok(!text.includes(secret), `${where} holds a secret: ${text.slice(0, 500)}`);
  }
}
