/**
 * `deno task test`: every test, on a Postgres of its own. Arguments are test files or folders and the
 * options of `deno test`; `--postgres-bin DIR` runs them on another Postgres than the one from npm.
 * The last line is always `N passed, N failed`, and `, N skipped` when there are such.
 */
import { join } from "node:path";
import { stopSignal } from "../cli/stop-signal.ts";
import { startTestCluster } from "./support/test-cluster.ts";
import { type Counts, describeCounts, readCounts } from "./support/junit.ts";

const DEFAULT_PATHS = ["tests/unit", "tests/database", "tests/stack"];

const { paths, passedOn, postgresBin } = parseArguments(Deno.args);
const counts: Counts = { passed: 0, failed: 0, skipped: [] };
try {
  Object.assign(counts, await runTests());
} catch (error) {
  counts.failed += 1;
  console.error(error instanceof Error ? error.message : error);
}
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
        DENO_JOBS: "2",
        ...cluster.env,
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
    if (passedOn.includes("--filter")) read.skipped = [];
    // A failure outside of any test, a file that does not type-check, say, is in no report.
    if (!status.success && read.failed === 0) read.failed = 1;
    return read;
  } finally {
    await cluster.stop();
    await Deno.remove(reports, { recursive: true });
  }
}

function parseArguments(args: string[]) {
  const paths: string[] = [];
  const passedOn: string[] = [];
  let postgresBin = Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN");
  for (let index = 0; index < args.length; index++) {
    const argument = args[index]!;
    if (argument === "--postgres-bin") postgresBin = args[++index];
    else if (argument === "--filter") passedOn.push(argument, args[++index] ?? "");
    else if (argument.startsWith("-")) passedOn.push(argument);
    else paths.push(argument);
  }
  return { paths: paths.length > 0 ? paths : DEFAULT_PATHS, passedOn, postgresBin };
}
