/** Which source a command asks: what it is told, else the running stack. */
import { type Credential, httpSource } from "./http-source.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { assertOnePlace, type PlaceOptions } from "./place.ts";
import { type Profile, readProfile } from "./profile.ts";
import type { Source } from "./source.ts";

/** What a verb asks, and who acts unless the command says so. */
export interface Place {
  source: Source;
  author: string | undefined;
}

type PlaceIo = Pick<Io, "env" | "stackDatabase">;

/** @throws CommandError when there is nothing to ask, or no credential for it. */
export async function openPlace(options: PlaceOptions, io: PlaceIo): Promise<Place> {
  assertOnePlace(options);
  const { url, dbUrl, profile: name } = options;
  if (name !== undefined) {
    const profile = await readProfile(name, io);
    return { source: await openProfile(name, profile, io), author: profile.author };
  }
  if (url !== undefined) {
    return { source: httpSource(url, credentialOf(usual, io)), author: undefined };
  }
  return { source: await openDatabase(dbUrl ?? await stackDatabase(io)), author: undefined };
}

async function stackDatabase(io: PlaceIo): Promise<string> {
  return await io.stackDatabase().catch(() => {
    throw new CommandError(
      exitCodes.unreachable,
      "Cannot find a running stack",
      "start one with deno task start, or give --url, --db-url or --profile",
    );
  });
}

async function openDatabase(url: string): Promise<Source> {
  // The API's router, which it brings along, is not needed to ask over HTTP.
  const { sqlSource } = await import("./sql-source.ts");
  return sqlSource(url);
}

function openProfile(
  name: string,
  profile: Profile,
  io: Pick<Io, "env">,
): Source | Promise<Source> {
  if (profile.url !== undefined) {
    const variables = [
      ["token", profile.token_env],
      ["cron secret", profile.cron_secret_env],
      ["service key", profile.service_key_env],
    ] as [Credential["kind"], string | undefined][];
    const named = variables.flatMap(([kind, variable]) =>
      variable === undefined ? [] : [[kind, variable] as const]
    );
    return httpSource(profile.url, credentialOf(named, io, `The profile ${name}`));
  }
  const url = io.env(profile.db_url_env!);
  if (!url) {
    throw new CommandError(
      exitCodes.usage,
      `The profile ${name} needs ${profile.db_url_env}, which is not set`,
    );
  }
  return openDatabase(url);
}

/** Whose name the environment has by itself; the first that is set is taken. */
const usual: [Credential["kind"], string][] = [
  ["token", "DAYBOOK_TOKEN"],
  ["cron secret", "CRON_SECRET"],
  ["service key", "SUPABASE_SECRET_KEY"],
  ["service key", "SUPABASE_SERVICE_ROLE_KEY"],
];

function credentialOf(
  variables: readonly (readonly [Credential["kind"], string])[],
  io: Pick<Io, "env">,
  who = "--url",
): Credential {
  for (const [kind, variable] of variables) {
    const value = io.env(variable)?.trim();
    if (!value) continue;
    if (/[^\x21-\x7e]/.test(value)) {
      throw new CommandError(
        exitCodes.usage,
        `Cannot use ${variable}: a secret is printable ASCII without blanks`,
      );
    }
    return { kind, variable, value };
  }
  const names = variables.map(([, variable]) => variable);
  const list = names.length === 1
    ? `${names[0]}, which is not set`
    : `one of ${names.join(", ")}, and none is set`;
  throw new CommandError(exitCodes.usage, `${who} needs ${list}`);
}
