/**
 * A database of its own for each test, cloned from a template: tests in tests/database/scheduler get the pack scheduler alone,
 * all others every pack.
 */
import postgres, { type Options, type PostgresType, type Sql } from "postgres";
import { timeoutsComeEarly } from "./moments.ts";

type ConnectOptions = Options<Record<string, PostgresType>>;
type Role = "postgres" | "anon" | "authenticated" | "service_role";

export interface TestDatabase {
  name: string;
  /** URL as the role `postgres`. */
  url: string;
  /** As the role `postgres`. */
  sql: Sql;
  /** As the superuser `supabase_admin`. */
  admin: Sql;
  /** More connections, as any of the roles; closed with the database. One connection unless told. */
  connect(role?: Role, options?: ConnectOptions): Sql;
}

export interface TestDatabaseOptions {
  /** Other packs than those of the test's folder; `none` for roles and extensions alone. */
  packs?: "none" | "core" | "all";
}

/** The limits that PostgREST sets for a request of this role. */
const STATEMENT_TIMEOUT = { postgres: "0", anon: "3s", authenticated: "8s", service_role: "8s" };

/**
 * Runs `fn` with a database of its own, and drops it afterwards. Stand-ins are installed, but
 * nothing runs in the background: no job fires and no request is sent.
 */
export async function withDatabase(
  fn: (db: TestDatabase) => Promise<void>,
  options: TestDatabaseOptions = {},
): Promise<void> {
  const cluster = requiredEnv("DAYBOOK_TEST_DATABASE_URL");
  const packs = options.packs ??
    (Deno.mainModule.includes("/tests/database/scheduler/") ? "core" : "all");
  const template = { none: "bare_template", core: "core_template", all: "all_template" }[packs];
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  const quiet = { onnotice: () => {}, max: 1 };
  const maintenance = postgres(cluster, quiet);
  const open: Sql[] = [];
  const opened = (sql: Sql) => (open.push(sql), sql);
  try {
    await maintenance.unsafe(
      `create database ${name} template ${template} owner postgres strategy file_copy`,
    );
    const adminUrl = new URL(cluster);
    adminUrl.pathname = `/${name}`;
    const as = (user: string) => {
      const url = new URL(adminUrl);
      url.username = user;
      return url.href;
    };
    const sql = opened(postgres(as("postgres"), { ...quiet, max: 4 }));
    if (packs === "all") {
      // As if it were installed now: the template may be of the hour before.
      await sql`update devices.metrics_state set next_hour = date_bin('1 hour', now(), '2000-01-01 00:00+00')`;
    }
    await fn({
      name,
      url: as("postgres"),
      sql,
      admin: opened(postgres(adminUrl.href, quiet)),
      connect(role = "postgres", connectOptions = {}) {
        const login = role === "postgres" ? "postgres" : "authenticator";
        return opened(postgres(as(login), {
          ...quiet,
          ...connectOptions,
          connection: {
            role,
            statement_timeout:
              (timeoutsComeEarly ? "0" : STATEMENT_TIMEOUT[role]) as unknown as number,
            ...connectOptions.connection,
          },
        }));
      },
    });
  } finally {
    await Promise.all(open.map((sql) => sql.end({ timeout: 1 })));
    await maintenance.unsafe(`drop database if exists ${name} with (force)`);
    await maintenance.end({ timeout: 1 });
  }
}

export function requiredEnv(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) {
    throw new Error(`Cannot run this test alone: ${name} is set by 'deno task test'`);
  }
  return value;
}
