import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { monitor } from "./monitor.ts";

/** Failed Python executions by cause, a fix asked for each. See docs/jobs/code-monitor-daemon.md. */
export const job = defineJob({
  name: "code-monitor-daemon",
  input: z.strictObject({}),
  run: (_input, context) => monitor(context),
});
