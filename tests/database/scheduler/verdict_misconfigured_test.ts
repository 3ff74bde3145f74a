import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

const SHORT = "short-secret-value";
const BROKEN = "secret-with-a-break\r\nx-evil: 1-and-long-enough-to-be-one";

t.ledgerTest(
  "a Vault secret that is missing or wrong makes a run misconfigured; the message names it and not its value",
  async ({ sql, admin }) => {
    const cases: [name: string, secret: string | null, message: RegExp][] = [
      ["cron_secret", null, /Vault has no secret named cron_secret/],
      ["cron_secret", SHORT, /the secret cron_secret in Vault must have at least 32 characters/],
      ["cron_secret", "", /the secret cron_secret in Vault must have at least 32 characters/],
      ["cron_secret", BROKEN, /the secret cron_secret in Vault contains a line break/],
      ["cron_secret", ` ${t.CRON_SECRET}`, /in Vault begins or ends with a blank$/],
      ["cron_secret", `${t.CRON_SECRET}\t`, /in Vault begins or ends with a blank$/],
      ["cron_secret", `${t.CRON_SECRET}\u00a0`, /in Vault (begins or ends|contains a character)/],
      ["cron_secret", `${t.CRON_SECRET}é`, /contains a character outside printable ASCII$/],
      ["cron_secret", `a\tb${t.CRON_SECRET}`, /contains a character outside printable ASCII$/],
      ["cron_secret", `${t.CRON_SECRET}\u007f`, /contains a character outside printable ASCII$/],
      ["cron_secret", `\u{1f511}${t.CRON_SECRET}`, /contains a character outside printable ASCII$/],
      [
        "project_url",
        `${t.PROJECT_URL} `,
        /secret project_url in Vault begins or ends with a blank$/,
      ],
      ["project_url", null, /Vault has no secret named project_url/],
      ["project_url", "", /the secret project_url in Vault must have/],
      ["project_url", "https://a.test\nx", /the secret project_url in Vault contains a line break/],
      ["project_url", "not a url", /project_url in Vault must be the project's URL/],
    ];
    for (const [index, [name, secret, message]] of cases.entries()) {
      const job = `job-${index}`;
      await t.register(sql, job, { max_attempts: 2 });
      const right = name === "cron_secret" ? t.CRON_SECRET : t.PROJECT_URL;
      await t.setSecret(sql, name, secret);
      const id = await t.dispatch(sql, job);
      assert.deepEqual(await t.summary(sql, job), [
        "failed cron 1 misconfigured",
        "queued retry 2",
      ]);
      assert.match((await t.run(sql, id)).error_message, message);
      await t.setSecret(sql, name, right);
    }
    assert.deepEqual(await t.requests(sql), []);
    assert.deepEqual([...await sql`select * from scheduler_locks`], []);

    // Once the secrets are right the retries go out.
    await t.pulse(sql, t.after(30));
    assert.ok((await t.requests(sql)).length >= cases.length);
    for (const secret of [SHORT, BROKEN, t.CRON_SECRET]) {
      assert.deepEqual(
        await tablesWith(admin, secret),
        ["net.http_request_queue"].filter(() => secret === t.CRON_SECRET),
      );
    }
  },
);

t.ledgerTest(
  "a secret that Vault cannot decrypt costs the run, not the receipt of the one before it",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { overlap_policy: "queue", max_attempts: 1 });
    const id = (await t.dispatch(sql, "job"))!;
    await t.dispatch(sql, "job", t.after(1));
    await admin`update vault.secrets set secret = 'AAAA' where name = 'cron_secret'`;
    await t.begin(sql, id, t.NOON);
    assert.deepEqual(await t.finish(sql, id, "completed", t.after(1)), { finished: true });
    assert.deepEqual(await t.summary(sql, "job"), [
      "completed cron 1 ok",
      "failed cron 1 misconfigured",
    ]);
  },
);

t.ledgerTest(
  "only the host of a job's URL reaches the ledger, by every path",
  async ({ sql, admin }) => {
    const secret = "hunter2-and-much-longer-than-that";
    const urls = [
      secret,
      `https://user:${secret}@host.test`,
      `https://host.test/${secret}`,
      `https://host.test?key=${secret}`,
      `ftp://${secret}`,
    ];
    for (const [index, url] of urls.entries()) {
      await t.setSecret(sql, "project_url", url);
      await t.register(sql, `job-${index}`, { schedule: "0 12 * * *", max_attempts: 1 });
      const row = await t.run(sql, await t.dispatch(sql, `job-${index}`));
      assert.equal(row.verdict, "misconfigured", url);
    }
    await t.setSecret(sql, "project_url", t.PROJECT_URL);
    await t.register(sql, "answered", { schedule: "0 12 * * *", max_attempts: 1 });
    const id = (await t.dispatch(sql, "answered"))!;
    const error = `Couldn't connect to https://user:${secret}@host.test:8443/x?key=${secret}`;
    await t.answer(sql, id, { error }, t.after(0.1));
    await t.pulse(sql, t.after(0.2));
    const row = await t.run(sql, id);
    const kept = "Couldn't connect to host.test:8443";
    assert.deepEqual([row.verdict, row.error_message, row.response_error], [
      "unreachable",
      kept,
      kept,
    ]);
    await admin`delete from net._http_response`;
    assert.deepEqual(await tablesWith(admin, secret), []);
  },
);

/** The tables of the database with that text anywhere in a row. */
async function tablesWith(admin: Parameters<typeof t.runs>[0], text: string): Promise<string[]> {
  const tables = await admin.unsafe(`
    select format('%I.%I', schemaname, tablename) as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema')`);
  const found = [];
  const escaped = JSON.stringify(text).slice(1, -1);
  for (const { name } of tables) {
    const [row] = await admin.unsafe(
      `select exists (select from ${name} as r where position($1 in r::text) > 0 or position($2 in r::text) > 0) as found`,
      [text, escaped],
    );
    if (row!.found) found.push(name as string);
  }
  return found.sort();
}
