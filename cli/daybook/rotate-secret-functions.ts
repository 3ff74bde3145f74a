/** The functions' part of a rotation: whether they take a secret, and what sets their variables. */
import { join } from "node:path";
import { stringify } from "@decimalturn/toml-patch";
import { changeCronSecrets } from "../../local/keys.ts";
import { problemOf } from "./source.ts";
import type { Acceptance, SetFunctionSecrets } from "./rotate-secret-steps.ts";
import { runSupabaseCli } from "./doctor-supabase.ts";

const PATIENCE_MS = 15_000;

/**
 * Asks a function whether it takes the secret, without making it work: it looks at the secret first, and then refuses the
 * method.
 *
 * @param apiUrl Of the project, without a slash at its end.
 */
export async function askFunction(
  apiUrl: string,
  functionName: string,
  secret: string,
): Promise<Acceptance> {
  // Of the API a path is asked that there is.
  const path = functionName === "cron" ? "cron/status" : functionName;
  let status: number;
  let headers: Headers;
  let body: unknown;
  try {
    const response = await fetch(`${apiUrl}/functions/v1/${path}`, {
      method: "PUT",
      headers: { "x-cron-secret": secret },
      // A redirect would take the secret elsewhere.
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    ({ status, headers } = response);
    body = parsed(await response.text());
  } catch {
    return { kind: "unclear", detail: "nothing" };
  }
  const problem = problemOf(body);
  if (status === 401 || status === 403) {
    if (problem?.code === "unauthorized") return { kind: "refused" };
    return { kind: "refused", detail: "the gateway, not the function" };
  }
  if (problem?.code === "method_not_allowed") {
    const version = headers.get("x-daybook-version");
    const wallClockSeconds = headers.get("x-daybook-wall-clock-seconds");
    return {
      kind: "accepted",
      ...(version === null ? {} : { version }),
      ...(wallClockSeconds === null ? {} : { wallClockSeconds }),
    };
  }
  if (status === 404) return { kind: "absent" };
  return { kind: "unclear", detail: problem?.message ?? `HTTP ${status}` };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Sets variables of the functions of a project by the Supabase CLI. The values are in the environment of the CLI alone:
 * other users of the machine see arguments, and files outlive the process that is killed.
 *
 * @param projectRef As in `https://<ref>.supabase.co`.
 * @param cliEnv More environment for the CLI.
 */
export function secretsOfProject(
  projectRef: string,
  cliEnv: Record<string, string> = {},
): SetFunctionSecrets {
  return async (values) => {
    const set = Object.entries(values).filter(([, value]) => value !== null) as [string, string][];
    const unset = Object.keys(values).filter((name) => values[name] === null);
    const folder = await Deno.makeTempDir({ prefix: "daybook-secrets-" });
    try {
      await Deno.mkdir(join(folder, "supabase", ".temp"), { recursive: true });
      await Deno.writeTextFile(join(folder, "supabase", ".temp", "project-ref"), projectRef);
      const variable = (name: string) => `DAYBOOK_${name}`;
      await Deno.writeTextFile(
        join(folder, "supabase", "config.toml"),
        stringify({
          project_id: "daybook",
          edge_runtime: {
            secrets: Object.fromEntries(set.map(([name]) => [name, `env(${variable(name)})`])),
          },
        }),
      );
      const env = {
        ...cliEnv,
        ...Object.fromEntries(set.map(([name, value]) => [variable(name), value])),
      };
      if (set.length > 0) {
        await runSupabaseCli(["secrets", "set", "--yes", "--workdir", folder], env);
      }
      if (unset.length > 0) {
        await runSupabaseCli(["secrets", "unset", ...unset, "--yes", "--workdir", folder], cliEnv);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
}

/** Sets them for a stack of this machine, whether it runs or not. */
export function secretsOfStack(dataDirectory: string): SetFunctionSecrets {
  return (values) => changeCronSecrets(dataDirectory, values);
}
