import { z } from "zod";
import { defineJob } from "../../../../shared/job/define-job.ts";
import { serveJob } from "../../../../shared/job/serve-job.ts";

/** Uses the words of its input, a JSON text that may hold anything, as its result, error or progress. */
const job = defineJob({
  name: "echoes",
  input: z.looseObject({
    words: z.string().default('""'),
    use: z.enum(["result", "error", "progress"]).default("result"),
  }),
  run({ words, use }, context) {
    const text = JSON.parse(words);
    context.log.info("words", { text });
    if (use === "error") throw new Error(text);
    if (use === "progress") context.reportProgress({ text });
    return Promise.resolve({ summary: "done", text: use === "result" ? text : null });
  },
});

export default { fetch: serveJob(job) };
