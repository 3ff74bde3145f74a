import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { fixCause } from "./fix-cause.ts";

/** Asks a model for a fix of one cause and stores its proposal. See docs/jobs/autonomous-code-fixer.md. */
export const job = defineJob({
  name: "autonomous-code-fixer",
  input: z.strictObject({
    /** `code_failure_causes.id`. */
    causeId: z.int().min(1),
    /** The caller's claim (`claim_code_fix`). Without one the call makes its own claim. */
    requestId: z.uuid().optional(),
  }),
  secrets: ["CODE_FIXER_API_KEY"],
  run: fixCause,
});
