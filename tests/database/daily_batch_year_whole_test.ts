import { yearTest } from "../support/daily-batch-year.ts";

yearTest(
  "a simulated year of 20 organizations: batch jobs, tasks and runs for each local date exactly once",
  { organizations: 20, moves: 300, seed: 20260308, whole: true },
);
