import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { monitor } from "./monitor.ts";

/** Groups failed Python executions by cause and asks for fixes. See docs/jobs/code-monitor-daemon.md. */
export const job = defineJob({
  name: "code-monitor-daemon",
  input: z.strictObject({}),
  run: (_input, context) => monitor(context),
});
