import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { monitor } from "./monitor.ts";
import { providers } from "./providers.ts";

/** Whether each API key is good, for how long, and what is left of its limit. See docs/jobs/api-key-health-monitor.md. */
export const job = defineJob({
  name: "api-key-health-monitor",
  input: z.strictObject({
    /** How long a provider has to answer, one retry included. */
    timeoutMs: z.int().min(100).max(30_000).default(10_000),
  }),
  secrets: providers.map((provider) => provider.keyEnv),
  run: ({ timeoutMs }, context) => monitor(timeoutMs, context),
});
