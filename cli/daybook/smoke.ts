import type { Command } from "commander";
import { act, type ActOptions, asAct } from "./act.ts";
import type { NewRun, RunPage } from "./answers.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { payloadForms, readPayload, routeOf } from "./options.ts";
import { oneLine, paintFor } from "./render.ts";
import { addNote, verb } from "./verb.ts";
import { renderOutcome, waitForRun } from "./wait-for-run.ts";

/** What `--json` prints. */
export interface Smoke {
  ok: boolean;
  first: RunPage;
  /** Null where the second call was not made, or refused. */
  second: RunPage | null;
  sentence: string;
}

export function addSmoke(program: Command, io: Io): void {
  const command = asAct(
    program.command("smoke")
      .summary("run a job twice: it works, and does its work once")
      .description(
        "Run a job twice, really: the first must complete, and the second must not do the work again.",
      )
      .argument("<job>", "its name or alias")
      .option("--payload <JSON>", payloadForms),
  ).action(verb<ActOptions & { payload?: string }>(io, async (call, job) => {
    const { source, options, show } = call;
    const paint = paintFor(io);
    const say = ({ run }: RunPage) => {
      if (!options.json) io.print(renderOutcome(run, paint));
    };
    const payload = await readPayload(options.payload);
    const runOnce = async () => {
      const { run_id } = await act<NewRun>(
        call,
        routeOf("job", job!, "run"),
        payload === undefined ? {} : { payload },
      );
      const page = await waitForRun(source, run_id, io);
      say(page);
      return page;
    };
    const finish = (smoke: Smoke) => {
      show(smoke, ({ sentence }) => oneLine(sentence));
      return smoke.ok ? exitCodes.ok : exitCodes.jobs;
    };
    const first = await runOnce();
    if (first.run.status !== "completed") {
      return finish({ ok: false, first, second: null, sentence: "the first run did not complete" });
    }
    const second = await runOnce();
    if (second.run.status !== "completed") {
      return finish({ ok: false, first, second, sentence: "the second run did not complete" });
    }
    if (saysAlready(second.result)) {
      return finish({
        ok: true,
        first,
        second,
        sentence: "the second run was refused by the job's mark",
      });
    }
    // The job does its work at each call. What it must not do is one occurrence twice.
    const refused = await refusal(act(call, `runs/${second.run.run_id}/retry`));
    return finish({
      ok: refused !== undefined,
      first,
      second,
      sentence: refused === undefined
        ? "an occurrence that has completed was run again"
        : `the job has no mark of its own; its occurrence is not run again: ${refused}`,
    });
  }));
  addNote(
    command,
    `It runs the job really. One that waits for its hour needs a payload by which it does not: --payload '{"force": true}'
The second run is refused by the job's mark when a text of its result says already: "has been run already", "already_run". A job without a mark does its work at each call; then the ledger's mark is tried: one more attempt of the occurrence that has completed must be refused.
It ends with 1 when a run does not complete, or the mark does not hold.`,
  );
}

/** Whether a text anywhere in the result says so. */
export function saysAlready(result: unknown): boolean {
  if (typeof result === "string") return /(^|[^a-z])already([^a-z]|$)/i.test(result);
  if (typeof result !== "object" || result === null) return false;
  return Object.values(result).some(saysAlready);
}

/** The words in which it was refused; undefined where it was not. */
async function refusal(acted: Promise<unknown>): Promise<string | undefined> {
  try {
    await acted;
    return undefined;
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === exitCodes.refused) return error.message;
    throw error;
  }
}
