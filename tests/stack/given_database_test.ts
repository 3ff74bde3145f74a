// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres from "postgres";
import { requiredEnv, withDatabase } from "../support/database.ts";
import { withStack } from "../support/stack.ts";

Deno.test("on a server that is given the stack's own URL is the role postgres, and no password changes", () =>
  withDatabase(async ({ admin, name }) => {
    const passwords = () =>
      admin`
      select rolname, rolpassword from pg_authid where rolname not like 'daybook%' order by rolname`;
    const before = await passwords();
    const given = new URL(requiredEnv("DAYBOOK_TEST_DATABASE_URL"));
    given.pathname = `/${name}`;
    await withStack({ databaseUrl: given.href, cron: false }, async (stack) => {
      const { apiUrl, databaseUrl, keys } = stack;
      const sql = postgres(databaseUrl, { max: 1 });
      const [role] = await sql`
        select current_user as name, rolsuper as superuser, rolbypassrls as "bypassRls"
        from pg_roles where rolname = current_user`;
      assert.deepEqual({ ...role }, { name: "postgres", superuser: false, bypassRls: true });
      await assert.rejects(sql`reset session authorization; set role supabase_admin`.simple(), {
        code: "42501",
      });
      await sql.end();

      const echoed = await fetch(`${apiUrl}/functions/v1/echo`, { method: "POST" });
      assert.equal((await echoed.json()).env.SUPABASE_DB_URL, databaseUrl);
      const read = await fetch(`${apiUrl}/rest/v1/scheduler_jobs?select=name`, {
        headers: { apikey: keys.secretKey },
      });
      assert.equal(read.status, 200, await read.text());
      const refused = await fetch(`${apiUrl}/rest/v1/scheduler_jobs?select=name`, {
        headers: { apikey: keys.publishableKey },
      });
      assert.equal(refused.status, 401, await refused.text());
    });
    assert.deepEqual(await passwords(), before);
  }, { packs: "none" }));
