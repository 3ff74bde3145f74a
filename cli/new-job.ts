/** `deno task new-job <name>`: writes the files that a job begins with. See `--help`. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  CHANGED_HERE,
  type JobOptions,
  noticeHere,
  optionsFault,
  planJobHere,
  planJobInto,
} from "../install/new-job.ts";
import { readFiles } from "../install/files.ts";
import { registrationFault } from "../install/registration-fault.ts";
import { runTask } from "../install/run.ts";
import { readSource } from "../install/source.ts";
import { carryOut, describePlan, refusalOf } from "../install/write.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Begin a job: its function, its SQL and its tests.

deno task new-job <name> [options]

  --schedule "M H D M W"  five fields, or "30 seconds", or "@daily"; without it the job runs when it is enqueued or
                          called
  --time-zone NAME        in which the schedule is meant (UTC)
  --into FOLDER           your project that has Daybook; without it the job is a pack of this checkout, and begins
                          the next version of Daybook where this one is released
  --dry-run               say what would be written, and write nothing
  --help                  this text`;

const { values, positionals } = readArguments(USAGE, {
  schedule: { type: "string" },
  "time-zone": { type: "string", default: "UTC" },
  into: { type: "string" },
  "dry-run": { type: "boolean", default: false },
}, { allowPositionals: true });

const [name, ...more] = positionals;
if (name === undefined || more.length > 0) refuse("Name one job");
const options: JobOptions = {
  name,
  schedule: values.schedule ?? null,
  timeZone: values["time-zone"],
};
const fault = optionsFault(options) ?? await scheduleFault(options);
if (fault !== null) refuse(`Cannot begin a job: ${fault}`);

const sqlName = name.replaceAll("-", "_");
if (values.into !== undefined) {
  const tests = `supabase/functions/tests/${name}`;
  await runTask({
    folder: values.into,
    dryRun: values["dry-run"],
    decide: (source, project, names) =>
      planJobInto(source, project, names, { ...options, at: new Date() }),
    next: () => [
      `deno test -A --config supabase/functions/${name}/deno.json ${tests}_test.ts`,
      "supabase db push --local                    (or what you push with)",
      `deno test -A --config supabase/functions/${name}/deno.json ${tests}_database_test.ts`,
      `change supabase/functions/${name}/job.ts and the migration to what it really does`,
      `supabase db push && supabase functions deploy ${name}`,
      `select scheduler.run_now('${name}', 'ann');  select scheduler.explain('${name}');`,
    ],
  });
} else {
  await writeHere();
}

/** Only the scheduler knows which time zones it takes, and which schedules never occur. */
async function scheduleFault(options: JobOptions): Promise<string | null> {
  const isPlain = options.schedule === null && options.timeZone === "UTC";
  return isPlain ? null : await registrationFault(options);
}

async function writeHere() {
  const root = fileURLToPath(new URL("../", import.meta.url));
  try {
    const source = await readSource();
    const files = await readFiles(root, ["supabase", "tests/unit", "tests/database"]);
    for (const path of CHANGED_HERE) files.set(path, await Deno.readTextFile(join(root, path)));
    const plan = planJobHere(source, files, options);
    for (const line of describePlan(plan, { files, manifest: null })) console.log(line);
    if (plan.conflicts.length > 0) throw new Error(refusalOf(plan));
    const notice = noticeHere(source);
    if (notice !== null) console.log(`\n${notice}`);
    if (values["dry-run"]) return console.log("\nThis was a dry run: nothing was written");
    await carryOut(plan, root);
    await format([...plan.writes.keys()].filter((path) => /\.(ts|json|md)$/.test(path)), root);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
  console.log(`
Done. What comes next:
  deno task test tests/unit/${name} tests/database/${name}
  deno task release                           (makes its migration)
  deno task types                             (TypeScript knows its table and function)
  deno task start                             (the job is there: curl it, see docs/writing-a-job.md)
  change supabase/functions/${name}/job.ts and supabase/sql/${name}/${sqlName}.sql to what it really does`);
}

async function format(paths: string[], cwd: string) {
  const { success } = await new Deno.Command(Deno.execPath(), {
    // Else the deno.json of the function is found first.
    args: ["fmt", "--quiet", "--config", "deno.json", ...paths],
    cwd,
  }).output();
  if (!success) throw new Error("Cannot format what was written: deno fmt refused it");
}

function refuse(why: string): never {
  console.error(`${why}\n\n${USAGE}`);
  Deno.exit(2);
}
