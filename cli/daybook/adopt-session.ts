/** What `adopt` was told and has read, and where its SQL goes. */
import type { Cause } from "../adopt/migration.ts";
import type { ReadForAdoption } from "../adopt/read.ts";
import type { Works } from "../audit/facts.ts";
import type { ActOptions } from "./act.ts";
import { carryOutSql, type ProjectFolder, writeMigration, writeNew } from "./adopt-write.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import type { CommonOptions } from "./verb.ts";

export interface AdoptOptions extends CommonOptions, ActOptions {
  works: Works[];
  keep: string[];
  ignoreLabels?: boolean;
  into?: string;
  output?: string;
  apply?: boolean;
  undo?: boolean;
  forget?: boolean;
}

/** What the command was told, and what it has read. */
export interface Session {
  chosen: string[];
  options: AdoptOptions;
  io: Io;
  url: string;
  /** The database, as it may be printed. */
  place: string;
  read: ReadForAdoption;
  /** Where `--into` writes. */
  folder: ProjectFolder | undefined;
  cause: Cause;
}

/** Carries the SQL out or writes it, as the options say, and says what was done. */
export async function deliver(session: Session, name: string, sql: string): Promise<void> {
  const { options, io, url, read, folder } = session;
  const say = (line: string) => options.json ? io.complain(line) : io.print(`\n${line}`);
  if (options.apply) {
    assertCanAdopt(read);
    if (await carryOutSql(url, sql, say)) say("Done");
  } else if (folder !== undefined) {
    say(await writeMigration(folder, name, sql, read.applied, io));
  } else if (options.output !== undefined) {
    await writeNew(options.output, sql, io);
    say(`Written: ${options.output}${read.canAdopt ? "" : `. ${noDaybook(read)}`}`);
  } else {
    say(
      `Nothing was changed. ${
        read.canAdopt
          ? "--into <project> writes the migration, --output <file> the SQL, --apply carries it out"
          : noDaybook(read)
      }`,
    );
  }
}

function noDaybook({ version }: ReadForAdoption): string {
  return version === undefined
    ? "There is no Daybook in this database: deno task install <project>, then supabase functions deploy and supabase db push (docs/installing.md); this migration comes after those of the installation."
    : `The Daybook of this database is ${version}, which cannot adopt entries: deno task upgrade <project>, then supabase db push; this migration comes after those of the upgrade.`;
}

/** @throws CommandError that says how Daybook gets there. */
export function assertCanAdopt(read: ReadForAdoption): void {
  if (!read.canAdopt) throw new CommandError(exitCodes.refused, noDaybook(read));
}
