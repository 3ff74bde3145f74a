import assert from "node:assert/strict";
import {
  checkKey,
  type KeyCheck,
} from "../../../supabase/functions/api-key-health-monitor/check-key.ts";
import { providers } from "../../../supabase/functions/api-key-health-monitor/providers.ts";
import {
  answerAs,
  apiKeys,
  apis,
  type Behaviour,
  githubLimits,
  githubReset,
  json,
  type ProviderName,
  providerNames,
  providersEnv,
} from "../../support/api-providers.ts";
import { type HttpServer, type Reply, withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";

const now = new Date("2026-03-02T12:00:00Z");
const in90Seconds = "2026-03-02T12:01:30.000Z";

/** Checks a provider that behaves so. */
async function check(
  name: ProviderName,
  behave: Behaviour | Reply | (() => Behaviour | Reply),
  options: { env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<{ found: KeyCheck; requests: HttpServer["requests"] }> {
  let result: Awaited<ReturnType<typeof check>> | undefined;
  const behaviour = typeof behave === "function" ? behave : () => behave;
  await withHttpServer(answerAs(behaviour), async ({ url, requests }) => {
    const provider = providers.find((provider) => provider.name === name)!;
    const context = jobContext({ env: { ...providersEnv(url), ...options.env }, now });
    const found = await checkKey(provider, options.timeoutMs ?? 5_000, context);
    const key = context.env(provider.keyEnv) ?? apiKeys[name];
    assertNotShown(found, key);
    result = { found, requests };
  });
  return result!;
}

/** Nothing of the key is in what was found but its last four characters. */
function assertNotShown({ key_last_four, ...found }: KeyCheck, key: string): void {
  const text = JSON.stringify(found);
  for (let i = 0; i + 5 <= key.length; i++) {
    const part = key.slice(i, i + 5);
    assert.ok(!text.includes(part), `${part} of the key is in ${text}`);
  }
  assert.ok((key_last_four ?? "").length <= 4);
}

/** status, http_status, error_message, and how many calls it took. */
type Expected = [KeyCheck["status"], number | null, string | null, number];

const table: Record<ProviderName, Record<Behaviour, Expected>> = {
  github: {
    ok: ["valid", 200, null, 1],
    401: ["invalid", 401, "Bad credentials", 1],
    403: ["invalid", 403, "Sorry. Your account was suspended", 1],
    429: [
      "rate_limited",
      429,
      "You have exceeded a secondary rate limit. Please wait a few minutes.",
      1,
    ],
    500: ["unreachable", 500, "Server Error", 2],
    garbage: ["unreachable", 200, "HTTP 200, but the answer is not what GitHub documents", 1],
    hang: ["unreachable", null, "no answer within 0.15 s", 1],
    reset: ["unreachable", null, "no answer: Connection reset by peer (os error 104)", 2],
  },
  openai: {
    ok: ["valid", 200, null, 1],
    401: [
      "invalid",
      401,
      "invalid_api_key: Incorrect API key provided: [redacted] You can find your API key at https://platform.openai.com/account/api-keys.",
      1,
    ],
    403: [
      "unreachable",
      403,
      "unsupported_country_region_territory: Country, region, or territory not supported",
      1,
    ],
    429: ["rate_limited", 429, "rate_limit_exceeded: Rate limit reached for requests", 1],
    500: [
      "unreachable",
      500,
      "invalid_request_error: The server had an error while processing your request",
      2,
    ],
    garbage: ["unreachable", 200, "HTTP 200, but the answer is not what OpenAI documents", 1],
    hang: ["unreachable", null, "no answer within 0.15 s", 1],
    reset: ["unreachable", null, "no answer: Connection reset by peer (os error 104)", 2],
  },
  deepseek: {
    ok: ["valid", 200, null, 1],
    401: [
      "invalid",
      401,
      "invalid_request_error: Authentication Fails, Your api key: [redacted] is invalid",
      1,
    ],
    403: ["invalid", 403, "HTTP 403", 1],
    429: ["rate_limited", 429, "rate_limit_error: Rate limit reached", 1],
    500: ["unreachable", 500, "HTTP 500", 2],
    garbage: ["unreachable", 200, "HTTP 200, but the answer is not what DeepSeek documents", 1],
    hang: ["unreachable", null, "no answer within 0.15 s", 1],
    reset: ["unreachable", null, "no answer: Connection reset by peer (os error 104)", 2],
  },
  lovable: {
    ok: ["valid", 200, null, 1],
    401: ["invalid", 401, "unauthorized", 1],
    403: ["invalid", 403, "forbidden: Forbidden", 1],
    429: ["rate_limited", 429, "rate_limited: Too many requests", 1],
    500: ["unreachable", 500, "internal_error: Internal server error", 2],
    garbage: ["unreachable", 200, "HTTP 200, but the answer is not what Lovable documents", 1],
    hang: ["unreachable", null, "no answer within 0.15 s", 1],
    reset: ["unreachable", null, "no answer: Connection reset by peer (os error 104)", 2],
  },
  elevenlabs: {
    ok: ["valid", 200, null, 1],
    401: ["invalid", 401, "invalid_api_key: Invalid API key", 1],
    403: ["invalid", 403, "forbidden: Access denied", 1],
    429: ["rate_limited", 429, "rate_limit_exceeded: Too many requests", 1],
    500: ["unreachable", 500, "internal_error: Something went wrong", 2],
    garbage: ["unreachable", 200, "HTTP 200, but the answer is not what ElevenLabs documents", 1],
    hang: ["unreachable", null, "no answer within 0.15 s", 1],
    reset: ["unreachable", null, "no answer: Connection reset by peer (os error 104)", 2],
  },
};

for (const name of providerNames) {
  for (const [behaviour, expected] of Object.entries(table[name]) as [Behaviour, Expected][]) {
    Deno.test(`${name} answering ${behaviour}: the key is ${expected[0]}`, async () => {
      const timeoutMs = behaviour === "hang" ? 150 : 5_000;
      const { found, requests } = await check(name, behaviour, { timeoutMs });
      const { status, http_status, error_message, key_last_four } = found;
      assert.deepEqual([status, http_status, error_message, requests.length], expected);
      assert.equal(key_last_four, apiKeys[name].slice(-4));
      assert.equal(found.latency_ms !== null, http_status !== null, "latency is that of an answer");
      if (behaviour === "429") assert.equal(found.rate_limit_resets_at, in90Seconds);
    });
  }
}

Deno.test("limits and expiry are read from where each provider tells them", async () => {
  const limits = (found: KeyCheck) => [
    found.expires_at,
    found.rate_limit,
    found.rate_limit_remaining,
    found.rate_limit_resets_at,
  ];
  const reset = new Date(githubReset * 1000).toISOString();
  const github = ["2026-12-01T10:00:00.000Z", 5000, 4212, reset];
  assert.deepEqual(limits((await check("github", "ok")).found), github);
  assert.deepEqual(limits((await check("elevenlabs", "ok")).found), [
    null,
    100000,
    82769,
    "2026-03-20T00:00:00.000Z",
  ]);
  for (const name of ["openai", "deepseek", "lovable"] as const) {
    assert.deepEqual(limits((await check(name, "ok")).found), [null, null, null, null], name);
  }
  const models = apis.openai.answers.ok;
  const told = {
    ...models,
    headers: {
      ...models.headers,
      "x-ratelimit-limit-requests": "60",
      "x-ratelimit-remaining-requests": "59",
      "x-ratelimit-reset-requests": "6m0s",
    },
  };
  const { found } = await check("openai", told);
  assert.deepEqual(limits(found), [null, 60, 59, "2026-03-02T12:06:00.000Z"]);
});

const otherMeanings: [string, ProviderName, Reply, KeyCheck["status"], RegExp | null][] = [
  [
    "GitHub's primary limit is a 403 with nothing left",
    "github",
    json(403, { message: "Too much for user ID 1." }, {
      ...githubLimits,
      "x-ratelimit-remaining": "0",
    }),
    "rate_limited",
    /^Too much/,
  ],
  [
    "GitHub's secondary limit is a 403 with Retry-After",
    "github",
    json(403, { message: "Please wait." }, { "retry-after": "60" }),
    "rate_limited",
    /wait/,
  ],
  [
    "a secondary limit of GitHub may come without Retry-After",
    "github",
    json(403, { message: "You have exceeded a secondary rate limit." }, githubLimits),
    "rate_limited",
    /secondary/,
  ],
  [
    "GitHub refuses good tokens too after many bad ones",
    "github",
    json(403, { message: "Maximum number of login attempts exceeded. Please try again later." }),
    "rate_limited",
    /login attempts/,
  ],
  [
    "a GitHub token with nothing left is limited, though the call itself is answered",
    "github",
    {
      ...apis.github.answers.ok,
      headers: { ...githubLimits, "x-ratelimit-remaining": "0" },
    },
    "rate_limited",
    /^nothing is left of the limit$/,
  ],
  [
    "an expiry in a form that GitHub never used is said to be unreadable",
    "github",
    {
      ...apis.github.answers.ok,
      headers: { ...githubLimits, "github-authentication-token-expiration": "soon" },
    },
    "valid",
    /^cannot read when it expires$/,
  ],
  [
    "a GitHub Enterprise Server without rate limits knows its token, and says so with 404",
    "github",
    json(404, { message: "Rate limiting is not enabled." }),
    "valid",
    null,
  ],
  [
    "a GitHub Enterprise Server of long ago said it otherwise",
    "github",
    json(404, { message: "No rate limit for white listed users" }),
    "valid",
    null,
  ],
  [
    "another 404 says that GitHub is not there",
    "github",
    json(404, { message: "Not Found" }),
    "unreachable",
    /^Not Found$/,
  ],
  ...[401, 403].map((status): typeof otherMeanings[number] => [
    `a restricted key of OpenAI that may not list models (${status}) lives`,
    "openai",
    json(status, {
      error: {
        message:
          "You have insufficient permissions for this operation. Missing scopes: api.model.read.",
        type: "invalid_request_error",
        param: null,
        code: null,
      },
    }),
    "valid",
    /Missing scopes: api\.model\.read/,
  ]),
  [
    "OpenAI's used-up quota is a 429 without Retry-After",
    "openai",
    json(429, {
      error: {
        message: "You exceeded your current quota, please check your plan and billing details.",
        type: "insufficient_quota",
        param: null,
        code: "insufficient_quota",
      },
    }),
    "rate_limited",
    /^insufficient_quota: /,
  ],
  [
    "DeepSeek knows the key of an account without balance",
    "deepseek",
    json(200, { is_available: false, balance_infos: [] }),
    "rate_limited",
    /^insufficient balance/,
  ],
  [
    "DeepSeek answers 402 without balance",
    "deepseek",
    json(402, { error: { message: "Insufficient Balance", type: "unknown_error" } }),
    "rate_limited",
    /Insufficient Balance/,
  ],
  [
    "Lovable answers 402 without credits",
    "lovable",
    json(402, { type: "payment_required", message: "Not enough credits" }),
    "rate_limited",
    /^payment_required: /,
  ],
  [
    "a key of ElevenLabs without user_read lives, as it is answered",
    "elevenlabs",
    json(401, {
      detail: {
        type: "authentication_error",
        code: "unauthorized",
        message:
          "The API key you used is missing the permission user_read to execute this operation.",
        status: "missing_permissions",
      },
    }),
    "valid",
    /^missing_permissions: .*user_read/,
  ],
  [
    "a key of ElevenLabs without user_read lives, as it is documented",
    "elevenlabs",
    json(403, {
      detail: { type: "authorization_error", code: "insufficient_permissions", message: "No." },
    }),
    "valid",
    /^insufficient_permissions/,
  ],
  [
    "ElevenLabs' used-up quota is a 401",
    "elevenlabs",
    json(401, { detail: { status: "quota_exceeded", message: "You have insufficient quota." } }),
    "rate_limited",
    /^quota_exceeded/,
  ],
  [
    "ElevenLabs' characters can be used up",
    "elevenlabs",
    json(200, {
      tier: "free",
      character_count: 10200,
      character_limit: 10000,
      next_character_count_reset_unix: Date.UTC(2026, 2, 20) / 1000,
    }),
    "rate_limited",
    /^nothing is left/,
  ],
  [
    "an account of ElevenLabs that may go beyond its characters has no such limit",
    "elevenlabs",
    json(200, {
      tier: "creator",
      character_count: 10200,
      character_limit: 10000,
      next_character_count_reset_unix: Date.UTC(2026, 2, 20) / 1000,
      can_extend_character_limit: true,
      allowed_to_extend_character_limit: true,
    }),
    "valid",
    null,
  ],
  [
    "a key that is quoted, whole or in part, is taken out of the message",
    "github",
    json(401, {
      message: `No token ${apiKeys.github} (begins with ${apiKeys.github.slice(0, 9)}, "${
        apiKeys.github.slice(10, 16)
      }")`,
    }),
    "invalid",
    /^No token \[redacted\] \(begins with \[redacted\] \[redacted\]$/,
  ],
  [
    "another status says nothing about a key",
    "openai",
    json(404, {}),
    "unreachable",
    /^HTTP 404$/,
  ],
  [
    "a body without end is not read to its end",
    "lovable",
    json(200, { data: [], more: "x".repeat(1_100_000) }),
    "unreachable",
    /not what Lovable documents/,
  ],
];

for (const [behaviour, name, answer, status, message] of otherMeanings) {
  Deno.test(behaviour, async () => {
    const { found, requests } = await check(name, answer);
    assert.equal(found.status, status, JSON.stringify(found));
    if (message === null) assert.equal(found.error_message, null);
    else assert.match(found.error_message ?? "", message);
    assert.equal(requests.length, 1);
  });
}

Deno.test("a 5xx or a broken connection is retried once, at once", async () => {
  for (const first of ["500", "reset"] as const) {
    let calls = 0;
    const { found, requests } = await check(
      "openai",
      () => ++calls === 1 ? first : "ok",
    );
    assert.deepEqual([found.status, found.error_message, requests.length], ["valid", null, 2]);
  }
});

Deno.test("a redirect is not followed, so that the key is not sent elsewhere", async () => {
  await withHttpServer(() => json(200, { data: [] }), async (elsewhere) => {
    for (const name of providerNames) {
      const location = `${elsewhere.url}${apis[name].base}${apis[name].path}`;
      const { found } = await check(name, json(302, {}, { location }));
      assert.deepEqual([found.status, found.http_status], ["unreachable", 302]);
      assert.equal(found.error_message, "HTTP 302: redirected elsewhere");
    }
    assert.deepEqual(elsewhere.requests, []);
  });
});

Deno.test("an answer that breaks off in the middle ends at the timeout like one that never comes", async () => {
  // A length that the body never reaches.
  const answer = json(200, { data: [] }, { "content-length": "1000" });
  const { found } = await check("openai", answer, { timeoutMs: 300 });
  assert.equal(found.status, "unreachable");
  assert.match(found.error_message ?? "", /^no answer/);
});

const unsendable: [string, string, string | null][] = [
  [`${apiKeys.openai}\n`, "OPENAI_API_KEY has a line break in it", "p0Su"],
  [`${apiKeys.openai}\r\nx-admin: 1`, "OPENAI_API_KEY has a line break in it", null],
  [` ${apiKeys.openai}`, "OPENAI_API_KEY has blanks around it", "p0Su"],
  ["   ", "OPENAI_API_KEY has blanks around it", null],
  ["sk-proj…copied", "OPENAI_API_KEY has characters that no key has", null],
];
for (const [key, error_message, lastFour] of unsendable) {
  Deno.test(`a key that cannot be sent is invalid without a call: ${JSON.stringify(key.slice(-12))}`, async () => {
    const { found, requests } = await check("openai", "ok", { env: { OPENAI_API_KEY: key } });
    assert.equal(found.status, "invalid");
    assert.equal(found.error_message, error_message);
    assert.equal(found.key_last_four, lastFour);
    assert.equal(requests.length, 0);
  });
}

Deno.test("a key of fewer than eight characters does not show its last four", async () => {
  const { found, requests } = await check("openai", "ok", { env: { OPENAI_API_KEY: "abc4567" } });
  assert.deepEqual([found.status, found.key_last_four, requests.length], ["invalid", null, 1]);
});

Deno.test("without a key there is no call", async () => {
  const { found, requests } = await check("openai", "ok", { env: { OPENAI_API_KEY: "" } });
  assert.deepEqual([found.status, found.key_last_four, requests.length], [
    "not_configured",
    null,
    0,
  ]);
});

Deno.test("a malformed base URL is named, and nothing is called", async () => {
  for (const url of ["api.openai.com", "ftp://api.openai.com"]) {
    const { found, requests } = await check("openai", "ok", { env: { OPENAI_API_URL: url } });
    assert.deepEqual([found.status, found.error_message, requests.length], [
      "unreachable",
      "OPENAI_API_URL is no http(s) URL",
      0,
    ]);
  }
});

Deno.test("a base URL may have any form of a URL and end in a slash", async () => {
  await withHttpServer(answerAs(() => "ok"), async ({ url, requests }) => {
    const env = { ...providersEnv(url), OPENAI_API_URL: ` ${url.toUpperCase()}/x/../openai/v1/ ` };
    const provider = providers.find(({ name }) => name === "openai")!;
    const found = await checkKey(provider, 5_000, jobContext({ env, now }));
    assert.equal(found.status, "valid");
    assert.deepEqual(requests.map((request) => request.url), ["/openai/v1/models"]);
  });
});

Deno.test("a run that is over ends the check", async () => {
  const stop = new AbortController();
  await withHttpServer(() => (stop.abort(new Error("cancelled")), "hang"), async ({ url }) => {
    const context = jobContext({ env: providersEnv(url), signal: stop.signal });
    await assert.rejects(checkKey(providers[0]!, 5_000, context), /cancelled/);
  });
});

Deno.test("the real base URLs are those of the providers", () => {
  assert.deepEqual(providers.map(({ url, path }) => url + path), [
    "https://api.github.com/rate_limit",
    "https://api.openai.com/v1/models",
    "https://api.deepseek.com/user/balance",
    "https://ai.gateway.lovable.dev/v1/models",
    "https://api.elevenlabs.io/v1/user/subscription",
  ]);
});
