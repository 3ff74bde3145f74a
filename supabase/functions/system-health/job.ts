import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { checkHealth } from "./check.ts";

/** Checks and scores every component of the system, and records a report. See docs/jobs/system-health.md. */
export const job = defineJob({
  name: "system-health",
  input: z.strictObject({}),
  async run(_input, context) {
    const checkedAt = context.now();
    const { jobName, scheduledFor } = context;
    const result = await checkHealth(
      context.db,
      { jobName, scheduledFor, checkedAt },
      context.signal,
    );
    // Log the report line by line, so that the log shows its layout.
    for (const line of result.report.split("\n")) context.log.info(line);
    const { summary, score, status, components, notes, historyId, report } = result;
    return {
      summary,
      score,
      status,
      checkedAt: checkedAt.toISOString(),
      historyId,
      notes,
      components,
      report,
      ...(status === "healthy" ? {} : { notable: status === "critical" ? "error" : "warning" }),
    };
  },
});
