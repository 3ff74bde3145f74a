/** Asks the database of DATABASE_URL, else the one of `supabase start`, and leaves nothing in it. */
import assert from "node:assert/strict";
import postgres, { type TransactionSql } from "postgres";

const url = Deno.env.get("DATABASE_URL") ??
  "postgresql://postgres:postgres@127.0.0.1:54322/postgres";

/** Runs `fn` in a transaction that is undone. */
async function withDatabase(fn: (sql: TransactionSql) => Promise<void>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const undo = new Error("undo");
  try {
    await sql.begin(async (transaction) => {
      await transaction`delete from my_job_items`;
      await fn(transaction);
      throw undo;
    });
  } catch (error) {
    if (error !== undo) throw error;
  } finally {
    await sql.end();
  }
}

Deno.test("my_job() does the oldest items that are due, at most so many, and each once", () =>
  withDatabase(async (sql) => {
    await sql`set local role service_role`;
    await sql`
      insert into my_job_items (due_at) select now() - make_interval(hours => hours) from unnest(array[1, 3, 2, -1]) as hours`;
    assert.deepEqual([...await sql`select my_job(2) as done`], [{ done: 2 }]);
    const left =
      await sql`select due_at > now() as later from my_job_items where done_at is null order by due_at`;
    assert.deepEqual([...left], [{ later: false }, { later: true }]);
    assert.deepEqual([...await sql`select my_job() as done`], [{ done: 1 }]);
    assert.deepEqual([...await sql`select my_job() as done`], [{ done: 0 }]);
  }));

for (const statement of ["select from my_job_items", "select my_job()"]) {
  Deno.test(`anon may not: ${statement}`, () =>
    withDatabase(async (sql) => {
      await sql`set local role anon`;
      await assert.rejects(sql.savepoint((savepoint) => savepoint.unsafe(statement)), {
        code: "42501",
      });
    }));
}

Deno.test("items that were done go after the days of their retention, others stay", () =>
  withDatabase(async (sql) => {
    await sql`
      insert into my_job_items (due_at, done_at) values
        (now() - interval '100 days', now() - interval '91 days'),
        (now() - interval '100 days', now() - interval '89 days'), (now() - interval '100 days', null)`;
    assert.deepEqual([...await sql`select scheduler.prune_old_rows('my_job_items') as gone`], [{
      gone: 1,
    }]);
  }));
