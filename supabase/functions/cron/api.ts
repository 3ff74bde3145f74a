import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HttpError, methodNotAllowed } from "../../../shared/job/errors.ts";
import type { Caller } from "./ask.ts";
import { actingRoutes, addActingRoutes, tickPath } from "./acting.ts";
import { addReadingRoutes, readingRoutes } from "./reading.ts";

/** The path below the function: the platform calls it with `/cron/…`, some of its hosts with `/functions/v1/cron/…`. */
export function pathOf(request: Request): string {
  const { pathname } = new URL(request.url);
  return pathname.replace(/^(\/functions\/v1)?\/cron(?=\/|$)/, "").replace(/\/+$/, "") || "/";
}

/** Routes that are described by no other. */
const documentPath = "/openapi.json";
/** Where `addMcpRoute` puts it. */
export const mcpPath = "/mcp";

/** The API for that caller, without `mcp`. Its `fetch` throws an HttpError for what it refuses. */
export function createApi(caller: Caller): OpenAPIHono {
  const api = new OpenAPIHono({ getPath: pathOf, defaultHook: refuseInput });
  // What asks nothing else of the database is for listed users, too.
  api.use(documentPath, async (_, next) => {
    await caller.operator?.();
    await next();
  });
  addReadingRoutes(api, caller.read);
  addActingRoutes(api, caller);
  api.doc31(documentPath, {
    openapi: "3.1.0",
    info: {
      title: "Daybook",
      version: "1",
      description: "What runs, what ran, and why not. docs/api.md says more.",
    },
    servers: [{ url: "/functions/v1/cron" }],
    security: [{ cronSecret: [] }, { serviceKey: [] }, { bearer: [] }],
  });
  const schemes = {
    cronSecret: { type: "apiKey", in: "header", name: "x-cron-secret" },
    serviceKey: { type: "apiKey", in: "header", name: "apikey" },
    bearer: {
      type: "http",
      scheme: "bearer",
      description:
        "The cron secret, a service key, METRICS_TOKEN (status, health and metrics alone), or the access token of a " +
        "user of Supabase Auth who is listed in scheduler_operators",
    },
  } as const;
  for (const [name, scheme] of Object.entries(schemes)) {
    api.openAPIRegistry.registerComponent("securitySchemes", name, scheme);
  }
  api.notFound(async (context) => {
    await caller.operator?.();
    return refuseRoute(context);
  });
  api.onError((error) => {
    throw error;
  });
  return api;
}

interface Parsed {
  success: boolean;
  target: string;
  error?: { issues: { path: PropertyKey[]; message: string }[] };
}

function refuseInput({ success, target, error }: Parsed): void {
  if (success) return;
  const issues =
    error?.issues.map(({ path, message }) =>
      [path.join("."), message].filter((part) => part !== "").join(": ")
    ) ?? [];
  const part = target === "param" ? "path" : target;
  throw new HttpError(
    400,
    "invalid_input",
    `Cannot answer: ${part}: ${issues.join("; ")}`.slice(0, 2000),
  );
}

/** 405 for a path that there is, 404 for any other. */
function refuseRoute(context: Context): never {
  const path = pathOf(context.req.raw);
  const routes: [string, string][] = [
    [documentPath, "GET, HEAD"],
    ...readingRoutes.map(({ path }): [string, string] => [path, "GET, HEAD"]),
    ...actingRoutes.map(({ path }): [string, string] => [path, "POST"]),
    [tickPath, "GET, HEAD, POST"],
    [mcpPath, "POST"],
  ];
  const found = routes.find(([pattern]) =>
    new RegExp(`^${pattern.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(path)
  );
  if (found !== undefined) {
    throw methodNotAllowed(
      `Cannot answer: method must be one of ${found[1]}, got ${context.req.method}`,
      found[1],
    );
  }
  throw new HttpError(
    404,
    "unknown_route",
    `Cannot answer: there is no ${path.slice(0, 200)}`,
    `the routes are: ${routes.map(([path]) => path.slice(1)).join(", ")}`,
  );
}
