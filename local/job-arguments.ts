/** What a job is registered with. The one list is that of scheduler.register_job's arguments. */

/** As scheduler.job_arguments() has it. */
export interface JobArgument {
  argument: string;
  /** As Postgres writes it: `text[]`. */
  type: string;
  /** As SQL; null: it has none, and must be given. */
  default_value: string | null;
}

const SOURCE = new URL("../supabase/sql/scheduler/registry.sql", import.meta.url);

/** The arguments in the source of this checkout, for what is made without a database. */
export async function readJobArguments(): Promise<JobArgument[]> {
  const text = await Deno.readTextFile(SOURCE);
  const list = /^create function scheduler\.register_job\(\n([^]*?)\n\) returns void/m.exec(text)
    ?.[1];
  if (list === undefined) throw new Error("registry.sql has no function register_job any more");
  return list.split(",\n").map((line) => {
    const [, argument, type, value] = /^ {2}(\w+) (.+?)(?: default (.+))?$/.exec(line) ?? [];
    if (argument === undefined) {
      throw new Error(`Cannot read the argument of register_job: ${line}`);
    }
    return { argument, type: type!, default_value: value ?? null };
  });
}
