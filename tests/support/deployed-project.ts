/**
 * A project of the platform around a stack: its own address, functions whose instances live on for a while after their
 * variables were changed, and a `supabase` that changes them.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FunctionsHost, functionsHost } from "../../local/functions.ts";
import type { Random } from "./random.ts";
import type { Stack } from "./stack.ts";

export const projectRef = "abcdefghijklmnopqrst";

export interface DeployedProject {
  /** What Vault has as project_url. */
  url: string;
  /** A folder for the PATH: the `supabase` in it sets variables here. */
  bin: string;
  /** How many calls of the other side arrived: of functions with PUT, and of the CLI. */
  calls(): number;
  /** Called with that number at each of them, before it is answered. */
  onCall: (calls: number) => void;
  /** Of requests with `x-run-id`: how many arrived, and which were refused. */
  runs: { arrived: number; refused: string[] };
  variables(): Record<string, string>;
  stop(): Promise<void>;
}

const directories = ["../../supabase/functions", "../stack/functions"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url))
);

/** @param lingerMs How long old instances take requests beside new ones. */
export async function deployProject(
  { apiUrl, databaseUrl, keys }: Stack,
  { lingerMs, random }: { lingerMs: number; random: Random },
): Promise<DeployedProject> {
  let stored: Record<string, string> = { CRON_SECRET: keys.cronSecret };
  let living: { host: FunctionsHost; until: number }[] = [];
  const all: FunctionsHost[] = [];
  const timers = new Set<number>();
  let calls = 0;
  const start = async () => {
    const host = functionsHost({
      directories,
      port: 0,
      env: {
        SUPABASE_URL: apiUrl,
        SUPABASE_DB_URL: databaseUrl,
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
        ...stored,
      },
    });
    all.push(host);
    await host.start();
    for (const old of living) old.until = Math.min(old.until, Date.now() + lingerMs);
    living.push({ host, until: Infinity });
  };
  await start();

  const project: DeployedProject = {
    url: "",
    bin: "",
    calls: () => calls,
    onCall: () => {},
    runs: { arrived: 0, refused: [] },
    variables: () => ({ ...stored }),
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      await server.shutdown();
      await Promise.all(all.map((host) => host.stop()));
      await Deno.remove(project.bin, { recursive: true });
    },
  };

  /** A change reaches new instances alone, and they come when they come. */
  async function change(values: Record<string, string | null>) {
    const merged: Record<string, string | null> = { ...stored, ...values };
    stored = Object.fromEntries(
      Object.entries(merged).filter(([, value]) => value !== null),
    ) as Record<string, string>;
    await start();
  }

  async function answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (request.method === "PUT" || url.pathname === "/variables") project.onCall(++calls);
    if (url.pathname === "/variables") {
      await change(await request.json());
      return new Response();
    }
    living = living.filter(({ until }) => until > Date.now());
    const { host } = random.pick(living);
    const response = await fetch(
      host.url() + url.pathname.replace("/functions/v1", "") + url.search,
      { method: request.method, headers: request.headers, body: request.body, redirect: "manual" },
    );
    if (request.headers.has("x-run-id")) {
      project.runs.arrived++;
      if (response.status === 401) {
        project.runs.refused.push(`${url.pathname} after ${calls} calls`);
      }
    }
    return response;
  }

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  project.url = `http://127.0.0.1:${server.addr.port}`;
  project.bin = await Deno.makeTempDir({ prefix: "daybook-bin-" });
  await Deno.writeTextFile(
    join(project.bin, "supabase"),
    `#!/bin/sh\nexec "${Deno.execPath()}" run -A --no-check "${
      fileURLToPath(new URL("stand-in-supabase.ts", import.meta.url))
    }" ${project.url} "$@"\n`,
    { mode: 0o755 },
  );
  return project;
}
