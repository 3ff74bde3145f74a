import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { problemOf } from "./day.ts";
import { monitor } from "./monitor.ts";

/** The activity of the repositories and the state of the fleet on the past day. See docs/jobs/ecosystem-monitor.md. */
export const job = defineJob({
  name: "ecosystem-monitor",
  secrets: ["GITHUB_TOKEN"],
  input: z.strictObject({
    /** A UTC day that is over; the last one before the occurrence unless given. */
    day: z.iso.date().check((context) => {
      const problem = problemOf(context.value, new Date());
      if (problem !== undefined) {
        context.issues.push({ code: "custom", input: context.value, message: problem });
      }
    }).optional(),
  }),
  run: (input, context) => monitor(input, context),
});
