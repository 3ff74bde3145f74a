/** `deno task postdeploy`: what a deployment ends with. See `--help`. */
import postgres, { type Sql } from "postgres";
import { readArguments } from "./arguments.ts";
import { formatTable } from "./format-table.ts";
import { databaseUrl } from "./running-stack.ts";

const USAGE =
  `Resume what an incident stopped, in the order of the dependencies, and check the deployment.

deno task postdeploy --author NAME [options]

  --author NAME       who deploys, for the audit log
  --ramp SECONDS      over how long jobs are resumed (default: 60)
  --database-url URL  which database (default: the running stack)
  --help              this text

It ends with 1 when a check of scheduler.verify() fails. It releases no lock: a lock ends with its run, its heartbeat or
its deadline.`;

/** A check of `scheduler.verify()`. */
interface Check {
  check_name: string;
  state: "ok" | "failed" | "asked";
  detail: string;
}

/** The checks, once the function that was asked has answered, or after 30 seconds. */
async function verify(sql: Sql): Promise<Check[]> {
  for (const end = Date.now() + 30_000;;) {
    const checks = await sql<Check[]>`select * from scheduler.verify()`;
    if (checks.every(({ state }) => state !== "asked") || Date.now() > end) return checks;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const { values } = readArguments(USAGE, {
  author: { type: "string" },
  ramp: { type: "string", default: "60" },
  "database-url": { type: "string" },
});
const { author, ramp } = values;
if (author === undefined || author.trim() === "") {
  console.error("--author must say who deploys, for the audit log");
  Deno.exit(2);
}
if (!/^\d{1,5}$/.test(ramp) || Number(ramp) > 86_400) {
  console.error(`--ramp must be a number of seconds from 0 to 86400, got ${ramp}`);
  Deno.exit(2);
}
try {
  const sql = postgres(await databaseUrl(values["database-url"]), {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
  });
  try {
    const [resumed] = await sql`select scheduler.end_incident(${author}, ${Number(ramp)}) as said`;
    console.log(resumed!.said);
    const checks = await verify(sql);
    console.log(formatTable(checks.map((check) => [check.state, check.check_name, check.detail])));
    const doubtful = checks.filter(({ state }) => state !== "ok");
    const failed = doubtful.length;
    await sql`select scheduler.audit('postdeploy', 'scheduler', 'deployment', null, ${author}, null, ${
      sql.json({ checks: checks.length, failed: doubtful.map(({ check_name }) => check_name) })
    }, clock_timestamp())`;
    console.log(
      failed === 0 ? "All checks hold" : `${failed} of ${checks.length} checks do not hold`,
    );
    if (failed > 0) Deno.exitCode = 1;
  } finally {
    await sql.end();
  }
} catch (error) {
  const { message, hint } = error as { message: string; hint?: string };
  console.error([message, hint && `hint: ${hint}`].filter(Boolean).join("\n"));
  Deno.exitCode = 1;
}
