import { z } from "zod";
import { defineJob } from "../../../../shared/job/define-job.ts";
import { serveJob } from "../../../../shared/job/serve-job.ts";

/** Reserves and takes of a budget, and reports what its input says that the API said. */
const job = defineJob({
  name: "takes",
  input: z.strictObject({
    tokens: z.int(),
    headers: z.record(z.string(), z.string()).default({}),
  }),
  async run({ tokens, headers }, context) {
    const budget = context.budget("tests");
    await budget.reserve(tokens, new Date(Date.now() + 60_000));
    await budget.take(tokens);
    await budget.report(new Headers(headers));
    return { summary: `${tokens} taken` };
  },
});

export default { fetch: serveJob(job) };
