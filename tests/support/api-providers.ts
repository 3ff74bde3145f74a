/** The providers whose keys are watched, as they document their answers: one server that stands for all of them. */
import type { ReceivedRequest, Reply } from "./http-server.ts";

export const providerNames = ["github", "openai", "deepseek", "lovable", "elevenlabs"] as const;
export type ProviderName = typeof providerNames[number];
export type Behaviour = "ok" | "401" | "403" | "429" | "500" | "garbage" | "hang" | "reset";

/** Made-up keys in the form of real ones. */
export const apiKeys: Record<ProviderName, string> = {
  github: "ghp_q7LmZ2vXw9RkT4sYbN8cJ5dHf3gAoe1uPiQz",
  openai: "sk-proj-Vt8Qm2Zx7Lk4Wc9Rn5Yb3Hd6Jg1Fp0Su",
  deepseek: "sk-4f1c9a7e2b8d4063a5e7c1f90b2d8e6a",
  lovable: "lvb_9Xk2Rw7Tq4Mz8Bn5Vc3Hy6Jd1Lp0Gf",
  elevenlabs: "sk_6d2f8b4a1c9e7053d8b6f4a2e0c8917b5d3f",
};

type Answered = Exclude<Reply, string>;

export const json = (
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): Answered => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});
const html = (status: number): Answered => ({
  status,
  headers: { "content-type": "text/html" },
  body: "<!doctype html><html><body>It works!</body></html>",
});
const openaiError = (status: number, code: string | null, message: string, headers = {}) =>
  json(status, { error: { message, type: "invalid_request_error", param: null, code } }, headers);
const elevenlabsError = (
  status: number,
  type: string,
  code: string,
  message: string,
  headers = {},
) =>
  json(status, { detail: { type, code, message, status: code, request_id: "3c807fc4" } }, headers);

/** Seconds since the epoch: the limit's next hour, of a clock that stands at noon on 2026-03-02. */
export const githubReset = Date.UTC(2026, 2, 2, 12, 38) / 1000;
export const githubLimits = {
  "x-ratelimit-limit": "5000",
  "x-ratelimit-remaining": "4212",
  "x-ratelimit-used": "788",
  "x-ratelimit-reset": String(githubReset),
  "x-ratelimit-resource": "core",
};

/** Where the call goes, which header has the key, and what is answered. */
export const apis: Record<ProviderName, {
  base: string;
  path: string;
  header: string;
  scheme: string;
  answers: Record<Exclude<Behaviour, "hang" | "reset">, Answered>;
}> = {
  github: {
    base: "/github",
    path: "/rate_limit",
    header: "authorization",
    scheme: "Bearer ",
    answers: {
      ok: json(200, {
        resources: {
          core: { limit: 5000, used: 788, remaining: 4212, reset: githubReset },
          search: { limit: 30, used: 0, remaining: 30, reset: githubReset },
        },
        rate: { limit: 5000, used: 788, remaining: 4212, reset: githubReset },
      }, { ...githubLimits, "github-authentication-token-expiration": "2026-12-01 10:00:00 UTC" }),
      401: json(401, {
        message: "Bad credentials",
        documentation_url: "https://docs.github.com/rest",
        status: "401",
      }),
      403: json(403, {
        message: "Sorry. Your account was suspended",
        documentation_url: "https://docs.github.com/github/site-policy",
      }, githubLimits),
      429: json(429, {
        message: "You have exceeded a secondary rate limit. Please wait a few minutes.",
        documentation_url: "https://docs.github.com/rest",
      }, { "retry-after": "90" }),
      500: json(500, { message: "Server Error" }),
      garbage: html(200),
    },
  },
  openai: {
    base: "/openai/v1",
    path: "/models",
    header: "authorization",
    scheme: "Bearer ",
    answers: {
      ok: json(200, {
        object: "list",
        data: [{ id: "gpt-4o", object: "model", created: 1715367049, owned_by: "system" }],
      }),
      401: openaiError(
        401,
        "invalid_api_key",
        `Incorrect API key provided: ${
          apiKeys.openai.slice(0, 8)
        }****************************p0Su. You can find your API key at https://platform.openai.com/account/api-keys.`,
      ),
      403: json(403, {
        error: {
          code: "unsupported_country_region_territory",
          message: "Country, region, or territory not supported",
          param: null,
          type: "request_forbidden",
        },
      }),
      429: openaiError(429, "rate_limit_exceeded", "Rate limit reached for requests", {
        "retry-after": "90",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
      }),
      500: openaiError(500, null, "The server had an error while processing your request"),
      garbage: json(200, { object: "list" }),
    },
  },
  deepseek: {
    base: "/deepseek",
    path: "/user/balance",
    header: "authorization",
    scheme: "Bearer ",
    answers: {
      ok: json(200, {
        is_available: true,
        balance_infos: [
          {
            currency: "USD",
            total_balance: "11.00",
            granted_balance: "1.00",
            topped_up_balance: "10.00",
          },
        ],
      }),
      401: json(401, {
        error: {
          message: "Authentication Fails, Your api key: ****8e6a is invalid",
          type: "authentication_error",
          param: null,
          code: "invalid_request_error",
        },
      }),
      403: html(403),
      429: json(429, { error: { message: "Rate limit reached", type: "rate_limit_error" } }, {
        "retry-after": "90",
      }),
      500: html(500),
      garbage: json(200, ["is_available"]),
    },
  },
  lovable: {
    base: "/lovable/v1",
    path: "/models",
    header: "authorization",
    scheme: "Bearer ",
    answers: {
      ok: json(200, { object: "list", data: [{ id: "google/gemini-3.7-flash" }] }),
      401: json(401, { type: "unauthorized", message: "", details: "" }),
      403: json(403, { type: "forbidden", message: "Forbidden" }),
      429: json(429, { type: "rate_limited", message: "Too many requests" }, {
        "retry-after": "90",
      }),
      500: json(500, { type: "internal_error", message: "Internal server error" }),
      garbage: { status: 200, body: '{"data": [' },
    },
  },
  elevenlabs: {
    base: "/elevenlabs",
    path: "/v1/user/subscription",
    header: "xi-api-key",
    scheme: "",
    answers: {
      ok: json(200, {
        tier: "creator",
        character_count: 17231,
        character_limit: 100000,
        can_extend_character_limit: true,
        allowed_to_extend_character_limit: false,
        next_character_count_reset_unix: Date.UTC(2026, 2, 20) / 1000,
        status: "active",
      }),
      401: elevenlabsError(401, "authentication_error", "invalid_api_key", "Invalid API key"),
      403: elevenlabsError(403, "authorization_error", "forbidden", "Access denied"),
      429: elevenlabsError(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "Too many requests",
        { "retry-after": "90" },
      ),
      500: elevenlabsError(500, "internal_error", "internal_error", "Something went wrong"),
      garbage: json(200, { detail: "ok" }),
    },
  },
};

/** The environment with every key, and the providers' base URLs at that server. */
export function providersEnv(url: string): Record<string, string> {
  return {
    GITHUB_TOKEN: apiKeys.github,
    ...Object.fromEntries(
      providerNames.slice(1).map((name) => [`${name.toUpperCase()}_API_KEY`, apiKeys[name]]),
    ),
    ...Object.fromEntries(
      providerNames.map((name) => [`${name.toUpperCase()}_API_URL`, url + apis[name].base]),
    ),
  };
}

/** Which provider a request is for. */
export function providerOf({ url }: Pick<ReceivedRequest, "url">): ProviderName {
  const name = providerNames.find((name) => url === apis[name].base + apis[name].path);
  if (name === undefined) throw new Error(`No provider documents ${url}`);
  return name;
}

/** How a provider is to behave, or what it is to answer. */
export type Behave = (name: ProviderName) => Behaviour | Reply | Promise<Behaviour | Reply>;

/** Answers as each provider is to behave; a key that is not the right one is refused as an invalid one. */
export function answerAs(
  behave: Behave,
): (request: ReceivedRequest) => Promise<Reply> {
  return async (request) => {
    const name = providerOf(request);
    const { header, scheme, answers } = apis[name];
    const behaviour = await behave(name);
    if (request.method !== "GET" || request.headers[header] !== scheme + apiKeys[name]) {
      return answers["401"];
    }
    if (typeof behaviour !== "string" || behaviour === "hang" || behaviour === "reset") {
      return behaviour;
    }
    return answers[behaviour];
  };
}
