import { yearTest } from "../../support/daily-batch-year.ts";

const organizations = Number(Deno.env.get("DAYBOOK_YEAR_ORGANIZATIONS") ?? 300);

yearTest(
  `a simulated year of ${
    organizations.toLocaleString("en")
  } organizations over all zones: trigger_daily_batch makes one batch job for each local date, at its first tick`,
  { organizations, moves: 10_000, seed: 20260308 },
);
