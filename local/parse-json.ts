import { z } from "zod";

/**
 * The JSON of a file, as its schema has it.
 *
 * @param path What the file is called in a message.
 * @throws Error that names the file, and each field that is not what it must be.
 */
export function parseJson<Schema extends z.ZodType>(
  path: string,
  text: string,
  schema: Schema,
): z.output<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${error instanceof Error ? error.message : error}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`Cannot read ${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
