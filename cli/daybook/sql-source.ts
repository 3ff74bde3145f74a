/** The database itself, asked through the API's own routes: the same checks, the same functions, the same words. */
import type { PostgresError, Sql } from "postgres";
import { HttpError } from "../../shared/job/errors.ts";
import { createApi } from "../../supabase/functions/cron/api.ts";
import { type Ask, refusal } from "../../supabase/functions/cron/ask.ts";
import { connectTo, hostOf, isUnreachable, unreachable } from "./database.ts";
import { answerOf, type Query, type Source } from "./source.ts";

/** As over the API: what stops an answer that takes too long. */
const patienceMs = 8_000;

export function sqlSource(url: string): Source {
  const sql = connectTo(url, "daybook", { statementTimeoutMs: patienceMs });
  const door = askBy(sql, url);
  const api = createApi({ read: door, act: door });

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
    place: hostOf(url),
    knowsAuthor: false,
    read: (route, query = {}) => ask("GET", route, query) as never,
    act: (route, body) => ask("POST", route, {}, body) as never,
    close: () => sql.end({ timeout: 5 }),
  };
}

/** Calls `public.<name>(argument => value, …)`, as PostgREST does. */
function askBy(sql: Sql, url: string): Ask {
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
      if (isUnreachable(error)) throw unreachable(url, error);
      throw refusal(error as PostgresError);
    }
  };
}
