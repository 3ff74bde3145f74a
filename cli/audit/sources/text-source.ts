/** What the readers of all kinds of files have in common. */
import type { z } from "zod";
import type { Entry } from "../entry.ts";

export interface ReadText {
  entries: Entry[];
  /** What the text does not tell. */
  unknown: string[];
}

export interface TextSource {
  /** As findings name it. */
  name: string;
  text: string;
  /** The zone of a machine or cluster that the text does not name. */
  zone: string | undefined;
}

/** The lines of a text with their numbers. */
export function linesOf(text: string): [line: string, number: number][] {
  return text.split(/\r?\n/).map((line, index) => [line, index + 1]);
}

/**
 * A text as JSON of that shape.
 *
 * @throws Error that shows nothing of the text: it may hold secrets.
 */
export function readJson<Shape extends z.ZodType>(
  name: string,
  text: string,
  shape: Shape,
): z.output<Shape> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`Cannot read ${name}: it is no JSON`);
  }
  const { success, data, error } = shape.safeParse(json);
  if (success) return data;
  throw new Error(`Cannot read ${name}: ${error.issues[0]!.path.join(".")} is missing or wrong`);
}
