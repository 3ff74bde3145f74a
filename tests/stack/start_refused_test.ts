import assert from "node:assert/strict";
import { freePort } from "../../local/free-port.ts";
import { requiredEnv } from "../support/database.ts";
import { PORTS, withPlace } from "../support/start-command.ts";

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

Deno.test("one of two concurrent starts on new data wins, and the other says so", () =>
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

Deno.test("a server given by DATABASE_URL where we are no superuser is refused in plain words", () =>
  withPlace(async ({ start }) => {
    const url = new URL(requiredEnv("DAYBOOK_TEST_DATABASE_URL"));
    url.username = "postgres";
    const command = start(["--once"], { DATABASE_URL: url.href });
    assert.equal(await command.ended, 1);
    assert.match(command.lines.join("\n"), /as postgres: .* needs a superuser/);
  }));
