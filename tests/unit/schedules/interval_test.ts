import assert from "node:assert/strict";
import { withInterval } from "../../../cli/daybook/schedules-file.ts";
import type { IntervalFrom } from "../../../local/schedules.ts";

type Unit = IntervalFrom["unit"];

const entry = (unit: Unit) => ({
  schedule: "*/5 * * * *",
  interval_from: { variable: "POLL", unit },
});
const asked = (unit: Unit, value: string | undefined) =>
  withInterval(entry(unit), { env: (name) => name === "POLL" ? value : undefined });

const right: [Unit, string, string][] = [
  ["milliseconds", "300000", "300 seconds"],
  ["milliseconds", "1000", "1 seconds"],
  ["milliseconds", "86400000", "86400 seconds"],
  ["seconds", " 60 ", "60 seconds"],
  ["seconds", "86400", "86400 seconds"],
];
for (const [unit, value, schedule] of right) {
  Deno.test(`an interval of ${value} ${unit} is ${schedule}`, () => {
    const interval = { variable: "POLL", isSet: true };
    assert.deepEqual(asked(unit, value), { schedule, interval });
  });
}

const wrong: [Unit, string][] = [
  ["milliseconds", "1500"],
  ["milliseconds", "0"],
  ["milliseconds", "86401000"],
  ["milliseconds", "5m"],
  ["milliseconds", "-1000"],
  ["milliseconds", "1e3"],
  ["milliseconds", "0x3e8"],
  ["seconds", "0"],
  ["seconds", "-0"],
  ["seconds", "+60"],
  ["seconds", "NaN"],
  ["seconds", "Infinity"],
  ["seconds", "99999999999999999999"],
  ["seconds", "1.5"],
  ["seconds", "86401"],
];
for (const [unit, value] of wrong) {
  Deno.test(`an interval of ${value} ${unit} is refused, with the variable and what would be right`, () => {
    const be = unit === "seconds"
      ? "seconds, from 1 to 86400"
      : "milliseconds that are whole seconds, from 1000 to 86400000";
    assert.equal(
      asked(unit, value).fault,
      `the variable POLL must be ${be}, got ${JSON.stringify(value)}`,
    );
  });
}

Deno.test("where the variable is not set, or empty, the schedule of the file is taken", () => {
  for (const value of [undefined, "", "  "]) {
    assert.deepEqual(asked("seconds", value), {
      schedule: "*/5 * * * *",
      interval: { variable: "POLL", isSet: false },
    });
  }
  const env = () => "60";
  assert.deepEqual(withInterval({ schedule: "@daily" }, { env }), { schedule: "@daily" });
});
