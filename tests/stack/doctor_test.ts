import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Finding } from "../../cli/daybook/doctor-findings.ts";
import { fire, registerJob, untilStatus } from "../support/faults.ts";
import { setSecret } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

/** `deno task daybook doctor --json`: how it ended, and what is not as it should be. */
async function doctor(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "cli/daybook.ts", "doctor", "--json", ...args],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { CRON_SECRET: "", XDG_CONFIG_HOME: "/nowhere", ...env },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.equal(text(stderr), "");
  const { findings } = JSON.parse(text(stdout)) as { findings: Finding[] };
  return {
    code,
    all: findings.map(({ check }) => check),
    ill: findings.filter(({ state }) => state !== "ok").map(
      ({ check, state, detail, command }) => `${state} ${check}: ${detail} | ${command}`,
    ),
    text: text(stdout),
  };
}

Deno.test("doctor on a stack: all is well, and each thing that breaks is named with what mends it", () =>
  withStack({ cron: false }, async ({ sql, databaseUrl, apiUrl, keys }) => {
    const database = ["--db-url", databaseUrl];
    const url = ["--url", apiUrl];
    const env = { CRON_SECRET: keys.cronSecret };
    await sql`select scheduler.pulse()`;
    const healthy = await doctor(database);
    assert.deepEqual([healthy.ill, healthy.code], [[], 0]);
    for (
      const check of [
        ...["database", "migrations", "extension pg_cron", "grants", "secret", "clock"],
        ...["functions deployed", "secret of the functions", "wall clock", "rotation"],
      ]
    ) assert.ok(healthy.all.includes(check), check);
    const overApi = await doctor(url, env);
    assert.deepEqual([overApi.ill, overApi.code], [[], 0]);
    assert.ok(overApi.all.includes("functions deployed"));

    await registerJob(sql, "long");
    const cut = await fire(sql, "long");
    await untilStatus(sql, cut, "completed");
    await sql`
      update scheduler_runs set status = 'failed', verdict = 'interrupted' where id = ${cut}`;
    await sql`select scheduler.begin_secret_rotation('a test', 'ann')`;
    const warned = await doctor(database);
    assert.equal(warned.code, 0, "a warning fails nothing");
    assert.match(
      warned.ill.join("\n"),
      /^warning wall clock: the functions end after 150 s; 1 run of long was cut/m,
    );
    assert.match(
      warned.ill.join("\n"),
      /^warning rotation: .* \| deno task daybook rotate-secret/m,
    );
    await setSecret(sql, "cron_secret_next", null);
    await sql`select scheduler.unregister_job('long')`;

    await registerJob(sql, "ghost", { target: "nowhere" });
    const absent = await doctor(database);
    assert.equal(absent.code, 1);
    assert.match(
      absent.ill.join("\n"),
      /^failed functions deployed: nowhere is not \| supabase functions deploy$/m,
    );
    await sql`select scheduler.unregister_job('ghost')`;

    const wrong = "another-secret-of-more-than-32-characters";
    await setSecret(sql, "cron_secret", wrong);
    await sql`delete from scheduler.verify_calls`;
    const refused = await doctor(database);
    assert.equal(refused.code, 1);
    const said = refused.ill.join("\n");
    assert.match(
      said,
      /^failed secret: .* refuses it: .* \| deno task daybook rotate-secret --mend/m,
    );
    assert.match(said, /^failed secret of the functions: .* refuse the secret of Vault \| /m);
    assert.match(said, /^skipped functions deployed: /m);
    assert.ok(!refused.text.includes(wrong) && !refused.text.includes(keys.cronSecret));
    const overApiRefused = await doctor(url, { CRON_SECRET: wrong });
    assert.equal(overApiRefused.code, 1);
    assert.match(overApiRefused.ill.join("\n"), /^failed API: .* refuses the cron secret/m);
  }));
