import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { problemOf } from "./day.ts";
import { monitor } from "./monitor.ts";

/** Reports on the repositories' activity and the fleet's state on the past day. See docs/jobs/ecosystem-monitor.md. */
export const job = defineJob({
  name: "ecosystem-monitor",
  secrets: ["GITHUB_TOKEN"],
  input: z.strictObject({
    /** A past UTC day; the default is the last one before the occurrence. */
    day: z.iso.date().check((context) => {
      const problem = problemOf(context.value, new Date());
      if (problem !== undefined) {
        context.issues.push({ code: "custom", input: context.value, message: problem });
      }
    }).optional(),
  }),
  run: (input, context) => monitor(input, context),
});
