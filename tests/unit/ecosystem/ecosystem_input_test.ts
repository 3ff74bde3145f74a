import assert from "node:assert/strict";
import { job } from "../../../supabase/functions/ecosystem-monitor/job.ts";

Deno.test("ecosystem-monitor: a day that is over is accepted, any other is refused by its field", () => {
  const today = new Date().toISOString().slice(0, 10);
  for (const day of ["2000-01-01", "2024-02-29", undefined]) {
    assert.equal(job.input.safeParse({ day }).success, true, day);
  }
  const refused: [unknown, RegExp][] = [
    ["0000-01-01", /^no day before 2000 is known$/],
    ["1999-12-31", /^no day before 2000 is known$/],
    ["9999-12-31", /^the day is not over \(UTC\)$/],
    [today, /^the day is not over \(UTC\)$/],
    ["2025-02-29", /./],
    ["2026-3-1", /./],
    [20260301, /./],
  ];
  for (const [day, message] of refused) {
    const issue = job.input.safeParse({ day }).error?.issues[0];
    assert.deepEqual(issue?.path, ["day"], String(day));
    assert.match(issue?.message ?? "", message);
  }
});
