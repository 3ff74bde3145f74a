import assert from "node:assert/strict";
import postgres from "postgres";
import { freePort, isPortFree } from "../../local/free-port.ts";
import { requiredEnv, withDatabase } from "../support/database.ts";
import { PORTS, withPlace } from "../support/start-command.ts";
import { waitUntil } from "../support/wait-until.ts";

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
    assert.ok(!second.lines.some((line) => /migration|demo data|database files/.test(line)));

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

const MOMENTS = [
  /^Making the database files/,
  /^Preparing roles/,
  /^Applying migration 2 /,
  /^Starting the REST server/,
  /^Starting the functions/,
  /^Runs, as they end/,
];
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${name} at any moment stops everything in order`, () =>
    withPlace(async ({ start, port, databasePort }) => {
      for (const moment of MOMENTS) {
        const command = start(["--fresh"]);
        await command.line(moment);
        command.kill(name);
        assert.equal(await command.ended, 0, command.lines.join("\n"));
        assert.ok(command.lines.includes(`Stopped by ${name}`), command.lines.join("\n"));
        assert.deepEqual(command.leftovers(), [], String(moment));
        assert.ok(isPortFree(port) && isPortFree(databasePort), String(moment));
      }
    }));
}

Deno.test("--once that is stopped before the jobs have run fails", () =>
  withPlace(async ({ start }) => {
    for (const moment of [/^Preparing roles/, /^Running \d+ jobs/]) {
      const command = start(["--once"]);
      await command.line(moment);
      command.kill("SIGINT");
      assert.equal(await command.ended, 1, command.lines.join("\n"));
      assert.ok(command.lines.includes("Stopped by SIGINT"), command.lines.join("\n"));
    }
  }));

Deno.test("a start that is killed with -9 leaves no process, and the next start just works", () =>
  withPlace(async ({ start, port, databasePort }) => {
    const killed = start();
    await killed.line(/^Runs, as they end/);
    killed.kill("SIGKILL");
    await killed.ended;
    await waitUntil("its children to end", () => killed.leftovers().length === 0, 20_000);
    await waitUntil("free ports", () => isPortFree(port) && isPortFree(databasePort));
    const next = start(["--once"]);
    assert.equal(await next.ended, 0, next.lines.join("\n"));
  }));

Deno.test("when Postgres, REST or the functions die, it says so, stops the rest and fails", () =>
  withPlace(async ({ start, port, databasePort }) => {
    for (
      const [part, program] of [
        ["Postgres", "bin/postgres"],
        ["PostgREST", "/postgrest"],
        ["the functions", "functions-server.ts"],
      ] as const
    ) {
      const command = start();
      await command.line(/^Runs, as they end/);
      Deno.kill(command.child(program), "SIGKILL");
      assert.equal(await command.ended, 1, command.lines.join("\n"));
      assert.ok(command.lines.some((line) => line.startsWith(`${part} ended by itself`)), part);
      // The backends of a server that was killed see that by themselves, each in its own time.
      await waitUntil("its children to end", () => command.leftovers().length === 0);
      await waitUntil("free ports", () => isPortFree(port) && isPortFree(databasePort));
    }
  }));

Deno.test("a taken port is named with its option, before anything starts", () =>
  withPlace(async ({ start, port, databasePort }) => {
    for (const [taken, option] of [[port, "--port"], [databasePort, "--db-port"]] as const) {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: taken });
      const command = start();
      assert.equal(await command.ended, 1);
      listener.close();
      assert.deepEqual(command.lines, [
        `Cannot start: port ${taken} is taken; stop what uses it or choose another with ${option}`,
      ]);
    }
  }));

Deno.test("a second start on the same data is refused, also with --fresh, and harms nothing", () =>
  withPlace(async ({ start }) => {
    const first = start();
    await first.line(/^Runs, as they end/);
    for (const more of [[], ["--fresh"]]) {
      const second = start(["--port", "0", "--db-port", "0", ...more]);
      assert.equal(await second.ended, 2, "ports must be real ones");
      const third = start([
        "--port",
        `${freePort(PORTS)}`,
        "--db-port",
        `${freePort(PORTS)}`,
        ...more,
      ]);
      assert.equal(await third.ended, 1);
      assert.match(third.lines.join("\n"), /Cannot start: another start is at work on .*stop/);
    }
    first.kill("SIGTERM");
    assert.equal(await first.ended, 0);
  }));

Deno.test("of two starts at once on new data one wins and the other says so", () =>
  withPlace(async ({ start }) => {
    const both = [0, 1].map(() =>
      start(["--port", `${freePort(PORTS)}`, "--db-port", `${freePort(PORTS)}`, "--once"])
    );
    const codes = await Promise.all(both.map(({ ended }) => ended));
    assert.deepEqual(codes.toSorted(), [0, 1]);
    const loser = both[codes.indexOf(1)]!;
    assert.match(loser.lines.join("\n"), /^Cannot start: another start is at work on /m);
  }));

Deno.test("a failed start says why and leaves no process", () =>
  withPlace(async ({ start, dataDirectory }) => {
    const noServer = start([], { LOCAL_POSTGRES_BIN: "/nowhere" });
    assert.equal(await noServer.ended, 1);
    assert.match(noServer.lines.at(-1)!, /Cannot use the Postgres in \/nowhere/);

    await start(["--once"]).ended;
    for await (const entry of Deno.readDir(dataDirectory)) {
      if (!entry.name.startsWith("postgres-")) continue;
      await Deno.remove(`${dataDirectory}/${entry.name}/global/pg_control`);
    }
    const broken = start();
    assert.equal(await broken.ended, 1);
    assert.match(broken.lines.join("\n"), /Cannot start Postgres: [^]*pg_control/);
    assert.deepEqual(broken.leftovers(), []);
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
    }), { migrated: false }));

Deno.test("a server given by DATABASE_URL that is not on loopback is refused before anything happens", () =>
  withPlace(async ({ start, dataDirectory }) => {
    for (
      const [url, host] of [
        ["postgresql://admin@db.example.test/postgres", "db.example.test"],
        ["postgresql://admin@127.0.0.1/postgres?host=db.example.test", "db.example.test"],
        ["postgresql://admin@localhost,db.example.test/postgres", "localhost,db.example.test"],
        ["postgresql:///postgres", "(no host)"],
      ] as const
    ) {
      const command = start(["--fresh"], { DATABASE_URL: url });
      assert.equal(await command.ended, 1);
      assert.match(command.lines[0]!, /^Using the server of DATABASE_URL: /);
      assert.deepEqual(command.lines.slice(1), [
        `Cannot start on ${host}: this installs roles, stand-ins and demo data; it must be on loopback`,
      ]);
    }
    await assert.rejects(Deno.stat(dataDirectory), Deno.errors.NotFound);
  }));

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

Deno.test("a server given by DATABASE_URL where we are no superuser is refused in plain words", () =>
  withPlace(async ({ start }) => {
    const url = new URL(requiredEnv("DAYBOOK_TEST_DATABASE_URL"));
    url.username = "postgres";
    const command = start(["--once"], { DATABASE_URL: url.href });
    assert.equal(await command.ended, 1);
    assert.match(command.lines.join("\n"), /as postgres: .* needs a superuser/);
  }));
