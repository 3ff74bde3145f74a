import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface StartCommand {
  gatewayPort: number;
  databasePort: number;
  fresh: boolean;
  once: boolean;
  help: boolean;
  /** The environment of the functions; `supabase/functions/.env`, if it exists, when absent. */
  envFile?: string;
  /** Where data, keys and logs are kept; the project's own directory when absent. */
  dataDirectory?: string;
}

export const USAGE = `Start the whole stack on this machine and fire the jobs on their schedule.

deno task start [options]

  --port N      port of the gateway: REST and functions (54321)
  --db-port N   port of Postgres (54322)
  --once        run every registered job now, print what came of it, stop
  --env-file F  environment of the functions (supabase/functions/.env if it exists)
  --data DIR    where data, keys and logs are kept (.daybook)
  --fresh       throw the data away and begin anew
  --help        this text

Environment:
  LOCAL_POSTGRES_BIN   directory of another Postgres (15 or later) than the one from npm
  DATABASE_URL         a superuser's URL of a server on loopback: use that server, start none
`;

/** Reads the arguments of `deno task start`. Throws on one it does not know. */
export function parseStartCommand(args: string[]): StartCommand {
  const { values } = parseArgs({
    args,
    strict: true,
    options: {
      port: { type: "string", default: "54321" },
      "db-port": { type: "string", default: "54322" },
      once: { type: "boolean", default: false },
      data: { type: "string" },
      "env-file": { type: "string" },
      fresh: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const command = {
    gatewayPort: port(values.port, "--port"),
    databasePort: port(values["db-port"], "--db-port"),
    fresh: values.fresh,
    once: values.once,
    help: values.help,
    ...(values["env-file"] === undefined ? {} : { envFile: resolve(values["env-file"]) }),
    ...(values.data === undefined ? {} : { dataDirectory: resolve(values.data) }),
  };
  if (command.gatewayPort === command.databasePort) {
    throw new Error("Cannot start: --port and --db-port must differ");
  }
  return command;
}

function port(text: string, option: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 65535) {
    throw new Error(`Cannot start: ${option} must be a number from 1 to 65535, got ${text}`);
  }
  return number;
}
