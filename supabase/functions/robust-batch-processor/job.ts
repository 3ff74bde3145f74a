import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { PermanentError } from "../../../shared/job/errors.ts";
import { longestWorkMs } from "../../../shared/job/wall-clock.ts";
import { createProviders } from "./call-provider.ts";
import { processBatch } from "./process.ts";
import { createSteps } from "./steps.ts";

/** With less time no run could begin a call, and each would have the next one called, for ever. */
const leastWorkMs = 20_000;

/** Works on one batch job until it ends or the time is over. See docs/jobs/robust-batch-processor.md. */
export const job = defineJob({
  name: "robust-batch-processor",
  input: z.strictObject({
    /** The batch job; without it the oldest open one. */
    batchJobId: z.uuid().optional(),
    /** After how many ended tasks a run begins no further call; then the next run goes on. */
    maxTasks: z.int().min(1).max(100_000).default(1_000),
  }),
  // The keys of providers: the table batch_providers names their variables, which all end like this.
  secrets: ["*_KEY"],
  async run(input, context) {
    if (longestWorkMs(context.env) < leastWorkMs) {
      throw new PermanentError(
        "Cannot process batches: WALL_CLOCK_LIMIT_SECONDS must be at least 23, got " +
          context.env("WALL_CLOCK_LIMIT_SECONDS"),
      );
    }
    return await processBatch(input, context, createSteps(context), createProviders(context));
  },
});
