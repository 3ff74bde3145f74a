import assert from "node:assert/strict";
import { authenticate } from "../../../shared/job/authenticate.ts";
import { readSecrets, serviceKey } from "../../../shared/job/credentials.ts";
import { HttpError } from "../../../shared/job/errors.ts";

const cronSecret = "c".repeat(32);
const previousSecret = "p".repeat(40);
const secretKey = "sb_secret_" + "k".repeat(30);
const otherKey = "sb_secret_" + "o".repeat(30);
const legacyKey = "eyJhbGciOiJIUzI1NiJ9." + "l".repeat(60);

const variables: Record<string, string> = {
  CRON_SECRET: cronSecret,
  CRON_SECRET_PREVIOUS: previousSecret,
  SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey, other: otherKey }),
  SUPABASE_SERVICE_ROLE_KEY: legacyKey,
  SUPABASE_URL: "http://127.0.0.1:54321",
};

function call(
  headers: Record<string, string>,
  changes: Record<string, string | undefined> = {},
  url?: string,
) {
  const all: Record<string, string | undefined> = { ...variables, ...changes };
  const env = (name: string) => all[name];
  const request = new Request(url ?? "http://127.0.0.1:54321/functions/v1/x", {
    method: "POST",
    headers,
  });
  return authenticate(request, readSecrets(env), env);
}

const accepted: [string, Record<string, string>, string][] = [
  ["the cron secret in x-cron-secret", { "x-cron-secret": cronSecret }, "CRON_SECRET"],
  ["the previous cron secret", { "x-cron-secret": previousSecret }, "CRON_SECRET_PREVIOUS"],
  ["the cron secret as bearer", { authorization: `Bearer ${cronSecret}` }, "CRON_SECRET"],
  ["the secret key in apikey", { apikey: secretKey }, "default"],
  ["any named secret key", { apikey: otherKey }, "other"],
  ["the secret key as bearer", { authorization: `bearer ${secretKey}` }, "default"],
  ["the legacy service-role key", { apikey: legacyKey }, "SUPABASE_SERVICE_ROLE_KEY"],
];
for (const [what, headers, credential] of accepted) {
  Deno.test(`authenticate() accepts ${what}`, async () => {
    assert.equal((await call(headers)).credential, credential);
  });
}

const refused: [string, Record<string, string>][] = [
  ["nothing", {}],
  ["x-manual-call alone", { "x-manual-call": "true" }],
  ["a wrong cron secret", { "x-cron-secret": cronSecret.slice(0, -1) + "x" }],
  ["a prefix of the cron secret", { "x-cron-secret": cronSecret.slice(0, -1) }],
  ["an empty cron secret", { "x-cron-secret": "" }],
  ["a secret key in x-cron-secret", { "x-cron-secret": secretKey }],
  ["the cron secret in apikey", { apikey: cronSecret }],
  ["basic authorization", { authorization: `Basic ${btoa(`x:${cronSecret}`)}` }],
  ["a wrong key", { apikey: "sb_secret_wrong" }],
  ["the name of a key", { apikey: "default" }],
  ["an inherited property's name", { apikey: "constructor" }],
];
for (const [what, headers] of refused) {
  Deno.test(`authenticate() refuses ${what} with 401`, async () => {
    await assert.rejects(
      call(headers),
      (error: unknown) => error instanceof HttpError && error.status === 401,
    );
  });
}

Deno.test("authenticate() lets a bare manual call in only on loopback and only where that is allowed", async () => {
  const manual = { "x-manual-call": "true" };
  const allowed = { ALLOW_UNAUTHENTICATED_MANUAL_CALLS: "true" };
  assert.deepEqual(await call(manual, allowed), { credential: "loopback" });
  await assert.rejects(call({}, allowed), HttpError);
  await assert.rejects(call(manual, { ALLOW_UNAUTHENTICATED_MANUAL_CALLS: "1" }), HttpError);
  await assert.rejects(
    call(manual, { ...allowed, SUPABASE_URL: "https://abc.supabase.co" }),
    HttpError,
  );
  await assert.rejects(call(manual, { ...allowed, SUPABASE_URL: "http://kong:8000" }), HttpError);
  // A page that rebinds its own name to 127.0.0.1 still sends its own name.
  await assert.rejects(call(manual, allowed, "http://evil.example/functions/v1/x"), HttpError);
});

Deno.test("readSecrets() refuses to serve without a cron secret of 32 characters", () => {
  const read = (changes: Record<string, string | undefined>) => () => {
    const all: Record<string, string | undefined> = { ...variables, ...changes };
    return readSecrets((name) => all[name]);
  };
  assert.throws(read({ CRON_SECRET: undefined }), /CRON_SECRET is not set/);
  assert.throws(
    read({ CRON_SECRET: "c".repeat(31) }),
    /CRON_SECRET must have at least 32 characters/,
  );
  assert.throws(
    read({ CRON_SECRET_PREVIOUS: "short" }),
    /CRON_SECRET_PREVIOUS must have at least 32/,
  );
});

Deno.test("readSecrets() refuses a secret that no header carries as it is, and does not show it", () => {
  const secret = "a-secret-of-more-than-32-characters";
  const wrong: [value: string, fault: string][] = [
    [`${secret}\n`, "contains a line break"],
    [`${secret}\r\nx-evil: 1`, "contains a line break"],
    [` ${secret}`, "begins or ends with a blank"],
    [`${secret}\t`, "begins or ends with a blank"],
    [`${secret}\u00a0`, "begins or ends with a blank"],
    [" ".repeat(40), "begins or ends with a blank"],
    [`${secret}é`, "contains a character outside printable ASCII"],
    [`a\tb${secret}`, "contains a character outside printable ASCII"],
    [`${secret}\u007f`, "contains a character outside printable ASCII"],
    [`\u{1f511}${secret}`, "contains a character outside printable ASCII"],
  ];
  for (const name of ["CRON_SECRET", "CRON_SECRET_PREVIOUS"]) {
    for (const [value, fault] of wrong) {
      const all: Record<string, string | undefined> = { ...variables, [name]: value };
      assert.throws(
        () => readSecrets((name) => all[name]),
        (error: unknown) =>
          error instanceof HttpError && error.status === 500 && error.code === "misconfigured" &&
          error.message === `Cannot serve: ${name} ${fault}`,
      );
    }
  }
});

Deno.test("authenticate() accepts every printable ASCII character in a secret, blanks within too", async () => {
  const secret = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 33 + i)) + " and more";
  for (const headers of [{ "x-cron-secret": secret }, { authorization: `Bearer ${secret}` }]) {
    assert.equal((await call(headers, { CRON_SECRET: secret })).credential, "CRON_SECRET");
  }
});

Deno.test("readSecrets() names the fault in SUPABASE_SECRET_KEYS and never shows its value", () => {
  for (
    const keys of [
      '{"default": sb_secret_leak}',
      '["sb_secret_leak"]',
      '{"default": 1}',
      '{"default": ""}',
    ]
  ) {
    const all: Record<string, string | undefined> = { ...variables, SUPABASE_SECRET_KEYS: keys };
    assert.throws(
      () => readSecrets((name) => all[name]),
      (error: unknown) =>
        error instanceof HttpError && /SUPABASE_SECRET_KEYS/.test(error.message) &&
        !/leak/.test(error.message),
    );
  }
});

Deno.test("serviceKey() takes the default secret key, then any, then the legacy key", () => {
  const cron = { CRON_SECRET: cronSecret };
  assert.equal(
    serviceKey({ cron, service: { other: "o", default: "d", SUPABASE_SERVICE_ROLE_KEY: "l" } }),
    "d",
  );
  assert.equal(serviceKey({ cron, service: { SUPABASE_SERVICE_ROLE_KEY: "l" } }), "l");
  assert.throws(() => serviceKey({ cron, service: {} }), /SUPABASE_SECRET_KEYS/);
});
