import { defineJob } from "../../../shared/job/define-job.ts";
import { aggregate } from "./aggregate.ts";
import { input } from "./input.ts";
import { createSteps } from "./steps.ts";

/** Computes hourly and daily device metrics from the raw rows. See docs/jobs/aggregate-device-metrics.md. */
export const job = defineJob({
  name: "aggregate-device-metrics",
  input,
  run: (input, context) => aggregate(input, context, createSteps(context)),
});
