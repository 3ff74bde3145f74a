import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

type Star = "free" | "forbidden" | "required";
const texts: [values: number[], first: number, last: number, star: Star, text: string][] = [
  [[7], 0, 59, "free", "7"],
  [[0, 1, 2, 3], 0, 59, "free", "0-3"],
  [[1, 2], 0, 59, "free", "1,2"],
  [[0, 30], 0, 59, "free", "*/30"],
  [[5, 35], 0, 59, "free", "5,35"],
  [[0, 25, 50], 0, 59, "free", "*/25"],
  [[25, 40, 55], 0, 59, "free", "25-55/15"],
  [[0, 1, 20, 40], 0, 59, "free", "*/20,1"],
  [[1, 3, 4, 5, 9], 0, 59, "free", "1,3-5,9"],
  [[0, 1, 2, 3, 4, 5, 6], 0, 6, "free", "*"],
  [[0, 1, 2, 3, 4, 5, 6], 0, 6, "forbidden", "0-6"],
  [[0, 1, 2, 3, 4, 5, 6], 0, 6, "required", "*"],
  [[0, 2, 4, 6], 0, 6, "free", "*/2"],
  [[0, 2, 4, 6], 0, 6, "forbidden", "0-6/2"],
  [[0], 0, 6, "required", "*/7"],
  [[0, 2, 4, 6], 0, 6, "required", "*/2"],
  [[1, 2, 3], 1, 31, "required", "*/31,2,3"],
];

Deno.test("format_schedule_field() writes values in their short form", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [values, first, last, star, text] of texts) {
      await t.step(`${values} of ${first}-${last}, star ${star}: ${text}`, async () => {
        const [row] = await sql`
          select scheduler.format_schedule_field(${values}, ${first}, ${last}, ${star}) as text`;
        assert.equal(row?.text, text);
      });
    }
  });
});
