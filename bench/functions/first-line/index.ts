import { z } from "zod";
import { defineJob } from "../../../shared/job/define-job.ts";
import { serveJob } from "../../../shared/job/serve-job.ts";

/** A job that says when its first line ran. */
const job = defineJob({
  name: "first-line",
  input: z.strictObject({}),
  run: () => Promise.resolve({ at: Date.now() }),
});

export default { fetch: serveJob(job) };
