import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { trigger } from "./trigger.ts";

/** Begins the daily batch, once a local day. See docs/jobs/daily-batch-trigger.md. */
export const job = defineJob({
  name: "daily-batch-trigger",
  input: z.strictObject({
    /** Passes the window, never the once-a-day rule. */
    force: z.boolean().default(false),
    /** Says in the ledger that a person tries it out; changes nothing. */
    manual_test: z.boolean().default(false),
    /** The organizations with their own zone or hour, not those that follow the platform. */
    zones: z.boolean().default(false),
  }),
  run: (input, context) => trigger(input, context),
});
