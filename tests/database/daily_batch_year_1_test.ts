import { yearTest } from "../support/daily-batch-year.ts";

// The other half is in a file of its own, so that two cores share the work.
yearTest(
  "a simulated year of 10,000 organizations over all zones, half 1: who is due is decided and marked for each local date exactly once",
  { organizations: 5_000, moves: 10_000, seed: 20260308, whole: false },
);
