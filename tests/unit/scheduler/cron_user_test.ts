import assert from "node:assert/strict";
import { createVerifyUser, type VerifyOptions } from "../../../supabase/functions/cron/user.ts";
import { HttpError } from "../../../shared/job/errors.ts";
import type { Reply } from "../../support/http-server.ts";
import {
  ann,
  claimsOf,
  jwksPath,
  makeSigningKey,
  type SigningKey,
  signLegacy,
  signToken,
  withKeyServer,
} from "../../support/user-tokens.ts";

const now = new Date("2026-03-02T12:00:00Z");
const key = await makeSigningKey("first");
const nextKey = await makeSigningKey("next");
const rsaKey = await makeSigningKey("rsa", "RS256");

interface Verification {
  verify(token: string): Promise<string>;
  /** What is said of a token that is refused. */
  refusal(token: string): Promise<HttpError>;
  claims: Record<string, unknown>;
  /** How often the keys were fetched. */
  fetched(): number;
  setKeys(keys: SigningKey[] | Reply): void;
}

async function withVerification(
  fn: (verification: Verification) => Promise<void>,
  options: VerifyOptions = {},
  variables: (url: string) => Record<string, string> = (url) => ({ SUPABASE_URL: url }),
) {
  let published: SigningKey[] | Reply = [key, rsaKey];
  await withKeyServer(() => published, async ({ url, requests }) => {
    const env = (name: string) => variables(url)[name];
    const verify = createVerifyUser({ env, now: () => now.getTime() }, options);
    await fn({
      verify,
      async refusal(token) {
        const error = await verify(token).then(
          (user) => assert.fail(`it let ${user} in`),
          (error: unknown) => error,
        );
        assert.ok(error instanceof HttpError, String(error));
        return error;
      },
      claims: claimsOf(url, now),
      fetched: () => requests.filter((request) => request.url === jwksPath).length,
      setKeys: (keys) => published = keys,
    });
  });
}

Deno.test("a token of ES256 or RS256 is its user's, and the keys are fetched once", () =>
  withVerification(async ({ verify, claims, fetched }) => {
    for (const signer of [key, rsaKey, key]) {
      assert.equal(await verify(await signToken(signer, claims)), ann);
    }
    assert.equal(fetched(), 1);
  }));

const seconds = (offset: number) => now.getTime() / 1000 + offset;
const wrongClaims: [string, Record<string, unknown>, RegExp][] = [
  ["expired", { exp: seconds(-6) }, /has expired/],
  ["without an end", { exp: undefined }, /claim exp/],
  ["not valid yet", { nbf: seconds(60) }, /claim nbf/],
  ["of another project", { iss: "https://other.supabase.co/auth/v1" }, /its issuer is not http:/],
  ["without an issuer", { iss: undefined }, /its issuer is not http:/],
  ["for another audience", { aud: "shop" }, /claim aud/],
  ["without an audience", { aud: undefined }, /claim aud/],
  ["of the role anon", { role: "anon" }, /role is not authenticated/],
  ["of the role service_role", { role: "service_role" }, /role is not authenticated/],
  ["without a user", { sub: undefined }, /claim sub/],
  ["of a user that is no uuid", { sub: "ann" }, /names no user/],
];
for (const [what, changes, words] of wrongClaims) {
  Deno.test(`a token ${what} is refused, and why`, () =>
    withVerification(async ({ refusal, claims }) => {
      const error = await refusal(await signToken(key, { ...claims, ...changes }));
      assert.deepEqual([error.status, error.code], [401, "unauthorized"]);
      assert.match(error.message, words);
      assert.match(error.headers["www-authenticate"]!, /invalid_token/);
    }));
}

Deno.test("a token that is over for 5 seconds is taken: two clocks differ", () =>
  withVerification(async ({ verify, claims }) => {
    assert.equal(await verify(await signToken(key, { ...claims, exp: seconds(-4) })), ann);
  }));

Deno.test("a token that was given to an OAuth client is 403: the client may not act for its user", () =>
  withVerification(async ({ refusal, claims }) => {
    const error = await refusal(
      await signToken(key, { ...claims, client_id: crypto.randomUUID() }),
    );
    assert.deepEqual([error.status, error.code], [403, "forbidden"]);
    assert.match(error.message, /OAuth client/);
  }));

Deno.test("a token that is not signed, by another's key, or changed, is refused", () =>
  withVerification(async ({ refusal, claims }) => {
    const token = await signToken(key, claims);
    const [head, body, signature] = token.split(".") as [string, string, string];
    const encode = (value: unknown) =>
      btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const unsigned = encode({ alg: "none", typ: "JWT" });
    const impostor = { ...await makeSigningKey("first"), kid: "first" };
    const cases: [string, string, RegExp][] = [
      ["alg none", `${unsigned}.${body}.`, /neither ES256 nor RS256/],
      ["alg none with a signature", `${unsigned}.${body}.${signature}`, /neither ES256 nor RS256/],
      [
        "another alg",
        `${encode({ alg: "ES384", kid: "first" })}.${body}.${signature}`,
        /neither ES256 nor RS256/,
      ],
      ["no signature", `${head}.${body}.`, /signature is wrong|no valid JWT/],
      [
        "another user",
        `${head}.${encode({ ...claims, sub: crypto.randomUUID() })}.${signature}`,
        /signature is wrong/,
      ],
      ["an impostor's key", await signToken(impostor, claims), /signature is wrong/],
      ["an unknown key", await signToken(nextKey, claims), /no key of this project/],
      ["a header that is none", `e30.${body}.${signature}`, /no valid JWT|neither/],
      ["garbage", "a.b.c", /no JWT/],
    ];
    for (const [what, wrong, words] of cases) {
      const error = await refusal(wrong);
      assert.deepEqual([error.status, error.code], [401, "unauthorized"], what);
      assert.match(error.message, words, what);
    }
  }));

Deno.test("of keys with one algorithm a token has to name its own", () =>
  withVerification(async ({ refusal, claims, setKeys }) => {
    setKeys([key, nextKey]);
    const error = await refusal(await signToken(key, claims, { kid: undefined }));
    assert.match(error.message, /no key of this project/);
  }));

Deno.test("a public key as the secret of HS256 lets nobody in", () =>
  withVerification(async ({ refusal, claims }) => {
    for (const secret of [JSON.stringify(key.published), String(key.published.x)]) {
      assert.equal((await refusal(await signLegacy(claims, secret.padEnd(32, "0")))).status, 401);
    }
  }));

Deno.test("a token of the legacy secret is told what to do: where there are keys sign in again, else migrate", () =>
  withVerification(async ({ refusal, claims, setKeys }) => {
    const token = await signLegacy(claims);
    const old = await refusal(token);
    assert.match(old.message, /legacy JWT secret$/);
    assert.match(old.hint!, /^sign in again/);
    setKeys([]);
    const legacy = await refusal(token);
    assert.deepEqual([legacy.status, legacy.code], [401, "unauthorized"]);
    assert.match(legacy.message, /publishes no key/);
    assert.match(legacy.hint!, /migrate to JWT signing keys/);
    setKeys([key]);
    assert.match((await refusal(token)).hint!, /^sign in again/);
  }, { cooldownMs: 0 }));

Deno.test("the legacy anon key is no user's, and nothing is fetched for it", () =>
  withVerification(async ({ refusal, claims, fetched }) => {
    const error = await refusal(await signLegacy({ ...claims, role: "anon" }));
    assert.match(error.message, /it is no user's/);
    assert.equal(fetched(), 0);
  }));

Deno.test("a new key is fetched when a token names it", () =>
  withVerification(async ({ verify, claims, setKeys, fetched }) => {
    await verify(await signToken(key, claims));
    setKeys([nextKey]);
    assert.equal(await verify(await signToken(nextKey, claims)), ann);
    assert.equal(fetched(), 2);
  }, { cooldownMs: 0 }));

Deno.test("a key that was taken back lets nobody in once the keys were fetched again", () =>
  withVerification(async ({ verify, refusal, claims, setKeys }) => {
    await verify(await signToken(key, claims));
    setKeys([nextKey]);
    await verify(await signToken(nextKey, claims));
    assert.match((await refusal(await signToken(key, claims))).message, /no key of this project/);
  }, { cooldownMs: 0 }));

Deno.test("tokens of unknown keys do not make it fetch again and again", () =>
  withVerification(async ({ refusal, claims, fetched }) => {
    for (const kid of Array.from({ length: 20 }, (_, i) => `made-up-${i}`)) {
      await refusal(await signToken({ ...nextKey, kid }, claims));
    }
    for (let i = 0; i < 20; i++) await refusal(await signLegacy(claims));
    assert.equal(fetched(), 1);
  }));

const failures: [string, Reply][] = [
  ["500", { status: 500, body: "{}" }],
  ["404", { status: 404, body: "{}" }],
  ["a page", { status: 200, headers: { "content-type": "text/html" }, body: "<html>" }],
  ["no set of keys", { status: 200, body: '{"keys": 3}' }],
  ["a redirect", { status: 302, headers: { location: "http://127.0.0.1:1/" } }],
  ["a broken connection", "reset"],
];
for (const [what, reply] of failures) {
  Deno.test(`where Supabase Auth answers ${what} for its keys it is 503, and the next token is tried again`, () =>
    withVerification(async ({ verify, refusal, claims, setKeys }) => {
      setKeys(reply);
      for (const token of [await signToken(key, claims), await signLegacy(claims)]) {
        const error = await refusal(token);
        assert.deepEqual([error.status, error.code], [503, "auth_unavailable"]);
        assert.match(error.message, /^Cannot check the token: Supabase Auth gave no keys \(.+\)$/);
      }
      setKeys([key]);
      assert.equal(await verify(await signToken(key, claims)), ann);
    }));
}

Deno.test("AUTH_ISSUER names the issuer of a project behind another address than SUPABASE_URL", () =>
  withVerification(
    async ({ verify, refusal, claims }) => {
      const iss = "https://auth.example.com/auth/v1";
      assert.equal(await verify(await signToken(key, { ...claims, iss })), ann);
      const error = await refusal(await signToken(key, claims));
      assert.match(error.message, /its issuer is not https:\/\/auth\.example\.com\/auth\/v1$/);
      assert.match(error.hint!, /AUTH_ISSUER/);
    },
    {},
    (url) => ({ SUPABASE_URL: `${url}/`, AUTH_ISSUER: "https://auth.example.com/auth/v1" }),
  ));
