/** The routes that only read: each is one function of the database. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ZodObject, ZodType } from "zod";
import type { ApiFunction, Ask } from "./ask.ts";
import { jsonOf, refusals } from "./responses.ts";
import * as shapes from "./shapes.ts";

interface ReadingRoute {
  path: string;
  summary: string;
  answer: ZodType;
  /** The function, and under which name it takes each parameter of path and query. */
  asks: ApiFunction;
  args?: Record<string, string>;
  params?: ZodObject;
  query?: ZodObject;
  /** The status of an answer, where it is not always 200. */
  status?: (answer: never) => 200 | 503;
}

const name = z.string().min(1).max(200);
const cursor = z.string().max(200).optional().openapi({
  description: "`next_cursor` of the page before",
});
/** In a URL a plus sign stands for a blank, and people write it all the same. */
const moment = z.preprocess(
  (text) => typeof text === "string" ? text.replace(/ (?=\d\d:?\d\d$)/, "+") : text,
  shapes.givenMoment,
);
const paged = z.strictObject({ cursor });

/** Every reading route. */
export const readingRoutes: ReadingRoute[] = [
  {
    path: "/status",
    summary: "Every job and its state, and one sentence over all; 100 jobs a page",
    answer: shapes.status,
    asks: "scheduler_api_status",
    query: paged,
    args: { cursor: "p_cursor" },
  },
  {
    path: "/health",
    summary: "For outside watchers: which jobs are stalled; 503 when one is",
    answer: shapes.health,
    asks: "scheduler_api_health",
    status: ({ stalled_services }: z.output<typeof shapes.health>) =>
      stalled_services.length > 0 ? 503 : 200,
  },
  {
    path: "/health/{job}",
    summary:
      "One job, by its name or alias: heartbeats, durations, errors, budgets; 503 when stalled",
    answer: shapes.healthOfJob,
    asks: "scheduler_api_health_of",
    params: z.strictObject({ job: name }),
    args: { job: "p_job" },
    status: ({ status }: z.output<typeof shapes.healthOfJob>) => status === "STALLED" ? 503 : 200,
  },
  {
    path: "/metrics",
    summary:
      "What happened of each job in the last hour, 24 hours, 7 and 30 days; 100 jobs a page, or one",
    answer: shapes.metrics,
    asks: "scheduler_api_metrics",
    query: z.strictObject({ job: name.optional(), cursor }),
    args: { job: "p_job", cursor: "p_cursor" },
  },
  {
    path: "/forecast",
    summary:
      "What is foreseen: when a job outgrows its limits, failure rates, unusual hours, figures, the ledger's size, the " +
      "cost; 100 jobs a page, or one",
    answer: shapes.forecast,
    asks: "scheduler_api_forecast",
    query: z.strictObject({ job: name.optional(), cursor }),
    args: { job: "p_job", cursor: "p_cursor" },
  },
  {
    path: "/history",
    summary: "The ledger, newest first, 100 runs a page",
    answer: shapes.history,
    asks: "scheduler_api_history",
    query: z.strictObject({
      job: name.optional(),
      status: name.optional(),
      from: moment.optional(),
      to: moment.optional(),
      cursor,
    }),
    args: { job: "p_job", status: "p_status", from: "p_from", to: "p_to", cursor: "p_cursor" },
  },
  {
    path: "/failures",
    summary: "The jobs that are still broken, mended ones left out; 100 a page",
    answer: shapes.failures,
    asks: "scheduler_api_failures",
    query: z.strictObject({ since: moment.optional(), cursor }),
    args: { since: "p_since", cursor: "p_cursor" },
  },
  {
    path: "/logs",
    summary: "What happened, of ledger and activity, newest first, 100 lines a page",
    answer: shapes.logs,
    asks: "scheduler_api_logs",
    query: z.strictObject({ from: moment.optional(), to: moment.optional(), cursor }),
    args: { from: "p_from", to: "p_to", cursor: "p_cursor" },
  },
  {
    path: "/runs/{id}",
    summary: "One run: its attempts, the three witnesses, what it waits for, the sentence",
    answer: shapes.runPage,
    asks: "scheduler_api_run",
    params: z.strictObject({ id: z.uuid() }),
    args: { id: "p_run_id" },
  },
  {
    path: "/explain",
    summary: "Why a job did, or did not, run at a minute; its latest row without `at`",
    answer: shapes.explanation,
    asks: "scheduler_api_explain",
    query: z.strictObject({ job: name, at: moment.optional() }),
    args: { job: "p_job", at: "p_at" },
  },
  {
    path: "/next",
    summary: "What comes next: of a job, or the next occurrence of each",
    answer: shapes.next,
    asks: "scheduler_api_next",
    query: z.strictObject({ job: name.optional(), cursor }),
    args: { job: "p_job", cursor: "p_cursor" },
  },
  {
    path: "/timeline",
    summary: "What a picture of a day needs, in cells; 25 jobs a page, at most 31 days",
    answer: shapes.timeline,
    asks: "scheduler_api_timeline",
    query: z.strictObject({ from: moment.optional(), to: moment.optional(), cursor }),
    args: { from: "p_from", to: "p_to", cursor: "p_cursor" },
  },
  {
    path: "/audit-log",
    summary: "Who did what, when, on what and why, newest first, 100 entries a page",
    answer: shapes.auditLog,
    asks: "scheduler_api_audit_log",
    query: paged,
    args: { cursor: "p_cursor" },
  },
  {
    path: "/channels",
    summary:
      "Where alerts go, what each channel takes, and whether it arrives; 100 channels a page",
    answer: shapes.channels,
    asks: "scheduler_api_channels",
    query: paged,
    args: { cursor: "p_cursor" },
  },
  {
    path: "/verify",
    summary: "The deployment check",
    answer: shapes.verification,
    asks: "scheduler_api_verify",
  },
];

/** Adds the routes to the API. */
export function addReadingRoutes(api: OpenAPIHono, ask: Ask): void {
  for (const { path, summary, answer, asks, args, params, query, status } of readingRoutes) {
    const either = z.union([answer, shapes.problem]);
    const route = createRoute({
      method: "get",
      path,
      summary,
      request: {
        query: query ?? z.strictObject({}),
        ...(params ? { params } : {}),
      },
      responses: {
        200: jsonOf(answer, "The answer"),
        ...refusals,
        ...(args?.job || args?.id ? { 404: jsonOf(shapes.problem, "No such job or run") } : {}),
        503: status
          ? jsonOf(
            either,
            "Something is stalled; or the database, or Supabase Auth, gives no answer",
          )
          : jsonOf(shapes.problem, "The database, or Supabase Auth, gives no answer"),
      },
    });
    api.openapi(route, async (context) => {
      const given: Record<string, string | undefined> = {
        ...context.req.valid("query"),
        ...params ? (context.req.valid as (part: "param") => object)("param") : {},
      };
      const named = Object.entries(args ?? {}).map(([key, argument]) => [argument, given[key]]);
      const found = await ask(asks, Object.fromEntries(named));
      return context.json(found, status?.(found as never) ?? 200) as never;
    });
  }
}
