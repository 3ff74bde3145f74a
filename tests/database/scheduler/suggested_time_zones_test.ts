import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const suggestions: [typed: string, names: RegExp | null][] = [
  ["est", /^America\/New_York$/],
  ["Utc+0", /^UTC$/],
  ["europe/paris", /^Europe\/Paris$/],
  ["Amsterdm", /^Europe\/Amsterdam\b/],
  ["New York", /^America\/New_York\b/],
  ["MSK", /\bEurope\/Moscow\b/],
  ["Mars/Phobos", null],
  ["Nowhere/At-All-Xyzzy", null],
  ["+03:00", null],
];

Deno.test("suggested_time_zones() names the zones that a text may mean", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [typed, names] of suggestions) {
      await t.step(`${typed}: ${names}`, async () => {
        const [row] = await sql<{ text: string | null }[]>`
          select scheduler.suggested_time_zones(${typed}) as text`;
        if (names === null) assert.equal(row?.text, null);
        else assert.match(row?.text ?? "", names);
      });
    }
  });
});
