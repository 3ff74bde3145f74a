/** `deno task daybook` in this process, with all that is outside made up. */
import type { Io } from "../../cli/daybook/io.ts";
import { runProgram } from "../../cli/daybook/program.ts";
import { type Reply, withHttpServer } from "./http-server.ts";

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** The moment that it is for `daybook()`. */
export const NOW = new Date("2026-03-02T12:00:00Z");

/** What the command prints and how it ends; nothing runs on this machine, and nothing is in the environment. */
export async function daybook(
  args: string[],
  { env = {}, ...given }: Partial<Omit<Io, "env">> & { env?: Record<string, string> } = {},
): Promise<Outcome> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const code = await runProgram(args, {
    env: (name) => env[name],
    print: (text) => void stdout.push(text),
    complain: (text) => void stderr.push(text),
    now: () => NOW,
    pause: () => Promise.resolve(),
    zone: "Europe/Berlin",
    colours: false,
    stackDatabase: () => Promise.reject(new Error("none runs")),
    signal: new AbortController().signal,
    ...given,
  });
  return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") };
}

/** What `against()` asks with. */
export const CRON_SECRET = "the-cron-secret-of-the-tests-0123456789";

export const json = (body: unknown, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** Runs the verb where a server answers so in the place of the API. */
export async function against(
  reply: Reply,
  args: string[],
  given: Parameters<typeof daybook>[1] = {},
) {
  let found: Awaited<ReturnType<typeof daybook>> | undefined;
  const asked: { method: string; url: string; headers: Record<string, unknown>; body: string }[] =
    [];
  await withHttpServer(() => reply, async ({ url, requests }) => {
    found = await daybook([...args, "--url", url], {
      ...given,
      env: { CRON_SECRET, ...given.env },
    });
    found.stderr = found.stderr.replaceAll(url, "<url>");
    asked.push(...requests);
  });
  return { ...found!, asked };
}
