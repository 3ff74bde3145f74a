import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { monitor } from "./monitor.ts";
import { providers } from "./providers.ts";

/** Checks the validity, expiry and limit of each API key. See docs/jobs/api-key-health-monitor.md. */
export const job = defineJob({
  name: "api-key-health-monitor",
  input: z.strictObject({
    /** The time that a provider has to answer, one retry included. */
    timeoutMs: z.int().min(100).max(30_000).default(10_000),
  }),
  secrets: providers.map((provider) => provider.keyEnv),
  run: ({ timeoutMs }, context) => monitor(timeoutMs, context),
});
