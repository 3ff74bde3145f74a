/** `deno task sql "select …"`: what Postgres answers to statements, for machines without psql. */
import pg from "pg";
import { readArguments } from "./arguments.ts";
import { formatTable } from "./format-table.ts";
import { runStatements, type StatementResult } from "./run-statements.ts";
import { databaseUrl } from "./running-stack.ts";

const USAGE =
  `Ask the running stack's database, or another one. Values are printed as Postgres writes them.

deno task sql "<statements>" [options]

  --database-url URL  which database (default: the running stack)
  --help              this text`;

function print({ columns, rows, done }: StatementResult) {
  const cells = rows.map((row) => row.map((value) => value ?? ""));
  if (columns === undefined) {
    return console.log(cells.length > 0 ? cells.map((row) => row[0]).join("\n") : done);
  }
  if (columns.length === 1 && cells.length === 1) return console.log(cells[0]![0]);
  if (columns.length > 0) console.log(formatTable([columns, ...cells]));
  console.log(`(${rows.length} row${rows.length === 1 ? "" : "s"})`);
}

async function ask(statements: string, url: string) {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on("notice", ({ severity, message }) => console.error(`${severity}: ${message}`));
  try {
    await client.connect();
    await runStatements(client, statements, print);
  } finally {
    await client.end();
  }
}

const { values, positionals } = readArguments(USAGE, { "database-url": { type: "string" } }, {
  allowPositionals: true,
});
const [statements] = positionals;
if (statements === undefined || positionals.length > 1) {
  console.error(`Cannot ask the database: statements in one pair of quotes are needed\n\n${USAGE}`);
  Deno.exit(2);
}
try {
  await ask(statements, await databaseUrl(values["database-url"]));
} catch (error) {
  const { message, hint, detail } = error as { message: string; hint?: string; detail?: string };
  console.error([message, detail, hint && `hint: ${hint}`].filter(Boolean).join("\n"));
  Deno.exitCode = 1;
}
