import assert from "node:assert/strict";
import postgres from "postgres";
import { isPortFree } from "../../local/free-port.ts";
import { requiredEnv, withDatabase } from "../support/database.ts";
import { withPlace } from "../support/start-command.ts";

Deno.test("--once runs every job, prints what came of it, and leaves nothing; data survives", () =>
  withPlace(async ({ start, port, databasePort }) => {
    const first = start(["--once"]);
    assert.equal(await first.ended, 0, first.lines.join("\n"));
    assert.ok(first.lines.some((line) => /^JOB\s+STATUS\s+DURATION\s+WHAT IT FOUND$/.test(line)));
    for (
      const job of ["aggregate-device-metrics", "aggregate-device-metrics-daily", "system-health"]
    ) {
      assert.ok(first.lines.some((line) => new RegExp(`^${job} +completed `).test(line)), job);
    }
    assert.ok(first.lines.some((line) => /^Applying migration 1 of /.test(line)));
    assert.deepEqual(first.leftovers(), []);
    assert.ok(isPortFree(port) && isPortFree(databasePort));

    const second = start(["--once"]);
    assert.equal(await second.ended, 0, second.lines.join("\n"));
    const again = second.lines.filter((line) => /migration|demo data|database files/.test(line));
    assert.deepEqual(again, [], "it finds all as it was");

    const fresh = start(["--once", "--fresh"]);
    assert.equal(await fresh.ended, 0, fresh.lines.join("\n"));
    assert.ok(fresh.lines.some((line) => /^Loaded the demo data$/.test(line)));
  }));

Deno.test("it prints addresses, keys and the next run of each job", () =>
  withPlace(async ({ start, port, databasePort, dataDirectory }) => {
    const command = start();
    await command.line(/^Runs, as they end/);
    const text = command.lines.join("\n");
    assert.match(text, new RegExp(`API +http://127.0.0.1:${port}\n`));
    assert.match(
      text,
      new RegExp(`Database +postgresql://postgres:\\w+@127.0.0.1:${databasePort}/`),
    );
    const keys = JSON.parse(await Deno.readTextFile(`${dataDirectory}/keys.json`));
    assert.ok(text.includes(keys.secretKey) && text.includes(keys.publishableKey));
    const { email, password } = keys.demoUser;
    assert.ok(text.includes(`Sign in as        ${email} with ${password}`), text);
    const api = `http://127.0.0.1:${port}`;
    const signedIn = await fetch(`${api}/auth/v1/token?grant_type=password`, {
      method: "POST",
      headers: { apikey: keys.publishableKey },
      body: JSON.stringify({ email, password }),
    });
    const { access_token: token } = await signedIn.json();
    const acted = await fetch(`${api}/functions/v1/cron/jobs/system-health/pause`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ reason: "a try" }),
    });
    assert.equal(acted.status, 200, await acted.text());
    assert.match(text, /system-health +\d{4}-\d\d-\d\d \d\d:20:00 +in /);
    assert.equal((await Deno.stat(`${dataDirectory}/keys.json`)).mode! & 0o777, 0o600);
  }));

Deno.test("a run shows as one line when it ends, also one that a person asked for with curl", () =>
  withPlace(async ({ start, port }) => {
    const command = start();
    await command.line(/^Runs, as they end/);
    const response = await fetch(`http://127.0.0.1:${port}/functions/v1/system-health`, {
      method: "POST",
      headers: { "x-manual-call": "true" },
    });
    assert.equal(response.status, 200, await response.text());
    const line = await command.line(/^\d\d:\d\d:\d\d +system-health +completed /);
    assert.match(line, / (ms|s) +\d+ of 100/);
  }));

Deno.test("a job whose time zone is not known any more is named, and the start goes on", () =>
  withPlace(async ({ start, dataDirectory }) => {
    const first = start();
    await first.line(/^Runs, as they end/);
    const sql = postgres(await Deno.readTextFile(`${dataDirectory}/database-url`), { max: 1 });
    await sql`update scheduler_jobs set time_zone = 'Mars/Olympus_Mons' where name = 'system-health'`;
    await sql.end();
    first.kill("SIGTERM");
    assert.equal(await first.ended, 0);

    const second = start();
    await second.line(/^Runs, as they end/);
    const text = second.lines.join("\n");
    assert.match(
      text,
      /^ {2}system-health +- +.*Mars\/Olympus_Mons.*; register it again with a right one/m,
    );
    assert.match(text, /^ {2}prune-old-rows +\d{4}-\d\d-\d\d \d\d:52:00 +in /m);
  }));

Deno.test("a server given by DATABASE_URL is used and nothing of Postgres is started", () =>
  withDatabase(({ admin, name }) =>
    withPlace(async ({ start, dataDirectory }) => {
      const [before] = await admin`select rolpassword from pg_authid where rolname = 'postgres'`;
      const url = new URL(requiredEnv("DAYBOOK_TEST_DATABASE_URL"));
      url.pathname = `/${name}`;
      const command = start(["--once"], { DATABASE_URL: url.href });
      assert.equal(await command.ended, 0, command.lines.join("\n"));
      assert.equal(command.lines[0], "Using the server of DATABASE_URL: 127.0.0.1");
      assert.ok(!command.lines.some((line) => /Postgres/.test(line)));
      await assert.rejects(Deno.stat(`${dataDirectory}/postgres-17`), Deno.errors.NotFound);
      const [jobs] = await admin`select count(*)::integer from public.scheduler_runs`;
      assert.ok(jobs!.count >= 3);
      const [after] = await admin`select rolpassword from pg_authid where rolname = 'postgres'`;
      assert.deepEqual(after, before, "somebody else's password was changed");
    }), { packs: "none" }));

Deno.test("the functions get the environment of --env-file, but no name of Supabase", () =>
  withPlace(async ({ start, dataDirectory }) => {
    const file = `${dataDirectory}.env`;
    await Deno.writeTextFile(file, "SUPABASE_URL=x\nWALL_CLOCK_LIMIT_SECONDS=soon\n");
    const command = start(["--env-file", file]);
    await command.line(/WALL_CLOCK_LIMIT_SECONDS must be|^Runs, as they end/);
    command.kill("SIGTERM");
    assert.equal(await command.ended, 1, command.lines.join("\n"));
    const text = command.lines.join("\n");
    assert.match(text, /Refused SUPABASE_URL of .*\.env: the stack sets it itself/);
    assert.match(text, /WALL_CLOCK_LIMIT_SECONDS must be a positive number, got soon/);
    const missing = start(["--env-file", "/nowhere/.env"]);
    assert.equal(await missing.ended, 1);
    assert.match(missing.lines.join("\n"), /Cannot read \/nowhere\/.env: there is no such file/);
  }));
