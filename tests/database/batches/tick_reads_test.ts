import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/daily-batch.ts";
import { rowsRead } from "../../support/rows-read.ts";

const AT = "2026-03-02T08:00:00Z";
const ORGANIZATIONS = 2_000;

/** Organizations of which none is due. The statistics are those of empty tables. */
async function fill(sql: Sql): Promise<void> {
  await sql`
    with made as (
      insert into organizations (name, time_zone, created_at)
      select 'organization ' || n, 'Europe/Berlin', '2026-01-01' from generate_series(1, ${ORGANIZATIONS}) as n
      returning id)
    insert into prompts (organization_id, text) select id, 'prompt' from made`;
  await sql`update organizations set next_batch_at = '2026-03-03T02:00Z'`;
}

t.batchTest(
  "a tick in which no organization is due reads one of thousands",
  async ({ sql }) => {
    await fill(sql);
    const read = await rowsRead(
      sql,
      ["organizations", "owed_dates"],
      (tx) => tx`select batches.zoned_is_due(${AT})`,
    );
    assert.ok(read.organizations! <= 1, `${read.organizations} organizations were read`);
    assert.equal(read.owed_dates, 0);
  },
);

t.batchTest("a tick in which one organization is due reads no other's prompts", async ({ sql }) => {
  await fill(sql);
  await sql`update organizations set next_batch_at = ${AT} where name = 'organization 77'`;
  await sql`insert into batches.owed_dates select id, '2026-03-01', ${AT} from organizations where name = 'organization 78'`;
  const read = await rowsRead(sql, ["organizations", "prompts", "batch_jobs"], async (tx) => {
    const told = await t.trigger(tx, AT, { zones: true });
    assert.equal(told.batches, 2);
  });
  for (const [table, rows] of Object.entries(read)) {
    assert.ok(rows <= 20, `${rows} rows of ${table} were read`);
  }
});
