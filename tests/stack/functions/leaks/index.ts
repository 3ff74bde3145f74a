import { z } from "zod";
import { defineJob } from "../../../../shared/job/define-job.ts";
import { serveJob } from "../../../../shared/job/serve-job.ts";

/** Logs, reports, and throws or returns what none should. */
const job = defineJob({
  name: "leaks",
  input: z.strictObject({ how: z.enum(["throw", "return"]) }),
  secrets: ["LEAKS_API_KEY", "*_FOUND_KEY"],
  run({ how }, context) {
    const secrets = [
      "CRON_SECRET",
      "SUPABASE_SERVICE_ROLE_KEY",
      "SUPABASE_SECRET_KEYS",
      "LEAKS_API_KEY",
      "LEAKS_FOUND_KEY",
    ]
      .map((name) => context.env(name)).join(" ");
    context.log.info(`with ${secrets}`, { secrets });
    context.reportProgress({ secrets });
    if (how === "return") return Promise.resolve({ summary: secrets, notable: "warning" });
    throw new Error(`refused: ${secrets}`);
  },
});

export default { fetch: serveJob(job) };
