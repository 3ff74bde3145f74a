import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";

Deno.test("assert_time_zone() accepts the IANA names", () =>
  withDatabase(async ({ sql }) => {
    for (
      const zone of [
        "UTC",
        "America/New_York",
        "America/Argentina/Buenos_Aires",
        "America/Port-au-Prince",
        "Etc/GMT+5",
        "Asia/Kolkata",
        "Japan",
      ]
    ) {
      await sql`select scheduler.assert_time_zone(${zone})`;
    }
  }));

// refused → what the hint proposes
const REFUSED: [string, string][] = [
  ["EST", "America/New_York"],
  ["EDT", "America/New_York"],
  ["est", "America/New_York"],
  ["EST5EDT", "America/New_York"],
  ["PST8PDT", "America/Los_Angeles"],
  ["CET", "Europe/Berlin"],
  ["MSK", "Europe/Moscow"],
  ["AEDT", "Australia/Sydney"],
  ["utc", "UTC"],
  ["UTC+0", "UTC"],
  ["america/new_york", "America/New_York"],
  ["America/NewYork", "America/New_York"],
  ["New York", "America/New_York"],
  ["Europe/Belin", "Europe/Berlin"],
  ["Berlin", "Europe/Berlin"],
  ["Asia/Calcuta", "Asia/Calcutta"],
  ["Pacific/Auckland ", "Pacific/Auckland"],
  ["America/New_York5", "America/New_York"],
  ["Mars/Phobos+3", ""],
  ["UTC+3", ""],
  ["+03:00", ""],
  ["<+03>-3", ""],
  ["Factory", ""],
  ["", ""],
  ["x'; drop table zones --", ""],
];

Deno.test("assert_time_zone() refuses abbreviations, POSIX rules and unknown names, and proposes one", () =>
  withDatabase(async ({ sql }) => {
    for (const [zone, proposed] of REFUSED) {
      const error = await refusal(sql`select scheduler.assert_time_zone(${zone})`);
      assert.equal(error.code, "22023", zone);
      assert.equal(
        error.message,
        `cannot use the time zone "${zone}": it must be an IANA name such as America/New_York, or UTC`,
      );
      assert.ok(error.hint?.includes(proposed), `${zone}: ${error.hint}`);
    }
    assert.equal((await refusal(sql`select scheduler.assert_time_zone(null)`)).code, "22023");
  }));

Deno.test("every function of the time engine refuses a time zone that Postgres does not know by name", () =>
  withDatabase(async ({ sql }) => {
    const at = "2026-01-01T00:00:00Z";
    for (const zone of ["Europe/Belin", "EDT", "Mars/Phobos+3", "America/New_York5", "", null]) {
      for (
        const query of [
          sql`select scheduler.next_occurrence('0 0 * * *', ${zone}, ${at})`,
          sql`select scheduler.previous_occurrence('0 0 * * *', ${zone}, ${at})`,
          sql`select scheduler.occurrences('0 0 * * *', ${zone}, ${at}, ${at})`,
          sql`select scheduler.compile_schedule('0 0 * * *', ${zone})`,
        ]
      ) {
        const error = await refusal(query);
        assert.equal(error.code, "22023", `${zone}`);
        assert.match(error.message, /^cannot use the time zone/);
      }
    }
  }));
