/** The database itself, asked through the API's own routes: the same checks, the same functions, the same words. */
import postgres, { type Sql } from "postgres";
import { errorMessage, HttpError } from "../../shared/job/errors.ts";
import { createApi } from "../../supabase/functions/cron/api.ts";
import { type Ask, refusal } from "../../supabase/functions/cron/ask.ts";
import { CommandError, exitCodes } from "./io.ts";
import { answerOf, type Query, type Source } from "./source.ts";

/** As over the API: what stops an answer that takes too long. */
const patienceMs = 8_000;

export function sqlSource(url: string): Source {
  const place = placeOf(url);
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
    connection: { application_name: "daybook", statement_timeout: patienceMs },
  });
  const api = createApi(askBy(sql, place));

  async function ask(method: "GET" | "POST", route: string, query: Query, body?: unknown) {
    const address = new URL(`http://database/cron/${route}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, value);
    }
    const request = new Request(address, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const response = await Promise.resolve(api.fetch(request)).catch((error) => {
      if (error instanceof HttpError) return error.toResponse();
      throw error;
    });
    return answerOf(response.status, await response.json());
  }

  return {
    place,
    knowsAuthor: false,
    read: (route, query = {}) => ask("GET", route, query) as never,
    act: (route, body) => ask("POST", route, {}, body) as never,
    close: () => sql.end({ timeout: 5 }),
  };
}

/** Calls `public.<name>(argument => value, …)`, as PostgREST does. */
function askBy(sql: Sql, place: string): Ask {
  return async (name, args = {}) => {
    const given = Object.entries(args).filter(([, value]) => value !== undefined);
    const list = given.map(([argument], index) => `${argument} => $${index + 1}`).join(", ");
    const values = given.map(([, value]) =>
      typeof value === "object" ? sql.json(value as never) : value
    );
    try {
      const [row] = await sql.unsafe(
        `select public.${name}(${list}) as answer`,
        values as never[],
      );
      return row!.answer;
    } catch (error) {
      if (!(error instanceof postgres.PostgresError)) throw unreachable(place, error);
      if (isRefusedAtTheDoor(error.code)) throw unreachable(place, error);
      throw refusal(error);
    }
  };
}

/** No right to connect, no such database, shutting down, too many connections. */
function isRefusedAtTheDoor(code: string): boolean {
  return /^(28|3D|53|57P|08)/.test(code);
}

function unreachable(place: string, error: unknown): CommandError {
  return new CommandError(
    exitCodes.unreachable,
    `Cannot reach ${place}: ${errorMessage(error)}`,
    "is the URL right, and does the database run?",
  );
}

/** Host, port and database: no user, no password, no parameters. */
function placeOf(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot use the database's URL: it must be postgres://…",
      "postgres://postgres:<password>@<host>:5432/postgres",
    );
  }
  return `postgres://${parsed.host}${parsed.pathname}`;
}
