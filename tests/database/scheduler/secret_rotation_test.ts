import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { alone, rotationDatabase } from "../../../cli/daybook/rotate-secret-database.ts";
import { RotationError } from "../../../cli/daybook/rotate-secret-steps.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

const cause = { reason: "an employee left", author: "ann" };

/** What Vault has of the cron secret, by name. */
async function vault(sql: Sql): Promise<Record<string, string>> {
  const rows = await sql`
    select name, decrypted_secret from vault.decrypted_secrets where name like 'cron\\_secret%'`;
  return Object.fromEntries(rows.map((row) => [row.name, row.decrypted_secret]));
}

t.ledgerTest(
  "prepared, switched, ended: each step once, however often it is called",
  async ({ sql }) => {
    const database = rotationDatabase(sql, cause);
    const first = await database.begin();
    assert.deepEqual([first.stage, first.old], ["prepared", t.CRON_SECRET]);
    assert.match(first.new, /^[0-9a-f]{64}$/);
    assert.deepEqual(await database.begin(), first);
    assert.deepEqual(await vault(sql), {
      cron_secret: t.CRON_SECRET,
      cron_secret_next: first.new,
    });

    await database.switchSecret();
    await database.switchSecret();
    assert.deepEqual(await vault(sql), {
      cron_secret: first.new,
      cron_secret_previous: t.CRON_SECRET,
    });
    assert.deepEqual(await database.begin(), { ...first, stage: "switched" });

    await database.end();
    await database.end();
    assert.deepEqual(await vault(sql), { cron_secret: first.new });
    const audit = await sql`
    select verb, subject, reason, author, before ->> 'stage' as before, after ->> 'stage' as after
    from scheduler_audit order by id`;
    assert.deepEqual(
      audit.map((row) => Object.values(row).join(" ")),
      [["none", "prepared"], ["prepared", "switched"], ["switched", "none"]].map(([from, to]) =>
        `rotate_secret cron_secret an employee left ann ${from} ${to}`
      ),
    );
    const [leak] = await sql`
    select count(*)::int as found from scheduler_audit as audit
    where audit::text like ${`%${first.new}%`} or audit::text like ${`%${t.CRON_SECRET}%`}`;
    assert.equal(leak!.found, 0);
  },
);

t.ledgerTest("a step out of turn changes nothing", async ({ sql }) => {
  const database = rotationDatabase(sql, cause);
  await database.switchSecret();
  await database.end();
  assert.deepEqual(await vault(sql), { cron_secret: t.CRON_SECRET });
  await database.begin();
  await database.end();
  assert.equal(Object.keys(await vault(sql)).length, 2);
  assert.deepEqual((await sql`select from scheduler_audit`).length, 1);
});

t.ledgerTest(
  "without a cron secret that could be sent there is nothing to rotate",
  async ({ sql }) => {
    await t.setSecret(sql, "cron_secret", "short");
    const refused = await refusal(sql`select scheduler.begin_secret_rotation('why', 'ann')`);
    assert.equal(refused.code, "SD303");
    assert.match(refused.message, /at least 32 characters/);
    for (const [reason, author] of [["", "ann"], ["why", " "]] as const) {
      for (const verb of ["begin_secret_rotation", "switch_secret", "end_secret_rotation"]) {
        const { code } = await refusal(sql`select scheduler.${sql(verb)}(${reason}, ${author})`);
        assert.equal(code, "22023");
      }
    }
  },
);

t.ledgerTest(
  "whom it asks: functions of Daybook's kind; other targets are named",
  async ({ sql }) => {
    await t.register(sql, "nightly", { target: "work" });
    await t.register(sql, "own-secret", { target: "elsewhere", secret_name: "another" });
    await t.register(sql, "plain", { target: "theirs", receipt: "response", timeout_seconds: 30 });
    await t.register(sql, "url", {
      target: "https://example.test/hook",
      receipt: "response",
      timeout_seconds: 30,
      secret_name: "cron_secret",
    });
    const { functions, others } = await rotationDatabase(sql, cause).begin();
    assert.deepEqual([functions, others], [["cron", "prometheus-metrics", "work"], [
      "plain",
      "url",
    ]]);
  },
);

t.ledgerTest(
  "requests with the old secret are counted, also those of a transaction that is still open",
  async (db) => {
    const { sql } = db;
    const database = rotationDatabase(sql, cause);
    await t.register(sql, "early");
    await t.register(sql, "late");
    await database.begin();
    const other = db.connect();
    const { promise: goOn, resolve } = Promise.withResolvers<void>();
    const { promise: sent, resolve: isSent } = Promise.withResolvers<void>();
    const open = other.begin(async (transaction) => {
      await t.dispatch(transaction, "early");
      isSent();
      await goOn;
    });
    await sent;
    await database.switchSecret();
    const mark = await database.mark();
    assert.deepEqual([await database.isOpenBefore(mark), await database.oldRequests()], [true, 0]);
    resolve();
    await open;
    // Transactions of other databases of the server count as well.
    await waitUntil(
      "older transactions to be over",
      async () => !await database.isOpenBefore(mark),
    );
    assert.equal(await database.oldRequests(), 2);
    await sql`delete from net.http_request_queue`;
    await t.register(sql, "after");
    await t.start(sql, "after");
    assert.equal((await t.requests(sql)).length, 1);
    assert.equal(await database.oldRequests(), 0, "it carries the new one");
  },
);

t.ledgerTest(
  "two rotations at once: the second is told, and the first is over when its process is",
  async (db) => {
    const sql = db.connect("postgres", { max: 2 });
    const other = db.connect("postgres", { max: 2 });
    await alone(sql, async () => {
      await assert.rejects(
        alone(other, () => Promise.resolve()),
        (error) => error instanceof RotationError && /Another rotation/.test(error.message),
      );
    });
    assert.equal(await alone(other, () => Promise.resolve("done")), "done");
  },
);

t.ledgerTest(
  "a transaction that sees the time before the switch is open, also before it has written",
  async ({ sql }) => {
    await t.register(sql, "job");
    const database = rotationDatabase(sql, cause);
    const { old } = await database.begin();
    let mark = "";
    await sql.begin("isolation level repeatable read", async (late) => {
      await late`select count(*) from scheduler_jobs`;
      await database.switchSecret();
      mark = await database.mark();
      assert.equal(await database.isOpenBefore(mark), true);
      await late`select scheduler.run_now('job', 'ann')`;
    });
    // Transactions of other databases of the server may be older, and end.
    await waitUntil("its end", async () => !await database.isOpenBefore(mark));
    const [request] = await sql`
      select headers ->> 'x-cron-secret' as secret from net.http_request_queue`;
    assert.equal(request!.secret, old, "it has sent what it saw");
    assert.equal(await database.oldRequests(), 1);
  },
);
