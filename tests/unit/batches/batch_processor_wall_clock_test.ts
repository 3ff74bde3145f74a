import assert from "node:assert/strict";
import { PermanentError } from "../../../shared/job/errors.ts";
import { job } from "../../../supabase/functions/robust-batch-processor/job.ts";
import { jobContext } from "../../support/job-context.ts";

const run = (limit: string) =>
  job.run(
    { maxTasks: 1, batchJobId: crypto.randomUUID() },
    jobContext({ env: { WALL_CLOCK_LIMIT_SECONDS: limit }, remainingMs: () => 0 }),
  );

Deno.test("a wall clock too short for a call fails a run for good, and is named", async () => {
  for (const limit of ["1", "15", "22"]) {
    await assert.rejects(
      run(limit),
      (error) =>
        error instanceof PermanentError &&
        error.message ===
          `Cannot process batches: WALL_CLOCK_LIMIT_SECONDS must be at least 23, got ${limit}`,
    );
  }
  await assert.rejects(run("23"), /This test handed in no database/, "it goes to work");
});
