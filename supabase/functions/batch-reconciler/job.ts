import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { reconcile } from "./reconcile.ts";

/** Finds batch jobs that no processor works on and resumes them. See docs/jobs/batch-reconciler.md. */
export const job = defineJob({
  name: "batch-reconciler",
  input: z.strictObject({
    /** How many batch jobs a run looks at at most. */
    maxJobs: z.int().min(1).max(1_000).default(500),
  }),
  run: ({ maxJobs }, context) => reconcile(maxJobs, context),
});
