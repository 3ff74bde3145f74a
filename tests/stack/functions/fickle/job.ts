import { z } from "zod";
import { defineJob, type JobContext } from "../../../../shared/job/define-job.ts";

/** Misbehaves as its input says, in its first attempts; then it completes. */
export const job = defineJob({
  name: "fickle",
  input: z.strictObject({
    behaviour: z.enum(["complete", "throw", "wait", "ignore-signal"]).default("complete"),
    /** In how many attempts. */
    attempts: z.int().default(1),
    /** How long the work takes, in ms. */
    workMs: z.int().default(0),
  }),
  async run({ behaviour, attempts, workMs }, context) {
    context.reportProgress({ attempt: context.attempt });
    if (context.attempt <= attempts) await misbehave(behaviour, context);
    await new Promise((resolve) => setTimeout(resolve, workMs));
    return { summary: "done", attempt: context.attempt };
  },
});

async function misbehave(behaviour: string, context: JobContext): Promise<void> {
  switch (behaviour) {
    case "throw":
      throw new Error("the job failed on purpose");
    case "wait":
      return await released(context);
    case "ignore-signal":
      return await new Promise<never>(() => {});
  }
}

/** Until a test sets `tests.released`, or the job is told to stop, which it does by throwing. */
async function released({ db, signal }: JobContext): Promise<void> {
  while (true) {
    signal.throwIfAborted();
    const { data } = await db.from("scheduler_settings").select("value").eq(
      "key",
      "tests.released",
    );
    if (data?.[0]?.value === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
