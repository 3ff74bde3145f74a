/** `deno task sql "select …"`: asks the running stack's database, for machines without psql. */
import { parseArgs } from "node:util";
import postgres from "postgres";
import { formatTable } from "./format-table.ts";
import { databaseUrl } from "./running-stack.ts";

const usage = `deno task sql "<statement>" [--database-url URL]

  --database-url URL  which database (default: the running stack)`;

function text(value: unknown): string {
  if (value === null) return "";
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      "database-url": { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return console.log(usage);
  const [statement] = positionals;
  if (statement === undefined || positionals.length > 1) {
    throw new Error(`Cannot ask the database: one statement in quotes is needed\n\n${usage}`);
  }
  const sql = postgres(await databaseUrl(values["database-url"]), {
    max: 1,
    connect_timeout: 10,
    onnotice: ({ severity, message }) => console.error(`${severity}: ${message}`),
  });
  try {
    const rows = await sql.unsafe(statement).simple();
    const columns = rows.columns?.map(({ name }) => name) ?? [];
    const single = columns.length === 1 && rows.length === 1;
    if (single) console.log(text(rows[0]![columns[0]!]));
    else if (columns.length > 0) {
      console.log(
        formatTable([columns, ...rows.map((row) => columns.map((column) => text(row[column])))]),
      );
      console.log(`(${rows.length} row${rows.length === 1 ? "" : "s"})`);
    } else console.log(rows.command ?? "done");
  } finally {
    await sql.end({ timeout: 5 });
  }
}

try {
  await main();
} catch (error) {
  const { message, hint, detail } = error as { message: string; hint?: string; detail?: string };
  console.error([message, detail, hint && `hint: ${hint}`].filter(Boolean).join("\n"));
  Deno.exitCode = 1;
}
