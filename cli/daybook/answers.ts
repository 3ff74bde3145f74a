/** The shapes of what the API answers, as openapi.json describes them. */
import type { z } from "zod";
import type * as shapes from "../../supabase/functions/cron/shapes.ts";

type Shape = typeof shapes;
type AnswerOf<Name extends keyof Shape> = Shape[Name] extends z.ZodType ? z.output<Shape[Name]>
  : never;

export type Status = AnswerOf<"status">;
export type Health = AnswerOf<"health">;
export type HealthOfJob = AnswerOf<"healthOfJob">;
export type Metrics = AnswerOf<"metrics">;
export type Forecast = AnswerOf<"forecast">;
export type Channels = AnswerOf<"channels">;
export type History = AnswerOf<"history">;
export type Run = History["runs"][number];
export type RunPage = AnswerOf<"runPage">;
export type Failures = AnswerOf<"failures">;
export type Logs = AnswerOf<"logs">;
export type LogLine = Logs["lines"][number];
export type Explanation = AnswerOf<"explanation">;
export type Next = AnswerOf<"next">;
export type AuditLog = AnswerOf<"auditLog">;
export type Verification = AnswerOf<"verification">;
export type Message = AnswerOf<"message">;
export type NewRun = AnswerOf<"newRun">;
export type Released = AnswerOf<"released">;
export type Backfilled = AnswerOf<"backfilled">;
