import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { rotationDatabase } from "../../cli/daybook/rotate-secret-database.ts";
import {
  askFunction,
  secretsOfProject,
  secretsOfStack,
} from "../../cli/daybook/rotate-secret-functions.ts";
import { rotateSecret, type RotationWorld } from "../../cli/daybook/rotate-secret-steps.ts";
import { changeCronSecrets, keysFile } from "../../local/keys.ts";
import { type DeployedProject, deployProject, projectRef } from "../support/deployed-project.ts";
import { registerJob } from "../support/faults.ts";
import { startManagementApi } from "../support/management-api.ts";
import { seededRandom } from "../support/random.ts";
import { setSecret } from "../support/scheduler.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const lingerMs = 1500;

/** `deno task daybook rotate-secret` against that project. */
function rotate({ databaseUrl }: Stack, { bin }: DeployedProject, ...args: string[]) {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", "cli/daybook.ts", "rotate-secret"],
      ...["--db-url", databaseUrl, "--project-ref", projectRef],
      ...["--settle", "2.5", "--limit", "60", "--reason", "a test", "--author", "ann", ...args],
    ],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { PATH: `${bin}:${Deno.env.get("PATH")}` },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A stack whose requests go to a project of its own, with three jobs and nothing else. */
function withProject(fn: (stack: Stack, project: DeployedProject) => Promise<void>) {
  return withStack({ cron: false }, async (stack) => {
    const random = seededRandom(Date.now() % 100_000);
    const project = await deployProject(stack, { lingerMs, random });
    try {
      const { sql } = stack;
      await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
      for (const name of ["one", "two", "three"]) await registerJob(sql, name);
      await setSecret(sql, "project_url", project.url);
      await fn(stack, project);
    } finally {
      await project.stop();
    }
  });
}

/** Calls the jobs through pg_net, one after the other, until it is told to end. */
function traffic({ sql }: Stack) {
  const end = new AbortController();
  const over = (async () => {
    while (!end.signal.aborted) {
      for (const name of ["one", "two", "three"]) {
        await sql`select scheduler.run_now(${name}, 'traffic')`.catch(() => {});
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  return () => (end.abort(), over);
}

async function cronSecrets({ sql }: Stack): Promise<Record<string, string>> {
  const rows = await sql`
    select name, decrypted_secret from vault.decrypted_secrets where name like 'cron\\_secret%'`;
  return Object.fromEntries(rows.map((row) => [row.name, row.decrypted_secret]));
}

Deno.test("rotate-secret, killed again and again: no run is refused, and the old secret is out", () =>
  withProject(async (stack, project) => {
    const random = seededRandom(Date.now() % 100_000);
    const endTraffic = traffic(stack);
    const outputs: string[] = [];
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    for (let kill = 0; kill < 4; kill++) {
      const child = rotate(stack, project);
      const killAt = project.calls() + random.whole(1, 40 + 30 * kill);
      project.onCall = (calls) => {
        if (calls === killAt) child.kill("SIGKILL");
      };
      const { stdout, stderr } = await child.output();
      outputs.push(text(stdout), text(stderr));
    }
    project.onCall = () => {};
    const { code, stdout, stderr } = await rotate(stack, project).output();
    outputs.push(text(stdout), text(stderr));
    assert.equal(code, 0, text(stderr));
    const arrived = project.runs.arrived;
    await waitUntil("requests with the new secret", () => project.runs.arrived > arrived + 3);
    await endTraffic();

    assert.deepEqual(project.runs.refused, []);
    const { cron_secret, ...rest } = await cronSecrets(stack);
    assert.deepEqual(rest, {});
    assert.notEqual(cron_secret, stack.keys.cronSecret);
    assert.deepEqual(project.variables(), { CRON_SECRET: cron_secret });
    for (const output of outputs) {
      assert.ok(!output.includes(cron_secret!) && !output.includes(stack.keys.cronSecret), output);
    }
    const audit = await stack.sql`
      select after ->> 'stage' as stage, author from scheduler_audit where verb = 'rotate_secret' order by id`;
    const ends = audit.filter(({ stage }) => stage === "none").length;
    assert.ok(ends >= 1 && audit.every(({ author }) => author === "ann"));
    assert.equal(audit.length, 3 * ends);
  }));

Deno.test("rotate-secret says what it lacks, and changes nothing", () =>
  withProject(async (stack, project) => {
    const before = await cronSecrets(stack);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const refused = async (args: string[], code: number, said: RegExp) => {
      const output = await rotate(stack, project, ...args).output();
      assert.match(text(output.stderr), said);
      assert.equal(output.code, code);
    };
    await refused(["--reason", " "], 2, /--reason must say why/);
    await refused(["--settle", "soon"], 2, /--settle must be a number of seconds/);
    assert.deepEqual(await cronSecrets(stack), before);
    await setSecret(stack.sql, "cron_secret", "another-secret-of-more-than-32-characters");
    await refused([], 4, /refuses the secret of Vault\nhint: --mend/);
    assert.deepEqual(project.variables(), { CRON_SECRET: stack.keys.cronSecret });
    const mended = await rotate(stack, project, "--mend", "--json").output();
    assert.equal(mended.code, 0, text(mended.stderr));
    assert.deepEqual(JSON.parse(text(mended.stdout)), {
      functions: ["cron", "fickle", "prometheus-metrics"],
      not_deployed: [],
      others: [],
    });
    const after = await cronSecrets(stack);
    assert.deepEqual(after, { cron_secret: project.variables().CRON_SECRET });
  }));

Deno.test("a stack of this machine takes the new secret while it runs, and starts with it again", async () => {
  const dataDirectory = await Deno.makeTempDir({ prefix: "daybook-rotate-" });
  // Postgres may run as another user.
  await Deno.chmod(dataDirectory, 0o755);
  const options = { dataDirectory, cron: false };
  const settings = { settleMs: 300, limitMs: 20_000, mend: false };
  const world = ({ sql, apiUrl }: Stack): RotationWorld => ({
    database: rotationDatabase(sql, { reason: "a test", author: "ann" }),
    setFunctionSecrets: secretsOfStack(dataDirectory),
    ask: (name, secret) => askFunction(apiUrl, name, secret),
    say: () => {},
    now: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  const asked = async ({ apiUrl }: Stack, secret: string) =>
    (await askFunction(apiUrl, "cron", secret)).kind;
  let first = "";
  try {
    await withStack(options, async (stack) => {
      first = stack.keys.cronSecret;
      // Stopped where the functions take both, and requests carry the old one.
      const { database } = world(stack);
      const switchSecret = () => Promise.reject(new Error("stopped here"));
      await assert.rejects(
        rotateSecret({ ...world(stack), database: { ...database, switchSecret } }, settings),
        /stopped here/,
      );
    });
    await withStack(options, async (stack) => {
      const { cron_secret, cron_secret_next } = await cronSecrets(stack);
      assert.equal(cron_secret, first, "a start does not take the rotation's old secret away");
      assert.deepEqual(
        [await asked(stack, first), await asked(stack, cron_secret_next!)],
        ["accepted", "accepted"],
      );
      await rotateSecret(world(stack), settings);
      assert.equal(await asked(stack, first), "refused");
      assert.equal(await asked(stack, cron_secret_next!), "accepted");
    });
    await withStack(options, async (stack) => {
      assert.notEqual(stack.keys.cronSecret, first);
      assert.deepEqual(await cronSecrets(stack), { cron_secret: stack.keys.cronSecret });
      assert.equal(await asked(stack, stack.keys.cronSecret), "accepted");
      assert.equal(await asked(stack, first), "refused");
      // Within one tick of the file system's clock.
      const { mtime } = await Deno.stat(keysFile(dataDirectory));
      await changeCronSecrets(dataDirectory, { CRON_SECRET_PREVIOUS: first });
      await Deno.utime(keysFile(dataDirectory), mtime!, mtime!);
      assert.equal(await asked(stack, first), "accepted");
    });
  } finally {
    await Deno.remove(dataDirectory, { recursive: true });
  }
});

Deno.test("the Supabase CLI sets and unsets what it is told; no value is an argument or in a file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "daybook-profile-" });
  const api = await startManagementApi(folder);
  const values = { CRON_SECRET: "new-secret-of-the-test", CRON_SECRET_PREVIOUS: null };
  try {
    await secretsOfProject(projectRef, {
      ...api.env,
      SUPABASE_PROFILE: `${folder}/profile.yaml`,
    })(values);
    assert.deepEqual(api.secrets, [
      { set: { CRON_SECRET: "new-secret-of-the-test" } },
      { unset: ["CRON_SECRET_PREVIOUS"] },
    ]);
  } finally {
    await api.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
