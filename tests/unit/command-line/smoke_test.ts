import assert from "node:assert/strict";
import { saysAlready } from "../../../cli/daybook/smoke.ts";
import { daybook } from "../../support/command-line.ts";
import { withHttpServer } from "../../support/http-server.ts";

Deno.test("saysAlready() finds the word in any text of a result, and no other word", () => {
  for (
    const result of [
      { outcome: "already_run" },
      { summary: "nothing begun: 2026-03-02 has been run already" },
      { steps: [{ state: "Already posted" }] },
    ]
  ) assert.ok(saysAlready(result), JSON.stringify(result));
  for (
    const result of [null, 3, {}, { summary: "3 rows" }, { already: true }, { s: "alreadyish" }]
  ) {
    assert.ok(!saysAlready(result), JSON.stringify(result));
  }
});

interface Ended {
  status: string;
  result?: object;
}

/** `smoke` where the job's runs end so, one after the other, and one more attempt is answered with that status. */
async function smoke(runs: Ended[], retry = 409) {
  const id = (index: number) => `00000000-0000-0000-0000-00000000000${index}`;
  let begun = 0;
  let found: Awaited<ReturnType<typeof daybook>> | undefined;
  await withHttpServer(({ method, url }) => {
    const answer = (body: unknown, status = 200) => ({ status, body: JSON.stringify(body) });
    if (method === "POST" && url.endsWith("/retry")) {
      return retry === 200
        ? answer({ run_id: id(9) })
        : answer({ error: { code: "refused", message: "Cannot answer: it has completed" } }, retry);
    }
    if (method === "POST") return answer({ run_id: id(begun++) });
    const index = Number(url.at(-1));
    const { status, result = null } = runs[index]!;
    const run = {
      run_id: id(index),
      status,
      attempt: 1,
      occurrences: 1,
      duration_ms: 5,
      verdict: null,
      error_message: null,
      skip_reason: null,
      waits_for: null,
      summary: null,
    };
    return answer({ run, result, attempts: [run] });
  }, async ({ url }) => {
    found = await daybook(
      ["smoke", "nightly", "--reason", "why", "--author", "ann", "--url", url],
      {
        env: { CRON_SECRET: "c".repeat(32) },
      },
    );
  });
  const { code, stdout } = found!;
  return [code, stdout.split("\n").at(-1), begun];
}

const done = { status: "completed" };

Deno.test("smoke holds when the second run says that the work was done already", async () => {
  assert.deepEqual(await smoke([done, { ...done, result: { outcome: "already_run" } }]), [
    0,
    "the second run was refused by the job's mark",
    2,
  ]);
});

Deno.test("smoke of a job without a mark holds when its occurrence is refused, and only then", async () => {
  assert.deepEqual(await smoke([done, done]), [
    0,
    "the job has no mark of its own; its occurrence is not run again: It has completed",
    2,
  ]);
  assert.deepEqual(await smoke([done, done], 200), [
    1,
    "an occurrence that has completed was run again",
    2,
  ]);
});

Deno.test("smoke ends with 1 at the run that did not complete", async () => {
  assert.deepEqual(await smoke([{ status: "failed" }]), [1, "the first run did not complete", 1]);
  assert.deepEqual(await smoke([done, { status: "deferred" }]), [
    1,
    "the second run did not complete",
    2,
  ]);
});
