import assert from "node:assert/strict";
import { placeInWindow } from "../../../supabase/functions/daily-batch-trigger/window.ts";
import { withDatabase } from "../../support/database.ts";

/** The shipped one, one over midnight, and ones whose hours the change of the clock skips or repeats. */
const WINDOWS = [
  ["America/New_York", "03:00", 3],
  ["America/New_York", "02:30", 1],
  ["Europe/Berlin", "22:45", 4],
  ["Australia/Lord_Howe", "01:45", 2],
] as const;

Deno.test("date-fns-tz and Postgres agree on the window: each minute near clock changes, each hour of a year", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [timeZone, runAt, hours] of WINDOWS) {
      await t.step(`${runAt} for ${hours} h in ${timeZone}`, async () => {
        await sql`update scheduler_settings set value = to_jsonb(${timeZone}::text) where key = 'daily_batch.time_zone'`;
        await sql`update scheduler_settings set value = to_jsonb(${runAt}::text) where key = 'daily_batch.run_at'`;
        await sql`update scheduler_settings set value = to_jsonb(${hours}::integer) where key = 'daily_batch.window_hours'`;
        const settings = {
          "daily_batch.time_zone": timeZone,
          "daily_batch.run_at": runAt,
          "daily_batch.window_hours": hours,
        };
        const rows = await sql<{ at: Date; open: boolean; date: string }[]>`
          with changes as materialized (
            select starts_at as at from scheduler.offset_periods(${timeZone}, '2026-01-01', '2027-01-01')
          ), minutes as (
            select generate_series(timestamptz '2026-01-01', '2027-01-01', interval '1 hour') as at
            union
            select generate_series(at - interval '14 hours', at + interval '14 hours', interval '1 minute') from changes
          )
          select at, batches.in_daily_window(at) as open,
            to_char(batches.date_at((time_zone, run_at)::batches.clock, at), 'YYYY-MM-DD') as date
          from minutes, batches.daily_settings()`;
        assert.ok(rows.length > 12_000);
        let opened = 0;
        for (const { at, open, date } of rows) {
          const place = placeInWindow(at, settings);
          const where = `${at.toISOString()}, ${place.clock} there`;
          assert.equal(place.open, open, where);
          if (open) assert.equal(place.date, date, where);
          if (open) opened++;
        }
        assert.ok(opened > 500);
      });
    }
  });
});
