import { z } from "zod";
import { defineJob } from "../../../shared/define-job.ts";
import { monitor } from "./monitor.ts";

/** The activity of the repositories and the state of the fleet on the past day. See docs/jobs/ecosystem-monitor.md. */
export const job = defineJob({
  name: "ecosystem-monitor",
  secrets: ["GITHUB_TOKEN"],
  input: z.strictObject({
    /** A UTC day that is over; the last one before the occurrence unless given. */
    day: z.iso.date().optional(),
  }),
  run: (input, context) => monitor(input, context),
});
