import type { PostgrestError } from "@supabase/supabase-js";
import type { z } from "zod";
import { databaseError } from "./database-error.ts";

/**
 * What a function of the database answered, by its schema.
 *
 * @param what What could not be done, for the error: "sweep the connections".
 * @throws PermanentError for what the database refuses for a reason that stays, Error for all else.
 */
export function readAnswer<S extends z.ZodType>(
  what: string,
  schema: S,
  { data, error }: { data: unknown; error: PostgrestError | null },
): z.output<S> {
  if (error === null) return schema.parse(data);
  throw databaseError(what, error);
}
