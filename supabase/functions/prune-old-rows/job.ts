import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { prune } from "./prune.ts";

/** Deletes old rows of every growing table by its retention. See docs/jobs/prune-old-rows.md. */
export const job = defineJob({
  name: "prune-old-rows",
  input: z.strictObject({
    /** A statement deletes at most this many rows. */
    batchRows: z.int().min(1).max(100_000).default(2_000),
  }),
  run: ({ batchRows }, context) => prune(batchRows, context),
});
