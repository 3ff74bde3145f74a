import assert from "node:assert/strict";
import { momentOf, moments } from "../../support/moments.ts";

/** What a clock in this zone shows. */
const shown = (moment: Date, timeZone: string) =>
  new Intl.DateTimeFormat("sv", { timeZone, dateStyle: "short", timeStyle: "short" }).format(
    moment,
  );

Deno.test("the moments are each hour, the last minutes of months, and minutes before each change of an offset", () => {
  const hours = Object.values(moments).map((moment) => new Date(moment).getUTCHours());
  assert.equal(new Set(hours).size, 24);
  const later = (name: string) => new Date(momentOf(name)!.getTime() + 5 * 60_000);
  for (const name of ["month-end", "year-end"]) assert.equal(later(name).getUTCDate(), 1, name);
  for (
    const [name, zone, before, after] of [
      ["new-york-autumn", "America/New_York", "01:58", "01:03"],
      ["berlin-spring", "Europe/Berlin", "01:58", "03:03"],
      ["berlin-autumn", "Europe/Berlin", "02:58", "02:03"],
    ] as const
  ) {
    assert.equal(shown(momentOf(name)!, zone).slice(-5), before, name);
    assert.equal(shown(later(name), zone).slice(-5), after, name);
  }
});

Deno.test("momentOf() takes a name or a time with its offset, and no path of a test", () => {
  assert.equal(momentOf("07")!.toISOString(), "2026-10-14T07:58:00.000Z");
  assert.equal(momentOf("2027-06-01T12:00+02:00")!.toISOString(), "2027-06-01T10:00:00.000Z");
  for (const other of ["tests/unit", "7", "24", "2027-06-01", "2027-13-01T00:00Z", "toString"]) {
    assert.equal(momentOf(other), undefined, other);
  }
});
