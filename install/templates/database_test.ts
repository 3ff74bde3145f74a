import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

Deno.test("my_job() does the oldest items that are due, at most so many, and each once", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    await service`
      insert into my_job_items (due_at) select now() - make_interval(hours => hours) from unnest(array[1, 3, 2, -1]) as hours`;
    assert.deepEqual([...await service`select my_job(2) as done`], [{ done: 2 }]);
    const left =
      await sql`select due_at > now() as later from my_job_items where done_at is null order by due_at`;
    assert.deepEqual([...left], [{ later: false }, { later: true }]);
    assert.deepEqual([...await service`select my_job() as done`], [{ done: 1 }]);
    assert.deepEqual([...await service`select my_job() as done`], [{ done: 0 }]);
  }));

Deno.test("anon can neither read my_job_items nor call my_job()", () =>
  withDatabase(async ({ connect }) => {
    const anon = connect("anon");
    await assert.rejects(anon`select from my_job_items`, { code: "42501" });
    await assert.rejects(anon`select my_job()`, { code: "42501" });
  }));

Deno.test("items that were done go after the days of their retention, others stay", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into my_job_items (due_at, done_at) values
        (now() - interval '100 days', now() - interval '91 days'),
        (now() - interval '100 days', now() - interval '89 days'), (now() - interval '100 days', null)`;
    assert.deepEqual([...await sql`select scheduler.prune_old_rows('my_job_items') as gone`], [{
      gone: 1,
    }]);
  }));
