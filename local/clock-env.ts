/** What libfaketime reads. It is there only where the tests are run with the clock set: `deno task test-clock`. */
const NAMES = ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"];

/** The environment that a process needs so that its clock is ours, even if it sees nothing else of ours. */
export function clockEnv(): Record<string, string> {
  if (Deno.env.get("FAKETIME") === undefined) return {};
  return Object.fromEntries(NAMES.map((name) => [name, Deno.env.get(name) ?? ""]));
}
