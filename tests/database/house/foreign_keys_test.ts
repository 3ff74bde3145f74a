import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

Deno.test("every foreign key is covered by an index: what it refers to is deleted without reading the whole table", async () => {
  await withDatabase(async ({ sql }) => {
    const keys = await sql`
      select conrelid::regclass::text || ': ' || conname as name, exists (
        select from pg_index
        where indrelid = conrelid and indisvalid
          -- An index that holds all rows, or all of them that refer to something.
          and (indpred is null or pg_get_expr(indpred, indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$')
          and (string_to_array(indkey::text, ' ')::smallint[])[1:cardinality(conkey)] @> conkey
      ) as covered
      from pg_constraint
      -- Verdicts are words that no migration deletes, and the ledger's rows are the last to pay for an index.
      where contype = 'f' and confrelid <> 'scheduler.verdicts'::regclass and connamespace in ('public'::regnamespace, 'scheduler'::regnamespace)`;
    assert.ok(keys.length > 10, `${keys.length} foreign keys`);
    assert.deepEqual(keys.filter((key) => !key.covered).map((key) => key.name), []);
  });
});
