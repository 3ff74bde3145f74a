/** The files of a Postgres server: made once, and never used by two servers. */
import { dirname, join } from "node:path";
import type { OsUser } from "./os-user.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { listProcesses } from "./processes.ts";

/** Makes the files, with the superuser `supabase_admin`. */
export async function makeCluster(
  binaries: PostgresBinaries,
  cluster: string,
  user: OsUser | undefined,
  password: string,
) {
  // Made beside its place and then renamed, so that an interrupted start leaves no half of a cluster.
  const unfinished = `${cluster}.unfinished`;
  const passwordFile = `${cluster}.password`;
  await Deno.remove(unfinished, { recursive: true }).catch(() => {});
  await Deno.mkdir(unfinished, { mode: 0o700 });
  await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
  if (user) {
    await Deno.chown(unfinished, user.uid, user.gid);
    await Deno.chown(passwordFile, user.uid, user.gid);
  }
  const locale = binaries.major >= 17
    ? ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    : ["--locale=C.UTF-8"];
  try {
    const output = await new Deno.Command(join(binaries.bin, "initdb"), {
      args: [
        ...["-D", unfinished, "-U", "supabase_admin", "--pwfile", passwordFile],
        ...["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions", ...locale],
      ],
      cwd: dirname(cluster),
      env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
      clearEnv: true,
      ...(user ?? {}),
    }).output();
    if (!output.success) {
      const reason = new TextDecoder().decode(output.stderr).trim();
      throw new Error(`Cannot make the database files in ${cluster}: initdb said: ${reason}`);
    }
  } finally {
    await Deno.remove(passwordFile);
  }
  await Deno.rename(unfinished, cluster);
}

/** True when there are files of a server here. */
export async function isCluster(cluster: string): Promise<boolean> {
  try {
    await Deno.stat(join(cluster, "PG_VERSION"));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Throws when a server runs on these files. A postmaster.pid left by a crash is no sign of one, and is
 * removed.
 */
export async function refuseLiveServer(cluster: string): Promise<void> {
  let lines: string[];
  try {
    lines = (await Deno.readTextFile(join(cluster, "postmaster.pid"))).split("\n");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const [pid, directory, , port] = lines;
  const processes = listProcesses();
  // Where nothing is known Postgres decides, which looks whether the number is alive.
  if (processes.length === 0) return;
  const running = processes.find((process) => process.pid === Number(pid));
  if (directory !== cluster || !running || !/^(.*\/)?postgres\b(?!\/)/.test(running.command)) {
    // The number may have gone to another program since, which would make Postgres refuse to start.
    await Deno.remove(join(cluster, "postmaster.pid"));
    return;
  }
  throw new Error(
    `Cannot start Postgres: one already runs on ${cluster} (process ${pid}, port ${port}); ` +
      "stop the other start first",
  );
}
