import type { z } from "zod";
import { HttpError } from "./errors.ts";
import { NotTextError, readText } from "../read-text.ts";
import { storageProblem } from "./storable-json.ts";

const maximumBytes = 256 * 1024;

/**
 * Reads a request's body, a JSON object; undefined when there is none.
 *
 * @param action What cannot be done with a wrong body, for the messages.
 * @throws HttpError 413 over 256 KiB; 400 `invalid_json` or `invalid_input`.
 */
export async function readPayload(
  request: Request,
  action = "run the job",
): Promise<Record<string, unknown> | undefined> {
  const text = await readBody(request, action);
  return text.trim() === "" ? undefined : parseObject(text, action);
}

/**
 * Takes a payload for the job's input.
 *
 * @param withoutPayload What a request without one stands for; `{}` unless given.
 * @param action What cannot be done with a wrong payload, for the messages.
 * @throws HttpError 400 `invalid_input`, naming the field.
 */
export async function readInput<S extends z.ZodType>(
  sent: Record<string, unknown> | undefined,
  schema: S,
  withoutPayload: () => Promise<Record<string, unknown>> = () => Promise.resolve({}),
  action = "run the job",
): Promise<{ input: z.output<S>; payload: Record<string, unknown> }> {
  const payload = sent ?? await withoutPayload();
  const parsed = await schema.safeParseAsync(payload);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) =>
      `${issue.path.length > 0 ? issue.path.join(".") : "body"}: ${issue.message}`
    );
    throw new HttpError(
      400,
      "invalid_input",
      `Cannot ${action}: ${issues.join("; ")}`.slice(0, 2000),
      sent === undefined && action === "run the job"
        ? "the request has no body: what the job is registered with was used"
        : undefined,
    );
  }
  return { input: parsed.data, payload };
}

function parseObject(text: string, action: string): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new HttpError(
      400,
      "invalid_json",
      `Cannot ${action}: the body is not JSON: ${(error as Error).message.slice(0, 200)}`,
    );
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new HttpError(400, "invalid_input", `Cannot ${action}: body: must be a JSON object`);
  }
  const problem = storageProblem(body);
  if (problem !== undefined) {
    throw new HttpError(400, "invalid_input", `Cannot ${action}: body: ${problem}`);
  }
  return body as Record<string, unknown>;
}

/** Of a body without a length no more than may be is read: it cannot fill the memory. */
async function readBody(request: Request, action: string): Promise<string> {
  const text = await readText(request, maximumBytes, { strict: true }).catch((error) => {
    if (!(error instanceof NotTextError)) throw error;
    throw new HttpError(400, "invalid_json", `Cannot ${action}: the body is not UTF-8`);
  });
  if (text !== undefined) return text;
  throw new HttpError(
    413,
    "body_too_large",
    `Cannot ${action}: the body must be at most ${maximumBytes} bytes`,
  );
}
