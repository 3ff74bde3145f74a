import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { createModel } from "./ask-model.ts";
import { createSteps } from "./steps.ts";
import { suggest } from "./suggest.ts";

/** Suggests new prompts to each organization, once a week of its own. See docs/jobs/weekly-suggestions.md. */
export const job = defineJob({
  name: "weekly-suggestions",
  input: z.strictObject({
    /** How many organizations a run asks for at most; then the next run goes on. */
    maxOrganizations: z.int().min(1).max(1_000).default(200),
  }),
  // The provider's key: the table batch_providers names its variable, which ends like this.
  secrets: ["*_KEY"],
  run: ({ maxOrganizations }, context) =>
    suggest(maxOrganizations, context, createSteps(context), createModel(context)),
});
