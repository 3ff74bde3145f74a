import { yearTest } from "../support/daily-batch-year.ts";

yearTest(
  "a simulated year of 10,000 organizations over all zones: trigger_daily_batch makes one batch job for each local date, at its first tick",
  { organizations: 10_000, moves: 20_000, seed: 20260308 },
);
