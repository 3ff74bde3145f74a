import { z } from "zod";
import { defineJob } from "../../../shared/define-job.ts";
import { serveJob } from "../../../shared/serve-job.ts";

/** A job that says when its first line ran. */
const job = defineJob({
  name: "first-line",
  input: z.strictObject({}),
  run: () => Promise.resolve({ at: Date.now() }),
});

export default { fetch: serveJob(job) };
