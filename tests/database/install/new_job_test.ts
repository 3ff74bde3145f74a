import assert from "node:assert/strict";
import { registrationFault } from "../../../install/registration-fault.ts";
import { reservedFault } from "../../../install/reserved-names.ts";
import { readPacks } from "../../../local/packs.ts";
import { withDatabase } from "../../support/database.ts";

Deno.test("a job may not be named like a schema that is there, nor like a word that Postgres has reserved", () =>
  withDatabase(async ({ sql }) => {
    const packs = (await readPacks()).map(({ schema }) => schema);
    const rows = await sql`
      select nspname as name from pg_namespace where nspname <> all (${packs})
      union all
      select word from pg_get_keywords() where catcode in ('R', 'T')`;
    assert.ok(rows.length > 90, String(rows.length));
    const free = rows.map(({ name }) => name).filter((name) => reservedFault(name) === null);
    assert.deepEqual(free, []);
    assert.equal(reservedFault("send_letters"), null);
  }));

Deno.test("a job's schedule and zone are judged by the scheduler itself", async () => {
  const job = { name: "send-letters", schedule: "30 2 * * *", timeZone: "America/New_York" };
  assert.equal(await registrationFault(job), null);
  assert.match(
    (await registrationFault({ ...job, timeZone: "EST" }))!,
    /cannot use the time zone "EST".*; did you mean America\/New_York/,
  );
  assert.match(
    (await registrationFault({ ...job, schedule: "0 0 30 2 *" }))!,
    /'0 0 30 2 \*' never occurs/,
  );
});
