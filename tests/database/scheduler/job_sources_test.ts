// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const sources = async (sql: Sql) =>
  [
    ...await sql`
    select job_name, source, applied is not null as by_file from scheduler.job_sources order by job_name`,
  ]
    .map(({ job_name, source, by_file }) => `${job_name} ${source} ${by_file}`);

t.ledgerTest(
  "who registered a job is known as long as it is registered, and registering it in SQL leaves it so",
  async ({ sql }) => {
    await sql`select scheduler.register_entry('own', '{"name": "a", "schedule": "@daily"}')`;
    await sql`select scheduler.register_job('b', '@daily')`;
    await sql`select scheduler.register_job('c', '@daily')`;
    for (const name of ["c", "nobody"]) {
      await sql`select scheduler.note_source('pack', ${name}, null)`;
    }
    assert.deepEqual(await sources(sql), ["a own true", "c pack false"]);
    await sql`select scheduler.register_job('a', '@hourly')`;
    const [row] = await sql`
      select applied ->> 'schedule' as schedule from scheduler.job_sources where job_name = 'a'`;
    assert.equal(row!.schedule, "@daily");
    await sql`select scheduler.unregister_job('a')`;
    assert.deepEqual(await sources(sql), ["c pack false"]);
  },
);
