import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { monitor } from "./monitor.ts";
import { createSteps } from "./steps.ts";

/** Ends silent connections and hands over commands. See docs/jobs/monitor-device-connections.md. */
export const job = defineJob({
  name: "monitor-device-connections",
  input: z.strictObject({}),
  run: (_input, context) => monitor(context, createSteps(context)),
});
