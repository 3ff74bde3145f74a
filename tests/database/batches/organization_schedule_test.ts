import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/daily-batch.ts";

async function audited(sql: Sql) {
  const rows = await sql`
    select author, verb, subject, reason, before, after from scheduler_audit
    where verb not like 'register%' order by id`;
  return rows.map((row) => ({ ...row }));
}

t.batchTest(
  "an organization is moved by a verb, with who, why, before and after",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Europe/Berlin" });
    const [row] = await sql`
    select set_organization_schedule(${acme}, 'Asia/Tokyo', '04:30', ' they moved ', 'Ada') as told`;
    assert.equal(row!.told, "Acme: the daily batch runs at 04:30, Asia/Tokyo");
    const [back] =
      await sql`select set_organization_schedule(${acme}, null, null, 'and back', 'Ada') as told`;
    assert.equal(
      back!.told,
      "Acme: the daily batch runs at the platform's hour, in the platform's zone",
    );
    const tokyo = { time_zone: "Asia/Tokyo", daily_run_at: "04:30:00" };
    const common = { author: "Ada", verb: "set_organization_schedule", subject: acme };
    assert.deepEqual(await audited(sql), [
      {
        ...common,
        reason: "they moved",
        before: { time_zone: "Europe/Berlin", daily_run_at: null },
        after: tokyo,
      },
      {
        ...common,
        reason: "and back",
        before: tokyo,
        after: { time_zone: null, daily_run_at: null },
      },
    ]);
    // A plain update is one, too; one that changes neither is none.
    await sql`update organizations set time_zone = 'UTC', daily_run_at = null`;
    await sql`update organizations set time_zone = 'UTC'`;
    const [, , plain, ...more] = await audited(sql);
    assert.deepEqual([plain!.author, plain!.reason, more], ["postgres", null, []]);
  },
);

t.batchTest("what cannot be is refused with its reason, and changes nothing", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme");
  const unknown = "00000000-0000-4000-8000-000000000000";
  const refused = async (values: unknown[], code: string, message: RegExp) =>
    await assert.rejects(
      sql.unsafe("select set_organization_schedule($1, $2, $3, $4, $5)", values as never[]),
      (error: Error & { code: string }) => {
        assert.match(error.message, message);
        return error.code === code;
      },
    );
  await refused([acme, "Mars/Olympus", null, "why", "Ada"], "22023", /Acme.*Mars\/Olympus/);
  await refused([acme, null, "24:00", "why", "Ada"], "22023", /whole minute/);
  await refused([acme, null, "04:30:15", "why", "Ada"], "22023", /whole minute/);
  await refused([acme, "UTC", null, " ", "Ada"], "22023", /a reason must be given/);
  await refused([acme, "UTC", null, "why", null], "22023", /an author must be given/);
  await refused([acme, "UTC", null, "why", " "], "22023", /an author must be given/);
  await refused([unknown, "UTC", null, "why", "Ada"], "SD008", /none with the id 0{8}-/);
  await refused([null, "UTC", null, "why", "Ada"], "SD008", /none with the id null/);
  assert.deepEqual(await audited(sql), []);
});

t.batchTest(
  "a signed-in owner moves an organization of their own, by the policy of docs/operations.md",
  async (db) => {
    const { sql, connect } = db;
    const page = await Deno.readTextFile(new URL("../../../docs/operations.md", import.meta.url));
    const policy = /```sql\n(create table organization_owners[\s\S]*?)```/.exec(page)?.[1];
    assert.ok(policy, "the page has the example");
    await sql.unsafe(policy);
    const [mine, other] = [await t.organization(sql, "Mine"), await t.organization(sql, "Other")];
    const ada = crypto.randomUUID();
    await sql`insert into organization_owners values (${mine}, ${ada})`;

    const user = connect("authenticated");
    const claims = JSON.stringify({ sub: ada, email: "ada@example.com", role: "authenticated" });
    const move = (organization: string, author: string | null = null) =>
      user.begin(async (transaction) => {
        await transaction`select set_config('request.jwt.claims', ${claims}, true)`;
        return await transaction`
        select set_organization_schedule(${organization}, 'Asia/Tokyo', null, 'we moved', ${author})`;
      });
    await assert.rejects(move(other), { code: "SD008" });
    await assert.rejects(
      move(mine, "Bob"),
      /must be who is signed in, ada@example.com, or null, got Bob/,
    );
    await move(mine);
    await assert.rejects(user`update organizations set enabled = false`, { code: "42501" });
    const rows = await sql`select name, time_zone from organizations order by name`;
    assert.deepEqual(rows.map(({ name, time_zone }) => [name, time_zone]), [
      ["Mine", "Asia/Tokyo"],
      ["Other", null],
    ]);
    assert.deepEqual((await audited(sql)).map(({ author, reason }) => [author, reason]), [
      ["ada@example.com", "we moved"],
    ]);
  },
);
