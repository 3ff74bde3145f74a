import { cases } from "../../support/cases.ts";
import { yearTest } from "../../support/daily-batch-year.ts";

const days = cases(365, 100);
const organizations = Number(Deno.env.get("DAYBOOK_YEAR_ORGANIZATIONS") ?? 300);

yearTest(
  `${days} simulated days of ${
    organizations.toLocaleString("en")
  } organizations over all zones: trigger_daily_batch makes one batch job for each local date, at its first tick`,
  { days, organizations, moves: cases(10_000, 2_740), seed: 20260308 },
);
