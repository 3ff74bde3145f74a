// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { LEDGER } from "../../../install/migrations.ts";
import { compareCatalogues, readCatalogue } from "../../../local/catalogue.ts";
import { readPacks } from "../../../local/packs.ts";
import { withDatabase } from "../../support/database.ts";
import { installation } from "../../support/installation.ts";

const packs = (await readPacks()).map(({ name }) => name);

/** What a project may have of its own beside Daybook. */
const OWN = `
create extension pg_trgm with schema extensions;
create table public.customers (id integer primary key, name text not null);
create function public.count_customers() returns bigint language sql as 'select count(*) from public.customers';
select cron.schedule('nightly', '0 3 * * *', 'select public.count_customers()');
`;

async function assertSame(sql: Sql, before: string[], what: string) {
  assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), [], what);
}

Deno.test("everything installed, used and uninstalled with --drop-ledger leaves the database as it was", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(OWN);
    const before = await readCatalogue(sql);
    const project = await installation(sql);
    await project.install(packs);
    await sql`select scheduler.register_job('mine', '* * * * *')`;
    await sql`select scheduler.run_now('mine', 'ann')`;
    await sql`select scheduler.register_job('after-mine', null, depends_on => '{mine}')`;
    await sql`select scheduler.register_job('mine-at-last', null, depends_on => '{after-mine}')`;
    await sql`select scheduler.pulse()`;
    await project.uninstall([], { dropLedger: true });
    await assertSame(sql, before, "all packs");
  }, { packs: "none" }));

Deno.test("without --drop-ledger the ledger stays, readable by its owner and service_role alone", () =>
  withDatabase(async ({ sql, connect }) => {
    await sql.unsafe(OWN);
    const before = await readCatalogue(sql);
    const project = await installation(sql);
    await project.install(["batches"]);
    await sql`select scheduler.run_now('system-health', 'ann')`;
    await sql`select try_mark_daily_run('2026-03-01')`;
    await sql`select scheduler_log_activity('me', 'a line')`;
    await project.uninstall([]);
    const tables = await sql`
      select relname from pg_class
      where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'customers' order by 1`;
    assert.deepEqual(tables.map(({ relname }) => relname), LEDGER);
    const [rows] = await connect("service_role")`
      select (select count(*)::int from scheduler_runs where trigger = 'manual') as runs,
        (select last_daily_run_key from scheduler_state) as day,
        (select count(*)::int from scheduler_activity where source = 'me') as lines,
        (select string_agg(author || ': ' || verb, ', ') from scheduler_audit where verb not like '%register%') as audit`;
    assert.deepEqual({ ...rows }, { runs: 1, day: "2026-03-01", lines: 1, audit: "ann: run_now" });
    // The tables, and what belongs to them: columns, indexes, constraints, sequences, types, comments.
    const left = compareCatalogues(before, await readCatalogue(sql));
    const ofLedger = new RegExp(`(${LEDGER.join("|")})`);
    for (const line of left) assert.match(line, ofLedger);
    for (const kind of ["function", "trigger", "schema", "entry of pg_cron", "policy"]) {
      assert.ok(!left.some((line) => line.startsWith(`+ ${kind} `)), kind);
    }
    assert.ok(!left.some((line) => /\b(anon|authenticated)=/.test(line)), left.join("\n"));
  }, { packs: "none" }));

for (const pack of packs.filter((name) => name !== "scheduler")) {
  Deno.test(`the pack ${pack} comes on top and goes again, and the rest is as before`, () =>
    withDatabase(async ({ sql }) => {
      await sql.unsafe(OWN);
      const project = await installation(sql);
      const needs = (await readPacks()).find(({ name }) => name === pack)!.needs;
      await project.install(needs);
      const before = await readCatalogue(sql);
      await project.install([pack]);
      assert.notDeepEqual(await readCatalogue(sql), before);
      await project.uninstall([pack]);
      await assertSame(sql, before, pack);
    }, { packs: "none" }));
}

/** What an owner may have built on a pack, how it is taken back, and how the refusal names it. */
const BUILT = [
  {
    made: "create view public.charging as select * from public.charging_sessions",
    undone: "drop view public.charging",
    packs: ["devices"],
    named: "view charging",
  },
  {
    made: "create table public.warranties (device_id uuid references public.devices (id))",
    undone: "drop table public.warranties",
    packs: ["devices"],
    named: "table warranties",
  },
  {
    made: "create view public.said as select verdict, meaning from scheduler.verdicts",
    undone: "drop view public.said",
    packs: [],
    named: "view said",
  },
  {
    made:
      "create function public.later(p_run public.scheduler_runs) returns text language sql as 'select null::text'",
    undone: "drop function public.later",
    packs: [],
    named: "function later(scheduler_runs)",
  },
  {
    made:
      "create trigger odd before insert on public.customers for each row execute function scheduler.set_times_right()",
    undone: "drop trigger odd on public.customers",
    packs: [],
    named: "table customers",
  },
  {
    made: "alter table public.customers add column version text default scheduler.version()",
    undone: "alter table public.customers drop column version",
    packs: [],
    named: "table customers",
  },
];

Deno.test("a pack that something of the owner's is built on stays whole, and that is named", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(OWN);
    const project = await installation(sql);
    await project.install(["devices"]);
    for (const { made, undone, packs, named } of BUILT) {
      await sql.unsafe(made);
      const before = await readCatalogue(sql);
      await assert.rejects(
        project.uninstall(packs, { dropLedger: true }),
        new RegExp(
          `cannot remove the pack \\w+: these are built on it: ${
            named.replace(/[()]/g, "\\$&")
          }(;|$)`,
        ),
        made,
      );
      await assertSame(sql, before, made);
      await sql.unsafe(undone);
    }
    await project.uninstall([], { dropLedger: true });
  }, { packs: "none" }));

Deno.test("the core stays while it keeps entries of pg_cron: they are put back or given up first", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(OWN);
    const project = await installation(sql);
    await project.install(["scheduler"]);
    const adopt =
      `select scheduler.adopt_entries(jsonb_build_array(jsonb_build_object('name', jobname,
        'schedule', schedule, 'username', username, 'active', active, 'without', '[]'::jsonb, 'job', 'nights',
        'command_sha256', scheduler.command_hash(command, '[]')))) from cron.job where jobname = 'nightly';
      select scheduler.register_job('nights', '0 3 * * *');
      select scheduler.end_adoption()`;
    for (const way of ["undo_adoption", "forget_adopted_entries"]) {
      await sql.begin((sql) => sql.unsafe(adopt));
      await assert.rejects(
        project.uninstall([], { dropLedger: true }),
        /cannot remove the pack scheduler: entries of pg_cron would be lost, in whose place are: nights;/,
      );
      await sql`select scheduler.${sql(way)}()`;
    }
    await project.uninstall([], { dropLedger: true });
    assert.deepEqual([...await sql`select from cron.job`], []);
  }, { packs: "none" }));
