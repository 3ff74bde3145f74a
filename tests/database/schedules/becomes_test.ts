// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

/** What a job was registered with, what it is registered with now, and who registered it. */
const cases: [string, object | null, object | null, string | null, string][] = [
  ["no job", null, { a: 1 }, null, "registered"],
  ["a job that is in the file no more", { a: 1 }, null, "own", "unregistered"],
  ["a job of SQL with the same values", { a: 1 }, { a: 1 }, null, "taken_over"],
  ["a job of SQL with other values", { a: 1 }, { a: 2 }, null, "taken_over"],
  ["another value", { a: 1, b: [] }, { a: 1, b: ["c"] }, "own", "changed"],
  ["null where there was a value", { a: 1 }, { a: null }, "own", "changed"],
  ["the same values in another order", { a: 1, b: 2 }, { b: 2, a: 1 }, "own", "unchanged"],
];

Deno.test("what becomes of a job is decided by its values and by who registered it", () =>
  withDatabase(async ({ sql }) => {
    for (const [what, before, after, source, becomes] of cases) {
      const [row] = await sql`
        select scheduler.becomes(${before && sql.json(before as never)}, ${
        after && sql.json(after as never)
      }, ${source}) as becomes`;
      assert.equal(row!.becomes, becomes, what);
    }
  }, { packs: "core" }));
