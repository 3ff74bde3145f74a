import assert from "node:assert/strict";
import { preparePostgres } from "../../local/postgres.ts";
import { startRest } from "../../local/rest.ts";

Deno.test("Postgres and PostgREST fail with the words by which a taken port is known", async () => {
  const directory = await Deno.makeTempDir({ prefix: "daybook-port-" });
  await Deno.chmod(directory, 0o755);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  try {
    const server = await preparePostgres({
      dataDirectory: `${directory}/data`,
      port,
      adminPassword: "password",
      postgresBin: Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN"),
    });
    await assert.rejects(server.start(), /Cannot start Postgres: [^]*address already in use/i);
    const rest = startRest({
      databaseUrl: `postgresql://nobody@127.0.0.1:${port}/nowhere`,
      jwtSecret: "a-secret-of-at-least-32-characters",
      serviceRoleKey: "",
      port,
      dataDirectory: directory,
    });
    await assert.rejects(rest, /Cannot start PostgREST: [^]*address in use/i);
  } finally {
    listener.close();
    await Deno.remove(directory, { recursive: true });
  }
});
