import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { planInstall } from "../../install/plan-install.ts";
import { readProject } from "../../install/project.ts";
import { readSource } from "../../install/source.ts";
import { carryOut } from "../../install/write.ts";
import { readPacks } from "../../local/packs.ts";
import { runSupabase } from "../../local/supabase-cli.ts";
import { type CliProject, withCliProject } from "../support/cli-project.ts";
import { packagesOfAnyAge } from "../support/moments.ts";
import { type ManagementApi, startManagementApi } from "../support/management-api.ts";

const packs = await readPacks();
const functions = packs.flatMap((pack) => pack.functions).sort();

/** What Supabase takes of a function. */
const MOST_BYTES = 20_000_000;

Deno.test("the Supabase CLI deploys all functions of an installed Daybook, each with all that it imports", () =>
  withCliProject(async (project) => {
    const source = await readSource();
    const there = await readProject(project.folder);
    await carryOut(
      planInstall(source, there, {
        packs: packs.map(({ name }) => name),
        names: [],
        at: new Date(),
        aside: false,
      }),
      project.folder,
    );
    const api = await startManagementApi(dirname(project.folder));
    try {
      await project.supabase(["functions", "deploy", ...api.args], api.env);
      assert.deepEqual([...api.deployed.keys()].sort(), functions);
      const uploaded = join(dirname(project.folder), "uploaded");
      for (const name of functions) await bundles(api, name, join(uploaded, name));
      await typesAreRight(project, [Deno.execPath()], packagesOfAnyAge);
      // What Supabase runs. Its lock files are of an older kind.
      await typesAreRight(project, ["npx", "--yes", "deno@2.1.14"]);
    } finally {
      await api.stop();
    }
  }));

Deno.test("the Supabase CLI deploys the functions of this checkout, and nothing of supabase/sql", async () => {
  const folder = await Deno.makeTempDir({ prefix: "daybook-profile-" });
  const api = await startManagementApi(folder);
  try {
    await runSupabase(["functions", "deploy", ...api.args], { env: api.env });
    assert.deepEqual([...api.deployed.keys()].sort(), functions);
    for (const [name, { files }] of api.deployed) {
      for (const path of files.keys()) {
        assert.ok(
          path.startsWith(`supabase/functions/${name}/`) || path.startsWith("shared/"),
          path,
        );
      }
    }
  } finally {
    await api.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Bundles a function from nothing but the files that were uploaded of it, by the deno.json among them. */
async function bundles({ deployed }: ManagementApi, name: string, folder: string) {
  const { metadata, files } = deployed.get(name)!;
  assert.equal(metadata.verify_jwt, false, name);
  assert.equal(metadata.import_map_path, `supabase/functions/${name}/deno.json`);
  for (const [path, text] of files) {
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text);
  }
  const bundle = join(folder, "bundle.js");
  await runs([
    ...[Deno.execPath(), "bundle", "--no-lock", "--quiet", ...packagesOfAnyAge],
    ...["--config", metadata.import_map_path, "--output", bundle, metadata.entrypoint_path],
  ], folder);
  const { size } = await Deno.stat(bundle);
  assert.ok(size > 10_000 && size < MOST_BYTES, `${name}: ${size} bytes`);
}

/**
 * The types of all functions at once, since each alone would take seconds: their deno.json give the same versions, and
 * each was bundled with its own.
 */
async function typesAreRight({ folder }: CliProject, deno: string[], options: string[] = []) {
  const imports = Object.assign(
    {},
    ...await Promise.all(functions.map(async (name) => {
      const path = join(folder, "supabase/functions", name, "deno.json");
      return JSON.parse(await Deno.readTextFile(path)).imports;
    })),
  );
  await Deno.writeTextFile(join(folder, "all.json"), JSON.stringify({ imports }));
  const entrypoints = functions.map((name) => `supabase/functions/${name}/index.ts`);
  await runs(
    [...deno, "check", "--no-lock", ...options, "--config", "all.json", ...entrypoints],
    folder,
  );
}

async function runs([command, ...args]: string[], cwd: string) {
  const { success, stderr } = await new Deno.Command(command!, {
    args,
    cwd,
    // An older Deno does not look there by itself for who may speak for a registry.
    env: { NO_COLOR: "1", DENO_TLS_CA_STORE: "mozilla,system" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
