import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { assertAllRunsOver, beatUntilIdle, registerJob } from "../support/faults.ts";
import { runs } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

async function crontab(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/daybook.ts", "crontab", "--format", "cron", ...args],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { CRON_SECRET: "", XDG_CONFIG_HOME: "/nowhere" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("the lines of a crontab, run by sh: each occurrence runs once, and tick pulses", () =>
  withStack({ cron: false }, async ({ sql, keys, databaseUrl, dataDirectory }) => {
    await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
    await registerJob(sql, "letters", { schedule: "0 9 * * *", time_zone: "Europe/Berlin" });
    const { code, stdout, stderr } = await crontab("--db-url", databaseUrl, "--each-job");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(!stdout.includes(keys.cronSecret));
    const lines = stdout.split("\n");
    assert.equal(
      lines[lines.findIndex((line) => line.startsWith("0 9 ")) - 1],
      "CRON_TZ=Europe/Berlin",
    );
    const envFile = `${dataDirectory}/daybook.env`;
    await Deno.writeTextFile(envFile, `CRON_SECRET='${keys.cronSecret}'\n`, { mode: 0o600 });
    const call = async (beginning: string) => {
      const line = lines.find((line) => line.startsWith(beginning));
      assert.ok(line, stdout);
      const output = await new Deno.Command("/bin/sh", {
        args: ["-c", line.split(" ").slice(5).join(" ").replaceAll("\\%", "%")],
        env: { DAYBOOK_ENV: envFile },
      }).output();
      assert.ok(output.success, `${line}: ${new TextDecoder().decode(output.stderr)}`);
    };

    await call("0 9 * * *");
    assert.deepEqual(await runs(sql, "letters"), [], "none is due");
    await sql`
      update scheduler_jobs set next_run_at = date_trunc('milliseconds', now()) where name = 'letters'`;
    await call("0 9 * * *");
    await call("0 9 * * *");
    await beatUntilIdle(sql);
    const [run, ...more] = await runs(sql, "letters");
    assert.deepEqual([run!.trigger, run!.status, more], ["cron", "completed", []]);

    await sql`update scheduler.pulse_state set last_pulse_at = '2026-01-01'`;
    await call("* * * * *");
    const [pulse] = await sql`
      select last_pulse_at > now() - interval '1 minute' as beat from scheduler.pulse_state`;
    assert.ok(pulse!.beat);
    await assertAllRunsOver(sql);
  }));

Deno.test("crontab without jobs needs no database, only the address", async () => {
  const { code, stdout } = await crontab(
    "--project-url",
    "https://example.test/",
    "--header",
    "bearer",
  );
  assert.equal(code, 0);
  assert.match(
    stdout,
    /authorization: Bearer .*'https:\/\/example\.test\/functions\/v1\/cron\/tick'\n$/,
  );
  for (
    const address of ["ftp://example.test", "https://user:secret@example.test", "https://e.test/'x"]
  ) {
    const refused = await crontab("--project-url", address);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /Cannot tell which address/);
    assert.doesNotMatch(refused.stderr, /secret@/);
  }
});
