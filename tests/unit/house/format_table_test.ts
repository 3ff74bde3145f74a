import assert from "node:assert/strict";
import { formatDuration, formatTable } from "../../../cli/format-table.ts";

Deno.test("formatTable() aligns the columns and leaves no blanks at line ends", () => {
  assert.equal(formatTable([["a", "b", "c"], ["long", "", ""]]), "a     b  c\nlong");
});

Deno.test("formatDuration() picks the unit that reads well", () => {
  assert.deepEqual(
    [0, 850, 3210, 250_000, 7_260_000].map(formatDuration),
    ["0 ms", "850 ms", "3.2 s", "4 min 10 s", "2 h 1 min"],
  );
});
