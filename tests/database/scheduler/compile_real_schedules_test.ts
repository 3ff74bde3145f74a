import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withDatabase } from "../../support/database.ts";
import { matchesDate, matchesMoment, readUtcEntry } from "../../support/utc-entry.ts";

const FOLDER = fileURLToPath(new URL("../../support/schedules/", import.meta.url));
const ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe"];

/** The schedules of the running systems, from every file of the folder; a number alone is seconds. */
async function realSchedules(): Promise<string[]> {
  const schedules: string[] = [];
  const entries = await Array.fromAsync(Deno.readDir(FOLDER));
  for (const { name } of entries.filter((entry) => entry.name.endsWith(".tsv"))) {
    const lines = (await Deno.readTextFile(FOLDER + name)).split("\n");
    for (const line of lines.filter((line) => line !== "" && !line.startsWith("#"))) {
      const schedule = line.split("\t")[1]!;
      // Services that never end are no schedules.
      if (schedule === "@continuous") continue;
      schedules.push(/^\d+$/.test(schedule) ? `${schedule} seconds` : schedule);
    }
  }
  return schedules;
}

Deno.test("the real schedules compile, in UTC to what they are, and elsewhere cover a year", () =>
  withDatabase(async ({ sql }) => {
    const schedules = await realSchedules();
    assert.ok(schedules.length >= 40, `only ${schedules.length} schedules`);
    for (const schedule of new Set(schedules)) {
      for (const zone of schedule.endsWith(" seconds") ? ["UTC"] : ZONES) {
        const [row] = await sql<{ entry: string; at: number[]; again: string }[]>`
          select entry, scheduler.compile_schedule(entry, 'UTC', '2026-01-01T00:00Z') as again, array(
            select (extract(epoch from at) / 60)::integer
            from scheduler.occurrences(${schedule}, ${zone}, '2026-01-01T00:00Z', '2027-01-01T00:00Z') as at) as at
          from scheduler.compile_schedule(${schedule}, ${zone}, '2026-01-01T00:00Z') as entry`;
        const { entry, at, again } = row!;
        const [, period] = /^(\d+) seconds$/.exec(entry) ?? [];
        if (period !== undefined) {
          assert.ok(2 * Number(period) <= parseInt(schedule), `${schedule} is ${entry}`);
          continue;
        }
        assert.equal(again, entry, "an entry is its own shortest form");
        const read = readUtcEntry(entry);
        const moments = at.map((minute) => new Date(minute * 60_000));
        const missed = moments.find((moment) => !matchesMoment(read, moment));
        assert.equal(missed, undefined, `${schedule} in ${zone} is ${entry}`);
        if (zone !== "UTC") continue;
        // Nothing but the occurrences, too: on each date that matches, each minute of each hour.
        let fires = 0;
        for (let date = Date.UTC(2026, 0, 1); date < Date.UTC(2027, 0, 1); date += 86_400_000) {
          if (matchesDate(read, new Date(date))) fires += read.hours.size * read.minutes.size;
        }
        assert.equal(fires, at.length, `${schedule} is ${entry}`);
      }
    }
  }));
