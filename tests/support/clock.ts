/**
 * Time for tests that reach the database as a function does. The public functions take no clock: each is a door to
 * a private twin, to which `moveClock` has it hand the test's time, in the test's own database.
 */
import assert from "node:assert/strict";
import type { Sql } from "postgres";

/** A public function whose private twin takes the same arguments and, last, `p_now`. */
interface Door {
  oid: number;
  signature: string;
  body: string;
  definition: string;
  twin: string;
  /** What the twin takes for the present when it is not told. */
  present: string;
}

const prepared = new WeakMap<Sql, Promise<void>>();

/** From now on it is `at` behind every door, until it is moved again or `restoreClock` is called. `sql` is the owner's. */
export async function moveClock(sql: Sql, at: Date | string): Promise<void> {
  if (!prepared.has(sql)) prepared.set(sql, prepare(sql));
  await prepared.get(sql);
  await sql`update test_clock.moment set at = ${at}`;
}

/** The database's own clock again. */
export async function restoreClock(sql: Sql): Promise<void> {
  if (!prepared.has(sql)) return;
  await prepared.get(sql);
  await sql`update test_clock.moment set at = null`;
}

/** Every door there is. */
export async function doors(sql: Sql): Promise<Door[]> {
  return await sql<Door[]>`
    select door.oid, door.oid::regprocedure::text as signature, door.prosrc as body, pg_get_functiondef(door.oid) as definition,
      twin.oid::regproc::text as twin,
      substring(pg_get_function_arguments(twin.oid) from 'p_now timestamp with time zone DEFAULT (.*)$') as present
    from pg_proc as door
    join pg_proc as twin
      on twin.oid::regproc::text = substring(door.prosrc from '^\\s*select (\\w+\\.\\w+)\\(')
      and twin.proargnames = coalesce(door.proargnames, '{}') || 'p_now'::text
    where door.pronamespace = 'public'::regnamespace
    order by 1`;
}

/** The body of a door: one call of its twin, with every argument and without a time. */
const call = /^(\s*select \w+\.\w+\()([^()]*)(\);\s*)$/;

async function prepare(sql: Sql): Promise<void> {
  const replaced = (await doors(sql)).map(({ signature, body, definition, present }) => {
    const [, begin, given, end] = call.exec(body) ??
      assert.fail(`${signature} is no door: ${body}`);
    const now = `p_now => coalesce(test_clock.now(), ${present})`;
    return definition.replace(body, () => `${begin}${given ? `${given}, ` : ""}${now}${end}`);
  });
  await sql.unsafe(`
    create schema test_clock;
    create table test_clock.moment (at timestamptz);
    insert into test_clock.moment default values;
    create function test_clock.now() returns timestamptz language sql stable set search_path = ''
      as 'select at from test_clock.moment';
    ${replaced.join(";\n")};`);
}
