import { yearTest } from "../support/daily-batch-year.ts";

yearTest(
  "a simulated year of 12 organizations: batch jobs, tasks and runs for each local date exactly once",
  { organizations: 12, moves: 200, seed: 20260308, whole: true },
);
