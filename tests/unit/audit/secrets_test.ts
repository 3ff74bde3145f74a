import assert from "node:assert/strict";
import { legacyRole, secretsIn } from "../../../cli/audit/secrets.ts";
import { report } from "../../../cli/audit/report.ts";
import { sarifOf } from "../../../cli/audit/sarif.ts";
import { auditOf, brief, databaseFacts, of, post, runOf, sqlEntry } from "../../support/audit.ts";

/** Made of parts, so that no scanner takes this file for a leak. */
const base64 = (value: object) => btoa(JSON.stringify(value)).replaceAll("=", "");
const jwt = (role: string, iss = "supabase") =>
  [base64({ alg: "HS256", typ: "JWT" }), base64({ iss, ref: "abcdefghij", role }), "s".repeat(43)]
    .join(".");
const secretKey = ["sb", "secret", "abcdefghijklmnop0123456789"].join("_");

const calling = (header: string) =>
  post("nightly", `, headers := ${header}, timeout_milliseconds := 60000`);
const withHeader = (value: string) =>
  calling(`'{"Content-Type": "application/json", "Authorization": "Bearer ${value}"}'::jsonb`);

Deno.test("a secret in a command is found", () => {
  for (
    const [what, command] of [
      ["the key of the service role", withHeader(jwt("service_role"))],
      ["a secret key", calling(`jsonb_build_object('apikey', '${secretKey}')`)],
      [
        "a header of a name that tells it",
        calling(`'{"x-cron-secret": "correct-horse-battery-1"}'`),
      ],
      ["a password in a URL", "select dblink_exec('postgres://me:hunter2secret@db/x', 'select 1')"],
    ] as const
  ) {
    const [found, ...more] = of("secret-in-command", [sqlEntry("nightly", "0 3 * * *", command)]);
    assert.equal(found?.certainty, "proven", what);
    assert.equal(more.length, 0, what);
  }
});

Deno.test("a secret that comes from Vault, a placeholder and the public key are none", () => {
  for (
    const [what, command] of [
      [
        "from Vault",
        calling(
          "jsonb_build_object('Authorization', 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets where name = 'service_role_key'))",
        ),
      ],
      ["a placeholder", withHeader("YOUR_SERVICE_ROLE_KEY")],
      ["a placeholder in brackets", withHeader("<your-service-role-key>")],
      ["the public key", withHeader(jwt("anon"))],
    ] as const
  ) {
    assert.deepEqual(
      of("secret-in-command", [sqlEntry("nightly", "0 3 * * *", command)]),
      [],
      what,
    );
  }
});

Deno.test("no secret is printed, whatever shows a text that holds it", () => {
  const key = jwt("service_role");
  const password = "correct-horse-battery-1";
  const entry = sqlEntry("nightly", "0 3 * * *", withHeader(key));
  const named = { ...entry, name: `nightly ${secretKey}` };
  const other = sqlEntry("other", "0 3 * * *", calling(`'{"x-cron-secret": "${password}"}'`));
  const result = auditOf([named, other], {
    unknown: [`it said ${key}`],
    database: databaseFacts({
      settings: [{ name: "app.settings.cron_secret", value: password, of: "database postgres" }],
      runs: [
        runOf("other", "2026-01-15T03:00:00Z", {
          status: "failed",
          message: `ERROR: bad ${password}`,
        }),
      ],
    }),
  });
  assert.ok(result.findings.length >= 4);
  for (
    const text of [
      report(result, "x", false),
      JSON.stringify(sarifOf(result, "1.0.0")),
      JSON.stringify(result.findings),
    ]
  ) {
    for (const secret of [key, secretKey, password]) assert.ok(!text.includes(secret), text);
  }
  assert.match(report(result, "x", false), /ERROR: bad \[masked-\d+\]/);
});

Deno.test("a secret in a setting is proven where the setting can be read, else a command that reads it makes it likely", () => {
  const reads = sqlEntry(
    "nightly",
    "0 3 * * *",
    calling(
      "jsonb_build_object('Authorization', 'Bearer ' || current_setting('app.settings.service_role_key'))",
    ),
  );
  assert.deepEqual(of("secret-in-settings", [reads]).map(brief), [
    "secret-in-settings, likely: nightly",
  ]);
  const table = sqlEntry(
    "table",
    "0 3 * * *",
    calling("jsonb_build_object('x-key', (select value from app_settings where key = 'cron'))"),
  );
  assert.deepEqual(of("secret-in-settings", [table]).map(brief), [
    "secret-in-settings, likely: table",
  ]);
  const [stored] = of("secret-in-settings", [reads], {
    database: databaseFacts({
      settings: [{
        name: "app.settings.service_role_key",
        value: secretKey,
        of: "database postgres",
      }],
    }),
  });
  assert.equal(stored!.certainty, "proven");
  assert.equal(
    stored!.evidence[0],
    "app.settings.service_role_key of database postgres has a value that is shaped like a secret",
  );
});

Deno.test("a setting without a secret, and a command that reads one, are none", () => {
  const reads = sqlEntry(
    "nightly",
    "0 3 * * *",
    "select f(current_setting('app.settings.base_url'))",
  );
  const settings = [{
    name: "app.settings.base_url",
    value: "https://abc.supabase.co",
    of: "database postgres",
  }];
  assert.deepEqual(
    of("secret-in-settings", [reads], { database: databaseFacts({ settings }) }),
    [],
  );
});

Deno.test("legacy keys are named by their role; tokens of others and new keys are none", () => {
  for (const role of ["anon", "service_role"]) {
    const [found] = of("legacy-key", [sqlEntry("nightly", "0 3 * * *", withHeader(jwt(role)))]);
    assert.deepEqual(found!.evidence, [`cron.job nightly: the key of ${role}`]);
  }
  for (const value of [jwt("service_role", "https://issuer.example"), jwt("admin"), secretKey]) {
    assert.deepEqual(of("legacy-key", [sqlEntry("nightly", "0 3 * * *", withHeader(value))]), []);
  }
  assert.equal(legacyRole("eyJ.not-base64!.x"), undefined);
});

Deno.test("secretsIn() finds each secret of a text once", () => {
  assert.deepEqual(secretsIn(`a '${secretKey}' b "${secretKey}"`), [secretKey]);
  assert.deepEqual(secretsIn("select 1 -- (a+b)* [c]"), []);
});
