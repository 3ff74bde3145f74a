import { z } from "zod";
import { defineJob } from "../../../shared/define-job.ts";
import { createProviders } from "./call-provider.ts";
import { processBatch } from "./process.ts";
import { createSteps } from "./steps.ts";

/** Works on one batch job until it ends or the time is over. See docs/jobs/robust-batch-processor.md. */
export const job = defineJob({
  name: "robust-batch-processor",
  input: z.strictObject({
    /** The batch job; the oldest open one when left out. */
    batchJobId: z.uuid().optional(),
    /** How many tasks a run ends at most; then the next run goes on. */
    maxTasks: z.int().min(1).max(100_000).default(1_000),
  }),
  // The keys of providers: the table batch_providers names their variables, which all end like this.
  secrets: ["*_KEY"],
  run: (input, context) =>
    processBatch(
      input,
      context,
      createSteps(context),
      createProviders(context),
    ),
});
