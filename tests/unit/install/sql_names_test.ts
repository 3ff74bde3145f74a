import assert from "node:assert/strict";
import { LEDGER, removePacks } from "../../../install/migrations.ts";
import { namesOf } from "../../../install/plan.ts";
import { readSource } from "../../../install/source.ts";
import { namesAfter } from "../../../install/sql-names.ts";
import { readMigrations } from "../../../local/migrations.ts";
import { listNames } from "../../../local/names.ts";
import { readReleases } from "../../../local/releases.ts";

async function namesIn(...texts: string[]): Promise<string[]> {
  const migrations = texts.map((text, index) => ({ file: `${index + 1}_m.sql`, text }));
  return (await namesAfter(migrations)).map(({ kind, name }) => `${kind} ${name}`);
}

/** A statement, and what of it has a name that a pack could want. */
const MADE: [string, string[]][] = [
  ["create table t (id integer primary key)", ["table t"]],
  ['create table if not exists public."T t" (id integer)', ["table T t"]],
  ["create table other.t (id integer)", []],
  ["create temp table t as select 1", ["table t"]],
  ["select 1 as a into t", ["table t"]],
  ["create foreign table t (a integer) server s", ["table t"]],
  ["create or replace view public.v as select 1", ["view v"]],
  ["create materialized view v as select 1", ["materialized view v"]],
  ["create sequence s", ["sequence s"]],
  ["create index i on public.t (a)", ["index i"]],
  ["create index on t (a)", []],
  ["create type e as enum ('a')", ["type e"]],
  ["create type c as (a integer)", ["type c"]],
  ["create type r as range (subtype = integer)", ["type r"]],
  ["create domain d as text check (value <> '')", ["type d"]],
  ["create function f(a integer default 1) returns integer language sql as 'select 1'", [
    "function f",
  ]],
  ["create procedure public.p() language sql as 'select 1'", ["function p"]],
  ["create function other.f() returns integer language sql as 'select 1'", []],
  ["create schema if not exists s", ["schema s"]],
  ["select cron.schedule('nightly', '0 3 * * *', $$select 1$$)", ["pg_cron entry nightly"]],
  ["select 1 where (select cron.schedule('it''s', '* * * * *', 'select 1')) > 0", [
    "pg_cron entry it's",
  ]],
  ["do $$ begin perform cron.schedule( 'x', '* * * * *', 'select 1'); end $$", ["pg_cron entry x"]],
  ["alter table t enable row level security; grant select on t to anon", []],
  ["insert into t values ('create table x (a integer)')", []],
];

Deno.test("namesAfter() finds what a migration makes in public, schemas and pg_cron entries", async () => {
  for (const [statement, names] of MADE) {
    assert.deepEqual(await namesIn(statement), names, statement);
  }
});

/** What is made first, what follows in a later migration, and what is left. */
const CHANGED: [string, string, string[]][] = [
  ["create table t (a integer)", "drop table public.t cascade", []],
  ["create table t (a integer); create table u (a integer)", "drop table if exists t, u, v", []],
  ["create table t (a integer)", "drop table other.t", ["table t"]],
  ["create view v as select 1", "drop view v", []],
  ["create function f() returns integer language sql as 'select 1'", "drop function f()", []],
  [
    "create function f() returns integer language sql as 'select 1'",
    "alter function f rename to g",
    ["function g"],
  ],
  ["create table t (a integer)", "alter table t rename to u", ["table u"]],
  ["create table t (a integer)", "alter table t rename column a to b", ["table t"]],
  ["create table t (a integer)", "alter table t set schema other", []],
  ["create table other.t (a integer)", "alter table other.t set schema public", ["table t"]],
  ["create type t as enum ('a')", "alter type t rename to u; drop type u", []],
  ["create schema s", "alter schema s rename to r", ["schema r"]],
  ["create schema s", "drop schema s cascade", []],
  ["select cron.schedule('x', '* * * * *', 'select 1')", "select cron.unschedule('x')", []],
  ["create table t (a integer)", "drop table t; create view t as select 1", ["view t"]],
];

Deno.test("namesAfter() follows what later migrations drop, rename and move", async () => {
  for (const [first, second, left] of CHANGED) {
    assert.deepEqual(await namesIn(first, second), left, `${first}; ${second}`);
  }
});

Deno.test("namesAfter() says where each was made, and names the file that it cannot read", async () => {
  const [found] = await namesAfter([
    { file: "1_one.sql", text: "create table one (a integer);" },
  ]);
  assert.deepEqual(found, { kind: "table", name: "one", where: "1_one.sql" });
  await assert.rejects(
    namesAfter([{ file: "2_two.sql", text: "create tabel two ();" }]),
    /Cannot read 2_two\.sql: .*tabel.*; look into the database instead, with --db-url/,
  );
});

Deno.test("namesAfter() reads from Daybook's own migrations the names that a database has after them", async () => {
  const migrations = (await readMigrations()).map(({ version, name, text }) => ({
    file: `${version}_${name}.sql`,
    text,
  }));
  const isMade = ({ kind }: { kind: string }) =>
    !["job", "pg_cron entry", "index", "sequence", "trigger", "constraint"].includes(kind);
  const names = (list: { kind: string; name: string }[]) =>
    list.filter(isMade).map(({ kind, name }) => `${kind} ${name}`).sort();
  const made = (await readReleases())
    .flatMap(({ migrations }) =>
      Object.values(migrations).flatMap(({ makes }) => listNames(makes))
    );
  assert.ok(made.length > 100);
  assert.deepEqual(names(await namesAfter(migrations)), names(made));
});

Deno.test("namesAfter() knows that what was uninstalled is gone, but for the ledger where it stayed", async () => {
  const source = await readSource();
  const names = async (dropLedger: boolean) => {
    const packs = source.packs.toReversed().map((pack) => ({
      pack,
      makes: namesOf(source, [pack]),
    }));
    const text = removePacks(packs, { dropLedger, putBack: namesOf(source, source.packs) });
    const found = await namesAfter([...source.migrations, { file: "9_remove_all.sql", text }]);
    return found.filter(({ kind }) => !["index", "sequence"].includes(kind)).map(({ name }) =>
      name
    );
  };
  assert.deepEqual(await names(true), []);
  assert.deepEqual((await names(false)).sort(), LEDGER);
});
