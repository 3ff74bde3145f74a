import assert from "node:assert/strict";
import { PermanentError } from "../../../shared/job/errors.ts";
import { dayNamed, lastWholeDay } from "../../../supabase/functions/ecosystem-monitor/day.ts";

for (
  const [moment, day] of [
    ["2026-02-21T11:35:00Z", "2026-02-20"],
    ["2026-02-21T00:00:00Z", "2026-02-20"],
    ["2026-02-20T23:59:59.999Z", "2026-02-19"],
    ["2026-03-01T00:30:00+01:00", "2026-02-27"],
    ["2028-03-01T11:35:00Z", "2028-02-29"],
  ] as const
) {
  Deno.test(`the last whole UTC day before ${moment} is ${day}`, () => {
    const { name, startsAt, endsAt } = lastWholeDay(new Date(moment));
    assert.equal(name, day);
    assert.equal(startsAt.toISOString(), `${day}T00:00:00.000Z`);
    assert.equal(endsAt.getTime() - startsAt.getTime(), 86_400_000);
  });
}

Deno.test("a day may be asked for once it is over", () => {
  assert.equal(dayNamed("2026-02-20", new Date("2026-02-21T00:00:00Z")).name, "2026-02-20");
  assert.throws(
    () => dayNamed("2026-02-20", new Date("2026-02-20T23:59:59Z")),
    new PermanentError("Cannot report on 2026-02-20: the day is not over (UTC)"),
  );
  for (const name of ["0000-01-01", "1999-12-31"]) {
    assert.throws(
      () => dayNamed(name, new Date("2026-02-21T00:00:00Z")),
      new PermanentError(`Cannot report on ${name}: no day before 2000 is known`),
    );
  }
});
