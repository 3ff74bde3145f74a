/** How openapi.json describes the answers that routes have in common. */
import type { ZodType } from "zod";
import { problem } from "./shapes.ts";

/** An answer of that shape. */
export const jsonOf = (schema: ZodType, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

/** The errors that any route may answer. */
export const refusals = {
  400: jsonOf(problem, "A parameter is wrong; the message names it"),
  401: jsonOf(problem, "No valid credential, or a token that is refused; the message says why"),
  403: jsonOf(
    problem,
    "The user is not listed in scheduler_operators, or is a viewer and would act",
  ),
  500: jsonOf(problem, "The function's environment is incomplete, or an unexpected error"),
};
