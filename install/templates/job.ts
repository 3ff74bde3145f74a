import { z } from "zod";
import { defineJob, type JobContext } from "../../../shared/job/define-job.ts";

/** What the job calls in the database. */
export interface Database {
  public: {
    Tables: Record<never, never>;
    Views: Record<never, never>;
    Functions: { my_job: { Args: { p_limit: number }; Returns: number } };
  };
}

/** Does what is due in my_job_items. */
export const job = defineJob({
  name: "my-job",
  input: z.strictObject({ limit: z.int().min(1).max(10_000).default(1000) }),
  async run(input, { db, log, signal }: JobContext<Database>) {
    const { data, error } = await db.rpc("my_job", { p_limit: input.limit }).abortSignal(signal);
    if (error) throw error; // its code, details and hint are kept in error_detail
    log.info("done", { items: data });
    return { summary: `${data} items done`, items: data };
  },
});
