/**
 * `deno task test`: every test, on a Postgres of its own. The last line of a run is always `N passed, N failed`,
 * and `, N skipped` when there are such. See `deno task test --help`.
 */
import { join } from "node:path";
import { readArguments } from "../cli/arguments.ts";
import { stopSignal } from "../cli/stop-signal.ts";
import { WHOLE } from "./support/cases.ts";
import { startTestCluster } from "./support/test-cluster.ts";
import { type Counts, describeCounts, readCounts } from "./support/junit.ts";

const DEFAULT_PATHS = ["tests/unit", "tests/database", "tests/stack"];

const USAGE = `Run tests on a Postgres of their own.

deno task test [files and folders] [options]

  files and folders   which tests (${DEFAULT_PATHS.join(" ")})
  --filter TEXT       only tests whose name has this text, or matches this /pattern/
  --fail-fast         stop at the first test that fails
  --trace-leaks       say where a leaked timer or file was made
  --no-check          without looking at types first
  --whole             all of the cases of which a run takes a part: of these tests, or of all that have such
  --second-postgres   only test files that say that they run on the second Postgres, too
  --postgres-bin DIR  another Postgres (15 or later) than the one from npm; also DAYBOOK_TEST_POSTGRES_BIN
  --help              this text`;

const { paths, whole, passedOn, filtered, postgresBin } = parseArguments();
const counts: Counts = { passed: 0, failed: 0, failures: [], skipped: [] };
try {
  Object.assign(counts, await runTests());
} catch (error) {
  counts.failed += 1;
  console.error(error instanceof Error ? error.message : error);
}
for (const failure of counts.failures) console.log(`failed: ${failure}`);
for (const name of counts.skipped) console.log(`skipped: ${name}`);
console.log(describeCounts(counts));
Deno.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0);

async function runTests(): Promise<Counts> {
  const { signal } = stopSignal();
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  interrupted.catch(() => {});

  const cluster = await startTestCluster({ postgresBin, onProgress: console.log });
  const reports = await Deno.makeTempDir({ prefix: "daybook-reports-" });
  try {
    const report = join(reports, "junit.xml");
    signal.throwIfAborted();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--parallel", `--junit-path=${report}`, ...passedOn, ...paths],
      env: {
        DENO_JOBS: "4",
        ...cluster.env,
        ...(whole ? { [WHOLE]: "yes" } : {}),
        ...(postgresBin === undefined ? {} : { DAYBOOK_TEST_POSTGRES_BIN: postgresBin }),
      },
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const status = await Promise.race([child.status, interrupted]).catch(async (error) => {
      child.kill("SIGTERM");
      await child.status;
      throw error;
    });
    const read = await readCounts(report);
    // What a filter leaves out stands in the report as what a test file leaves out does.
    if (filtered) read.skipped = [];
    // A failure outside of any test, a file that does not type-check, say, is in no report.
    if (!status.success && read.failed === 0) read.failed = 1;
    return read;
  } finally {
    await cluster.stop();
    await Deno.remove(reports, { recursive: true });
  }
}

function parseArguments() {
  const { values, positionals } = readArguments(USAGE, {
    filter: { type: "string" },
    "fail-fast": { type: "boolean" },
    "trace-leaks": { type: "boolean" },
    "no-check": { type: "boolean" },
    whole: { type: "boolean" },
    "second-postgres": { type: "boolean" },
    "postgres-bin": { type: "string" },
  }, { allowPositionals: true });
  const { filter, "postgres-bin": postgresBin, "second-postgres": second, whole, ...switches } = {
    "postgres-bin": Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN"),
    ...values,
  };
  return {
    paths: second
      ? filesThatSay(/^\/\/ Runs on the second Postgres, too\.$/m)
      : positionals.length > 0
      ? positionals
      : whole
      ? filesThatSay(/\/support\/cases\.ts"/)
      : DEFAULT_PATHS,
    whole,
    passedOn: [
      ...Object.keys(switches).map((name) => `--${name}`),
      ...(filter === undefined ? [] : [`--filter=${filter}`]),
    ],
    filtered: filter !== undefined,
    postgresBin,
  };
}

/** The test files with such a text. */
function filesThatSay(text: RegExp): string[] {
  const marked: string[] = [];
  const walk = (folder: string) => {
    for (const entry of Deno.readDirSync(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) walk(path);
      else if (
        entry.name.endsWith("_test.ts") &&
        text.test(Deno.readTextFileSync(path))
      ) marked.push(path);
    }
  };
  for (const folder of DEFAULT_PATHS) walk(folder);
  return marked.sort();
}
