/** The Postgres server that a whole test run shares, with the templates its databases are cloned from. */
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { bootstrapDatabase, quoteLiteral } from "../../local/bootstrap.ts";
import { applyPacks, type Pack, readPacks, withNeeds } from "../../local/packs.ts";
import { preparePostgres } from "../../local/postgres.ts";
import { makeServerDirectory } from "./server-directory.ts";

export interface TestCluster {
  /** What the tests need to know, as environment variables. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** Starts the server in a temporary directory; `stop` ends it and removes the directory. */
export async function startTestCluster(options: {
  postgresBin?: string | undefined;
  onProgress(message: string): void;
}): Promise<TestCluster> {
  const directory = await makeServerDirectory("daybook-test-");
  const password = crypto.randomUUID();
  const server = await preparePostgres({
    dataDirectory: join(directory, "data"),
    port: 0,
    adminPassword: password,
    postgresBin: options.postgresBin,
    pgCron: false,
    settings: {
      max_connections: "500",
      fsync: "off",
      full_page_writes: "off",
      synchronous_commit: "off",
      wal_level: "minimal",
      max_wal_senders: "0",
      autovacuum: "off",
      // Behind the true time all timeouts of a backend that waits are over as soon as one alarm comes.
      ...(Deno.env.has("FAKETIME") ? { deadlock_timeout: "10min" } : {}),
    },
    onProgress: options.onProgress,
  });
  const stop = async () => {
    await server.stop();
    await Deno.remove(directory, { recursive: true });
  };
  try {
    await server.start();
    const maintenance = postgres(server.adminUrl("template1"), { max: 1, onnotice: () => {} });
    const packs = await readPacks();
    for (
      const [name, applied] of [
        ["bare_template", []],
        ["core_template", withNeeds(packs, ["scheduler"])],
        ["all_template", packs],
      ] as const
    ) {
      await maintenance.unsafe(`create database ${name}`);
      await prepareTemplate(server.adminUrl(name), password, applied);
      await maintenance.unsafe(`alter database ${name} with is_template true`);
    }
    await cheapenPasswords(maintenance, password);
    await maintenance.end();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    env: {
      DAYBOOK_TEST_DATABASE_URL: server.adminUrl("postgres"),
      DAYBOOK_TEST_DIRECTORY: directory,
    },
    stop,
  };
}

/** Hashes them once instead of 4096 times, which each of ten thousand connections would repeat. */
async function cheapenPasswords(sql: Sql, password: string) {
  // Before Postgres 16 there is no choice.
  const [row] = await sql`select current_setting('scram_iterations', true) is not null as settable`;
  if (!row!.settable) return;
  await sql`set scram_iterations = 1`;
  for (const role of ["supabase_admin", "postgres", "authenticator"]) {
    await sql.unsafe(`alter role ${role} password ${quoteLiteral(password)}`);
  }
}

async function prepareTemplate(adminUrl: string, password: string, packs: readonly Pack[]) {
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
  await bootstrapDatabase(admin, { password, realExtensions: false });
  if (packs.length > 0) {
    const url = new URL(adminUrl);
    url.username = "postgres";
    const sql = postgres(url.href, { max: 1, onnotice: () => {} });
    await applyPacks(sql, packs);
    await sql.end();
  }
  // Tests begin from tables with statistics, as a database that has run for a while does.
  await admin`vacuum analyze`;
  await admin.end();
}
