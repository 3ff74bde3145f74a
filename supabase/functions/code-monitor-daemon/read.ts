import type { PostgrestError } from "@supabase/supabase-js";
import type { z } from "zod";
import { PermanentError } from "../../../shared/errors.ts";

/**
 * The answer of one of the job's SQL functions.
 *
 * @throws PermanentError for what the database refuses, a setting that cannot be used, say; Error for all else.
 */
export function read<S extends z.ZodType>(
  schema: S,
  { data, error }: { data: unknown; error: PostgrestError | null },
): z.output<S> {
  if (error === null) return schema.parse(data);
  if (error.code === "22023") throw new PermanentError(error.message);
  throw error;
}
