import type { PostgrestError } from "@supabase/supabase-js";
import type { z } from "zod";
import { PermanentError } from "./errors.ts";

/**
 * What a function of the database answered, by its schema.
 *
 * @param what What could not be done, for the error: "sweep the connections".
 * @throws PermanentError for what the database refuses (22023: a setting, an argument), Error for all else.
 */
export function readAnswer<S extends z.ZodType>(
  what: string,
  schema: S,
  { data, error }: { data: unknown; error: PostgrestError | null },
): z.output<S> {
  if (error === null) return schema.parse(data);
  const message = `Cannot ${what}: ${error.message}`;
  throw error.code === "22023" ? new PermanentError(message) : new Error(message, { cause: error });
}
