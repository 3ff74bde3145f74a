/** The routes that act: the verbs of an operator, each with a reason and an author. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ZodObject, ZodType } from "zod";
import { HttpError } from "../../../shared/job/errors.ts";
import { readInput, readPayload } from "../../../shared/job/read-input.ts";
import type { Caller } from "./ask.ts";
import { jsonOf, refusals } from "./responses.ts";
import * as shapes from "./shapes.ts";

interface ActingRoute {
  path: string;
  summary: string;
  /** The verb, as scheduler.api_act names it. */
  verb: string;
  /** It starts or resumes something, and ends nothing. */
  resumes?: boolean;
  body: ZodObject;
  answer: ZodType;
}

const words = (most: number) => z.string().max(most).regex(/\S/, "must not be blank");
/** What every verb is given. */
const because = { reason: words(1000), author: words(200) };
/** Of a user the author is the name under which they are listed. */
const authorOfUser = words(200).optional().openapi({
  description: "Who acts: needed, unless a user of Supabase Auth asks; then it is their name",
});
const until = shapes.givenMoment.optional();

/** Every acting route. The parameter of a path is what the verb is done to. */
export const actingRoutes: ActingRoute[] = [
  {
    path: "/jobs/{job}/run",
    summary: "Run the job now, also while it is paused",
    verb: "run",
    resumes: true,
    body: z.strictObject({ ...because, payload: z.record(z.string(), z.unknown()).optional() }),
    answer: shapes.newRun,
  },
  {
    path: "/jobs/{job}/pause",
    summary: "Pause the job, until a moment or until it is resumed",
    verb: "pause",
    body: z.strictObject({ ...because, until }),
    answer: shapes.message,
  },
  {
    path: "/jobs/{job}/resume",
    summary: "End the job's pause",
    verb: "resume",
    resumes: true,
    body: z.strictObject(because),
    answer: shapes.message,
  },
  {
    path: "/jobs/{job}/close-breaker",
    summary: "Close the job's breaker",
    verb: "close-breaker",
    resumes: true,
    body: z.strictObject(because),
    answer: shapes.message,
  },
  {
    path: "/jobs/{job}/backfill",
    summary: "Run occurrences of a past range; with `preview` (the default) only say which",
    verb: "backfill",
    resumes: true,
    body: z.strictObject({
      ...because,
      from: shapes.givenMoment,
      to: shapes.givenMoment,
      reprocess: z.enum(["missed", "failed", "all"]).optional(),
      newest_first: z.boolean().optional(),
      at_most: z.int().min(1).max(1000).optional(),
      preview: z.boolean().optional(),
    }),
    answer: shapes.backfilled,
  },
  {
    path: "/runs/{id}/cancel",
    summary: "Cancel a run that waits or is under way",
    verb: "cancel",
    body: z.strictObject(because),
    answer: shapes.message,
  },
  {
    path: "/runs/{id}/retry",
    summary: "Make one more attempt of a run that failed, or did not run",
    verb: "retry",
    resumes: true,
    body: z.strictObject(because),
    answer: shapes.newRun,
  },
  {
    path: "/groups/{group}/pause",
    summary: "Pause all jobs of a group",
    verb: "pause-group",
    body: z.strictObject({ ...because, until }),
    answer: shapes.message,
  },
  {
    path: "/groups/{group}/resume",
    summary: "End a group's pause",
    verb: "resume-group",
    resumes: true,
    body: z.strictObject(because),
    answer: shapes.message,
  },
  {
    path: "/channels/{channel}/test",
    summary: "Send a test message by the alert channel, with the next pulse",
    verb: "test-channel",
    resumes: true,
    body: z.strictObject(because),
    answer: shapes.message,
  },
  {
    path: "/emergency/force-release-locks",
    summary: "Cancel the runs that hold locks, of the jobs named or of all",
    verb: "force-release-locks",
    body: z.strictObject({ ...because, jobs: z.array(words(200)).max(1000).optional() }),
    answer: shapes.released,
  },
  {
    path: "/emergency/stop",
    summary: "Stop all jobs; with `end_runs` what is under way is cancelled",
    verb: "stop",
    body: z.strictObject({ ...because, end_runs: z.boolean().optional() }),
    answer: shapes.message,
  },
  {
    path: "/emergency/restart",
    summary: "Resume all jobs in the order of their dependencies, spread over a ramp",
    verb: "restart",
    resumes: true,
    body: z.strictObject({ ...because, ramp_seconds: z.int().min(0).max(86400).optional() }),
    answer: shapes.message,
  },
];

/** Sends all that is due and pulses, for a clock that is not pg_cron. */
export const tickPath = "/tick";

/** Adds the routes to the API. Bodies are read by what reads a job's input, with its limits. */
export function addActingRoutes(api: OpenAPIHono, caller: Caller): void {
  const common = {
    ...refusals,
    503: jsonOf(shapes.problem, "The database, or Supabase Auth, gives no answer"),
  };
  for (const { path, summary, verb, body, answer } of actingRoutes) {
    const bodyOfUser = body.extend({ author: authorOfUser });
    const subject = /\{(\w+)\}/.exec(path)?.[1];
    const subjectShape = subject === "id" ? z.uuid() : z.string().min(1).max(200);
    api.openAPIRegistry.registerPath({
      method: "post",
      path,
      summary,
      request: {
        ...(subject === undefined ? {} : { params: z.object({ [subject]: subjectShape }) }),
        body: { content: { "application/json": { schema: bodyOfUser } }, required: true },
      },
      responses: {
        200: jsonOf(answer, "What was done"),
        ...common,
        404: jsonOf(shapes.problem, "No such job, run, group or channel"),
        409: jsonOf(shapes.problem, "Its state does not allow it; the message says why"),
        413: jsonOf(shapes.problem, "The body is over 256 KiB"),
      },
    });
    api.post(path.replace(/\{(\w+)\}/, ":$1"), async (context) => {
      const name = subject === undefined ? null : context.req.param(subject) ?? null;
      const checked = await subjectShape.nullable().safeParseAsync(name);
      if (!checked.success) {
        throw new HttpError(
          400,
          "invalid_input",
          `Cannot ${verb}: path: ${subject}: ${checked.error.issues[0]!.message}`,
        );
      }
      const sent = await readPayload(context.req.raw, verb);
      const { payload } = await readInput(
        sent,
        caller.operator ? bodyOfUser : body,
        undefined,
        verb,
      );
      const { reason, author, ...input } = payload;
      const found = await caller.act("scheduler_api_act", {
        p_verb: verb,
        p_subject: name ?? "",
        p_reason: reason,
        p_author: author,
        p_input: input,
      });
      return context.json(found as object);
    });
  }
  for (const method of ["get", "post"] as const) {
    api.openAPIRegistry.registerPath({
      method,
      path: tickPath,
      summary: "Send all that is due and pulse, for a clock that is not pg_cron",
      responses: { 200: jsonOf(shapes.tick, "What the pulse came to"), ...common },
    });
  }
  api.on(["GET", "POST"], tickPath, async (context) => {
    return context.json(await caller.act("scheduler_api_tick") as object);
  });
}
