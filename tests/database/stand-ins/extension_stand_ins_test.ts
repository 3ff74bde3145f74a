import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { timeoutsComeEarly } from "../../support/moments.ts";

Deno.test("a migration's create extension finds the stand-ins, as a role that is no superuser", () =>
  withDatabase(async ({ sql, connect }) => {
    const notices: string[] = [];
    const listening = connect("postgres", { onnotice: (notice) => notices.push(notice.code!) });
    await listening`create extension if not exists pg_cron with schema pg_catalog`;
    await listening`create extension if not exists pg_net with schema extensions`;
    await listening`create extension if not exists supabase_vault with schema vault`;
    // 42710: already exists, skipping.
    assert.deepEqual(notices, ["42710", "42710", "42710"]);
    const extensions = await sql`
      select extname, extversion, extnamespace::regnamespace::text as schema from pg_extension
      where extname in ('pg_cron', 'pg_net', 'supabase_vault') order by 1`;
    assert.deepEqual([...extensions], [
      { extname: "pg_cron", extversion: "1.6", schema: "pg_catalog" },
      { extname: "pg_net", extversion: "0.20.0", schema: "extensions" },
      { extname: "supabase_vault", extversion: "0.3.1", schema: "vault" },
    ]);
  }, { packs: "none" }));

Deno.test("every object of a stand-in belongs to its extension", () =>
  withDatabase(async ({ sql }) => {
    const strays = await sql`
      select objects.name from (
        select oid, 'pg_class'::regclass as class, oid::regclass::text as name from pg_class
        where relnamespace in ('cron'::regnamespace, 'net'::regnamespace, 'vault'::regnamespace)
          and relkind in ('r', 'v', 'S')
        union all
        select oid, 'pg_proc'::regclass, oid::regprocedure::text from pg_proc
        where pronamespace in ('cron'::regnamespace, 'net'::regnamespace, 'vault'::regnamespace)
      ) as objects
      where not exists (
        select from pg_depend where classid = class and objid = oid and deptype = 'e')`;
    assert.deepEqual([...strays], []);
  }, { packs: "none" }));

Deno.test("the roles are as on Supabase", () =>
  withDatabase(async ({ sql }) => {
    const roles = await sql`
      select rolname, rolsuper, rolbypassrls, rolcanlogin, rolcreaterole from pg_roles
      where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator')
      order by 1`;
    const row = (name: string, bypass: boolean, login: boolean, create: boolean) => ({
      rolname: name,
      rolsuper: false,
      rolbypassrls: bypass,
      rolcanlogin: login,
      rolcreaterole: create,
    });
    assert.deepEqual([...roles], [
      row("anon", false, false, false),
      row("authenticated", false, false, false),
      row("authenticator", false, true, false),
      row("postgres", true, true, true),
      row("service_role", true, false, false),
    ]);
  }));

Deno.test({
  name: "a request of a role is stopped after as long as on Supabase",
  ignore: timeoutsComeEarly,
  fn: () =>
    withDatabase(async ({ connect }) => {
      const timeout = async (role: "anon" | "authenticated" | "service_role" | "postgres") =>
        (await connect(role)`show statement_timeout`)[0]!.statement_timeout;
      assert.deepEqual(
        await Promise.all([
          timeout("anon"),
          timeout("authenticated"),
          timeout("service_role"),
          timeout("postgres"),
        ]),
        ["3s", "8s", "8s", "0"],
      );
    }, { packs: "none" }),
});

Deno.test("a table whose migration forgets to revoke is open to anon, so that it shows", () =>
  withDatabase(async ({ sql, connect }) => {
    await sql`create table public.forgotten (id integer)`;
    assert.deepEqual([...await connect("anon")`select * from public.forgotten`], []);
  }, { packs: "none" }));
