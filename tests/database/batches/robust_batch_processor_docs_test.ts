import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const page = await Deno.readTextFile(
  new URL("../../../docs/jobs/robust-batch-processor.md", import.meta.url),
);

Deno.test("the page on robust-batch-processor has every setting with its default", () =>
  withDatabase(async ({ sql }) => {
    const settings = await sql`
      select key, value::text from scheduler_settings where key like 'batch_processor.%' order by key`;
    const listed = [...page.matchAll(/^\| `(batch_processor\.\w+)` +\| (\d+) +\|$/gm)]
      .map(([, key, value]) => [key, value]).sort();
    assert.deepEqual(listed, settings.map(({ key, value }) => [key, value]));
  }));

Deno.test("the page on robust-batch-processor names functions that there are, and its queries run", () =>
  withDatabase(async ({ sql }) => {
    for (const [, name] of page.matchAll(/^\| `(\w+_batch_(?:tasks|job))` /gm)) {
      const [row] = await sql`
        select count(*)::int as count from pg_proc
        where proname = ${name!} and pronamespace = 'public'::regnamespace`;
      assert.equal(row!.count, 1, name);
    }
    const blocks = [...page.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, text]) => text!);
    assert.equal(blocks.length, 2);
    for (const text of blocks) await sql.unsafe(text);
  }));
