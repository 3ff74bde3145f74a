import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { checkHealth } from "./check.ts";

/** Looks at every component of the system, scores it, and keeps a report. See docs/jobs/system-health.md. */
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
    // A line each, so that the log shows the report as it is meant to be read.
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
