/** Prometheus' own tools, where they are installed (Debian: the package prometheus). */
import { statSync } from "node:fs";

/** The path of a program on the PATH or in /usr/bin, undefined where there is none. */
export function findProgram(name: string): string | undefined {
  const directories = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/bin"];
  return directories.filter((directory) => directory !== "").map((directory) =>
    `${directory}/${name}`
  ).find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

const promtool = findProgram("promtool");

/** Tests that need promtool are ignored, and so counted as skipped, where it is not installed. */
export const hasPromtool = promtool !== undefined;

/** What `promtool check metrics` finds in an exposition; empty when it finds nothing. */
export async function checkMetrics(text: string): Promise<string> {
  const { success, output } = await runPromtool(["check", "metrics"], text);
  return success ? output : output || "promtool failed without a word";
}

/** Runs promtool with that input. */
export async function runPromtool(
  args: string[],
  input = "",
): Promise<{ success: boolean; output: string }> {
  if (promtool === undefined) throw new Error("Cannot run promtool: it is not installed");
  const child = new Deno.Command(promtool, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").trim();
  return { success, output };
}
