// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres from "postgres";
import { type PostgresServer, preparePostgres } from "../../local/postgres.ts";
import { existingReachableDirectory } from "../../local/reachable-directory.ts";

const root = Deno.uid() === 0;

async function withServer(
  parentMode: number,
  fn: (server: PostgresServer, messages: string[]) => Promise<void>,
): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "daybook-server-" });
  await Deno.chmod(parent, parentMode);
  const dataDirectory = `${parent}/data`;
  const messages: string[] = [];
  try {
    const server = await preparePostgres({
      dataDirectory,
      port: 0,
      adminPassword: "password",
      postgresBin: Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN"),
      settings: { fsync: "off" },
      onProgress: (message) => messages.push(message),
    });
    try {
      await fn(server, messages);
    } finally {
      await server.stop();
    }
  } finally {
    await Deno.remove(parent, { recursive: true });
    const reachable = await existingReachableDirectory(dataDirectory);
    if (reachable) await Deno.remove(reachable, { recursive: true });
  }
}

async function query(server: PostgresServer, text: string) {
  const sql = postgres(server.adminUrl(), { max: 1 });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end();
  }
}

Deno.test("the data is there again after a stop, and after a kill", () =>
  withServer(0o755, async (server) => {
    await server.start();
    await query(server, "create table kept as select 1 as id");
    await server.stop();
    await server.start();
    assert.equal((await query(server, "select * from kept")).length, 1);
    await server.kill();
    await server.start();
    assert.equal((await query(server, "select * from kept")).length, 1);
  }));

Deno.test("it listens on loopback, asks for the password and has no socket file", () =>
  withServer(0o755, async (server) => {
    await server.start();
    const [row] = await query(
      server,
      "select current_setting('listen_addresses') as listen, current_setting('unix_socket_directories') as sockets",
    );
    assert.deepEqual({ ...row }, { listen: "127.0.0.1", sockets: "" });
    const wrong = postgres(server.adminUrl().replace("password", "guess"), { max: 1 });
    await assert.rejects(wrong`select 1`, { code: "28P01" });
    await wrong.end();
  }));

Deno.test("a postmaster.pid left behind is no obstacle, even if its number lives again", () =>
  withServer(0o755, async (server) => {
    await server.start();
    const file = `${server.cluster}/postmaster.pid`;
    const text = await Deno.readTextFile(file);
    await server.kill();
    const lines = text.split("\n");
    for (const pid of [lines[0]!, String(Deno.pid)]) {
      await Deno.writeTextFile(file, [pid, ...lines.slice(1)].join("\n"));
      await server.start();
      await server.kill();
    }
  }));

Deno.test("a start that was cut off while the files were made begins again", () =>
  withServer(0o755, async (server) => {
    await Deno.mkdir(`${server.cluster}.unfinished/base`, { recursive: true });
    await Deno.writeTextFile(`${server.cluster}.password`, "old");
    await server.start();
    assert.equal((await query(server, "select 1")).length, 1);
  }));

Deno.test("a second server on the same files is refused", () =>
  withServer(0o755, async (server) => {
    await server.start();
    const second = { ...server };
    await assert.rejects(second.start(), /one already runs on .* stop the other start first/);
    assert.equal((await query(server, "select 1")).length, 1);
  }));

Deno.test({
  ignore: !root,
  name: "as root, data that the user postgres cannot enter is kept where it can, and it says so" +
    (root ? "" : " (only root runs Postgres as another user)"),
  fn: () =>
    withServer(0o700, async (server, messages) => {
      await server.start();
      assert.match(server.cluster, /^\/var\/tmp\/daybook-[0-9a-f]{16}\//);
      assert.ok(
        messages.some((message) => message.startsWith("Keeping the database in /var/tmp/")),
      );
      assert.equal((await Deno.stat(server.cluster)).mode! & 0o777, 0o700);
      assert.equal((await query(server, "select 1")).length, 1);
    }),
});

Deno.test("a Postgres that is not there or too old is refused", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const prepare = () =>
      preparePostgres({
        dataDirectory: directory,
        port: 1,
        adminPassword: "",
        postgresBin: directory,
      });
    await assert.rejects(prepare(), /must be the directory that holds initdb and postgres/);
    for (const program of ["postgres", "initdb"]) {
      await Deno.writeTextFile(
        `${directory}/${program}`,
        "#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n",
        { mode: 0o755 },
      );
    }
    await assert.rejects(prepare(), /Cannot use postgres \(PostgreSQL\) 14.2: .* 15 or later/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
