import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withStack } from "../support/stack.ts";

/** `deno task postdeploy` against that database. */
async function postdeploy(url: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/postdeploy.ts", "--database-url", url, ...args],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("postdeploy resumes what an incident stopped, and finds that all works together", () =>
  withStack({ cron: false }, async ({ sql, databaseUrl }) => {
    await sql`select scheduler.pulse()`;
    await sql`select scheduler.start_incident('deployment', 'Ada')`;
    const done = await postdeploy(databaseUrl, "--author", "Ada", "--ramp", "0");
    assert.equal(done.stderr, "");
    assert.match(done.stdout, /^\d+ jobs run again within 0 s, each after those it depends on\n/);
    assert.match(done.stdout, /^ok +secret +system-health takes it$/m);
    assert.match(done.stdout, /^ok +clock +that of the functions is \d+ s off/m);
    assert.match(done.stdout, /^ok +lock +taken, and freed as its run ended$/m);
    assert.match(done.stdout, /\nAll checks hold\n$/);
    assert.equal(done.code, 0);
    const [left] = await sql`select count(*)::int as locks from scheduler_locks`;
    assert.equal(left!.locks, 0);
  }));

Deno.test("postdeploy names a secret that the functions refuse, and ends with 1", () =>
  withStack({ cron: false }, async ({ sql, databaseUrl }) => {
    await sql`select scheduler.pulse()`;
    await sql`
      select vault.update_secret(id, 'another-secret-that-is-long-enough-0123') from vault.secrets
      where name = 'cron_secret'`;
    const done = await postdeploy(databaseUrl, "--author", "Ada");
    assert.match(done.stdout, /^no incident lasts\n/);
    assert.match(done.stdout, /^failed +secret +system-health refuses it: make CRON_SECRET/m);
    assert.match(done.stdout, /\n1 of \d+ checks do not hold\n$/);
    assert.equal(done.code, 1);
    const [row] = await sql`
      select author, verb, after -> 'failed' as failed from scheduler_audit where verb = 'postdeploy'`;
    assert.deepEqual(row, { author: "Ada", verb: "postdeploy", failed: ["secret"] });
  }));

Deno.test("postdeploy needs an author, a ramp and a database", async () => {
  const missing = await postdeploy("postgres://127.0.0.1:1/none");
  assert.deepEqual([missing.code, missing.stderr], [
    2,
    "--author must say who deploys, for the audit log\n",
  ]);
  const empty = await postdeploy("", "--author", "Ada");
  assert.deepEqual([empty.code, empty.stderr], [
    1,
    "--database-url is empty: is the variable set that it is made of?\n",
  ]);
  const ramp = await postdeploy("postgres://127.0.0.1:1/none", "--author", "Ada", "--ramp", "soon");
  assert.deepEqual([ramp.code, ramp.stderr], [
    2,
    "--ramp must be a number of seconds from 0 to 86400, got soon\n",
  ]);
});
