/**
 * `deno task demo-data --devices N --days N [--seed N] [--until TIME] [--database-url URL]`: fills the device tables
 * of the running stack with realistic days.
 */
import postgres from "postgres";
import { readArguments } from "./arguments.ts";
import { makeDemoData } from "./make-demo-data.ts";
import { databaseUrl } from "./running-stack.ts";

const USAGE = `Fill the running stack, or another database, with realistic days of a fleet.

deno task demo-data [options]

  --devices N         devices in the fleet (default 50)
  --days N            days before --until to fill (default 7)
  --seed N            the same options give the same rows (default 1)
  --until TIME        the demo world's present, ISO 8601 with offset (default: the start of this minute)
  --database-url URL  where to write (default: the running stack)
  --help              this text`;

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new Error(
      `Cannot make demo data: --${name} must be a whole number from ${least} to ${most}, got ${text}`,
    );
  }
  return value;
}

function moment(text: string | undefined): Date {
  if (text === undefined) return new Date(Math.floor(Date.now() / 60_000) * 60_000);
  const value = new Date(text);
  if (Number.isNaN(value.getTime()) || !/(Z|[+-]\d\d:?\d\d)$/i.test(text)) {
    throw new Error(
      `Cannot make demo data: --until must be ISO 8601 with an offset, got ${text}`,
    );
  }
  return value;
}

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, {
    devices: { type: "string", default: "50" },
    days: { type: "string", default: "7" },
    seed: { type: "string", default: "1" },
    until: { type: "string" },
    "database-url": { type: "string" },
  });
  const options = {
    devices: wholeNumber("devices", values.devices, 1, 99_999),
    days: wholeNumber("days", values.days, 1, 3650),
    seed: wholeNumber("seed", values.seed, 0, 1_000_000),
    until: moment(values.until),
  };
  const sql = postgres(await databaseUrl(values["database-url"]), {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
  });
  const begunAt = performance.now();
  try {
    console.log(
      `${options.devices} devices, ${options.days} days until ${options.until.toISOString()}, seed ${options.seed}`,
    );
    await makeDemoData(sql, options, ({ table, rows, durationMs }) => {
      const count = rows.toLocaleString("en-US").padStart(12);
      const seconds = (durationMs / 1000).toFixed(1).padStart(6);
      console.log(`  ${table.padEnd(28)}${count} rows${seconds} s`);
    });
    console.log(`done in ${((performance.now() - begunAt) / 1000).toFixed(1)} s`);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message || String(error) : error);
  Deno.exitCode = 1;
}
