import assert from "node:assert/strict";
import { formatFigure } from "../../../supabase/functions/system-health/format.ts";

const cases: [number, "percent" | "seconds" | "count" | "bytes", string][] = [
  [0, "percent", "0 %"],
  [12.3, "percent", "12.3 %"],
  [99.99, "percent", "99.9 %"],
  [100, "percent", "100 %"],
  [0, "seconds", "0 s"],
  [59.9, "seconds", "59 s"],
  [60, "seconds", "1 min"],
  [299, "seconds", "4 min 59 s"],
  [3600, "seconds", "1 h"],
  [12_000, "seconds", "3 h 20 min"],
  [86_400, "seconds", "24 h"],
  [172_799, "seconds", "47 h 59 min"],
  [172_800, "seconds", "2 days"],
  [1_209_599, "seconds", "13 days 23 h"],
  [1e18, "seconds", "11.57 trillion days"],
  [0, "count", "0"],
  [999_999_999, "count", "999,999,999"],
  [1_199_999_999, "count", "1.19 billion"],
  [1.5e12, "count", "1.5 trillion"],
  [1e20, "count", "1.00e+20"],
  [1023, "bytes", "1,023 B"],
  [1024, "bytes", "1 kB"],
  [123_456_789, "bytes", "117.7 MB"],
  [2 ** 60, "bytes", "1,024 PB"],
];

for (const [value, unit, text] of cases) {
  Deno.test(`${value} ${unit} reads ${text}`, () => assert.equal(formatFigure(value, unit), text));
}

Deno.test("every figure is short ASCII, however huge", () => {
  for (const unit of ["percent", "seconds", "count", "bytes"] as const) {
    for (let exponent = 0; exponent <= 308; exponent++) {
      const text = formatFigure(9.87654321 * 10 ** Math.min(exponent, 307), unit);
      assert.match(text, /^[\x20-\x7e]{1,24}$/);
    }
  }
});
