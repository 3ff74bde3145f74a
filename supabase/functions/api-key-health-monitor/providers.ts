/**
 * The providers whose keys are watched. The entry of a provider holds everything that is specific to it. Its call is
 * the cheapest documented one that needs the key; none of these calls costs anything.
 */
import { z } from "zod";
import type { Answer, Limits, Verdict } from "./answer.ts";
import { describeError } from "./provider-error.ts";
import {
  readCount,
  readDuration,
  readEpoch,
  readExpiration,
  readRetryAfterTime,
} from "./read-headers.ts";

export interface Provider {
  /** `provider` in `api_key_health`. */
  name: string;
  /** The provider's name for people. */
  label: string;
  /** The environment variable with the key. */
  keyEnv: string;
  /** The environment variable with the base URL, in the form that the provider documents, and its default. */
  urlEnv: string;
  url: string;
  /** The path of the call (a GET), appended to the base URL. */
  path: string;
  headers(key: string): Record<string, string>;
  /** The shape of a 2xx body. A body of any other shape tells nothing about the key. */
  body: z.ZodType;
  limits?(answer: Answer): Limits;
  /** When the key expires; `undefined` when it does not, or when the answer does not tell. */
  expiration?(headers: Headers): { at: Date | undefined } | undefined;
  /** The answers of this provider that differ in meaning from the default (see `judge`). */
  judge?(answer: Answer): Verdict | undefined;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const modelList = z.object({ data: z.array(z.object({ id: z.string() })) });
const subscription = z.object({
  tier: z.string(),
  character_count: z.int().min(0),
  character_limit: z.int().min(0),
  next_character_count_reset_unix: z.int().min(0).nullish(),
  can_extend_character_limit: z.boolean().nullish(),
  allowed_to_extend_character_limit: z.boolean().nullish(),
});

const github: Provider = {
  name: "github",
  label: "GitHub",
  keyEnv: "GITHUB_TOKEN",
  urlEnv: "GITHUB_API_URL",
  // GitHub Actions sets this variable too. The URL of an Enterprise Server ends in /api/v3.
  url: "https://api.github.com",
  // "Accessing this endpoint does not count against your REST API rate limit."
  // docs.github.com/rest/rate-limit
  path: "/rate_limit",
  headers: (key) => ({
    ...bearer(key),
    accept: "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
  }),
  body: z.object({
    resources: z.object({
      core: z.object({ limit: z.int(), remaining: z.int(), reset: z.int() }),
    }),
  }),
  limits: ({ headers, now }) => ({
    limit: readCount(headers.get("x-ratelimit-limit")),
    remaining: readCount(headers.get("x-ratelimit-remaining")),
    resetsAt: readEpoch(headers.get("x-ratelimit-reset"), now),
  }),
  // GitHub sends this header in every answer to a token that expires.
  // github.blog/changelog/2021-07-26-expiration-options-for-personal-access-tokens
  expiration(headers) {
    const text = headers.get("github-authentication-token-expiration");
    return text === null ? undefined : { at: readExpiration(text) };
  },
  // GitHub answers 403 or 429 at a limit: the primary one with x-ratelimit-remaining 0, a secondary one with its
  // message and sometimes Retry-After. After many failed logins it also refuses valid tokens for a while. Any other
  // 403 (a suspended account, say) is a refusal. docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api,
  // docs.github.com/rest/authentication/authenticating-to-the-rest-api#failed-login-limit
  // A GitHub Enterprise Server without rate limits answers 404 to a valid token and 401 to a wrong one.
  // docs.github.com/enterprise-server/rest/rate-limit
  judge({ status, headers, error }) {
    if (status === 404 && /rate limiting is not enabled|no rate limit/i.test(error.message ?? "")) {
      return { status: "valid" };
    }
    const limited = headers.get("x-ratelimit-remaining") === "0" ||
      headers.has("retry-after") ||
      /rate limit|abuse detection|login attempts exceeded/i.test(
        error.message ?? "",
      );
    return status === 403 && limited
      ? { status: "rate_limited", reason: describeError(error, status) }
      : undefined;
  },
};

const openai: Provider = {
  name: "openai",
  label: "OpenAI",
  keyEnv: "OPENAI_API_KEY",
  urlEnv: "OPENAI_API_URL",
  // The base URL includes /v1, as in OpenAI's own libraries.
  url: "https://api.openai.com/v1",
  // platform.openai.com/docs/api-reference/models/list
  path: "/models",
  headers: bearer,
  body: modelList,
  // platform.openai.com/docs/guides/rate-limits, "Rate limits in headers". Answers of model calls have these headers;
  // the answer of this call may not.
  limits: ({ headers, now }) => ({
    limit: readCount(headers.get("x-ratelimit-limit-requests")),
    remaining: readCount(headers.get("x-ratelimit-remaining-requests")),
    resetsAt: readDuration(headers.get("x-ratelimit-reset-requests"), now),
  }),
  // 401: wrong or revoked key, no member of the organization, or an address that is not allowed. 403: a country that is
  // not supported, which tells nothing about the key. platform.openai.com/docs/guides/error-codes
  // A restricted key that may not list models gets 401 or 403 ("Missing scopes: api.model.read"). The key is valid.
  judge({ status, error }) {
    const reason = describeError(error, status);
    if (status !== 401 && status !== 403) return undefined;
    if (/missing scopes/i.test(error.message ?? "")) {
      return { status: "valid", reason };
    }
    if (error.codes.includes("unsupported_country_region_territory")) {
      return { status: "unreachable", reason };
    }
    return undefined;
  },
};

const deepseek: Provider = {
  name: "deepseek",
  label: "DeepSeek",
  keyEnv: "DEEPSEEK_API_KEY",
  urlEnv: "DEEPSEEK_API_URL",
  // The base URL has no version. api-docs.deepseek.com
  url: "https://api.deepseek.com",
  // api-docs.deepseek.com/api/get-user-balance: free, and tells whether the account has a balance for calls.
  path: "/user/balance",
  headers: bearer,
  body: z.object({ is_available: z.boolean() }),
  // api-docs.deepseek.com/quick_start/error_codes: 401 wrong key, 402 no balance, 429 too fast; no 403. DeepSeek sends
  // no headers about limits. A key of an account without balance is valid, but calls with it get 402.
  judge: ({ status, body }) =>
    status === 200 &&
      (body as { is_available?: unknown } | null)?.is_available === false
      ? {
        status: "rate_limited",
        reason: "insufficient balance: calls would be refused",
      }
      : undefined,
};

const lovable: Provider = {
  name: "lovable",
  label: "Lovable",
  keyEnv: "LOVABLE_API_KEY",
  urlEnv: "LOVABLE_API_URL",
  // The OpenAI-compatible AI gateway. The base URL includes /v1.
  url: "https://ai.gateway.lovable.dev/v1",
  // Lovable documents no call that checks a key. The list of models is the only call of the gateway that costs no
  // credits; Lovable does not document whether it checks the key. Model calls get 401 for a wrong key
  // ({"type": "unauthorized", "message": "", "details": ""}), 402 without credits and 429 when they come too fast.
  path: "/models",
  headers: bearer,
  body: modelList,
};

const elevenlabs: Provider = {
  name: "elevenlabs",
  label: "ElevenLabs",
  keyEnv: "ELEVENLABS_API_KEY",
  urlEnv: "ELEVENLABS_API_URL",
  // The base URL has no /v1, as in ElevenLabs' own libraries.
  url: "https://api.elevenlabs.io",
  // elevenlabs.io/docs/api-reference/user/subscription/get
  path: "/v1/user/subscription",
  headers: (key) => ({ "xi-api-key": key }),
  body: subscription,
  // The limit is the subscription's number of characters. An account that may exceed it has no limit.
  limits({ body, now }) {
    const { data } = subscription.safeParse(body);
    if (
      !data ||
      (data.can_extend_character_limit &&
        data.allowed_to_extend_character_limit)
    ) {
      return {};
    }
    return {
      limit: data.character_limit,
      remaining: Math.max(0, data.character_limit - data.character_count),
      resetsAt: readEpoch(
        String(data.next_character_count_reset_unix ?? ""),
        now,
      ),
    };
  },
  // elevenlabs.io/docs/eleven-api/resources/errors and help.elevenlabs.io, "API - Error Code 400 or 401": a used-up
  // quota gets 401 too. A key without the permission for this call (user_read) is valid; the documented answer is 403
  // insufficient_permissions, the real one 401 missing_permissions.
  judge({ status, error }) {
    if (status !== 401 && status !== 403) return undefined;
    const reason = describeError(error, status);
    const says = (code: string) => error.codes.includes(code);
    if (says("missing_permissions") || says("insufficient_permissions")) {
      return { status: "valid", reason };
    }
    return says("quota_exceeded") ? { status: "rate_limited", reason } : undefined;
  },
};

export const providers: readonly Provider[] = [
  github,
  openai,
  deepseek,
  lovable,
  elevenlabs,
];

/**
 * The status of the key by an answer. A 2xx with the documented body is valid, or rate limited when nothing is left of
 * the limit. 401 and 403 are invalid, 402 and 429 rate limited, all others unreachable. The provider's own `judge`
 * decides first.
 */
export function judge(
  provider: Provider,
  answer: Answer,
  limits: Limits,
): Verdict {
  const own = provider.judge?.(answer);
  if (own !== undefined) return own;
  const { status, error } = answer;
  if (status >= 200 && status < 300) {
    if (!provider.body.safeParse(answer.body).success) {
      return {
        status: "unreachable",
        reason: `HTTP ${status}, but the answer is not what ${provider.label} documents`,
      };
    }
    return limits.remaining === 0 && limits.resetsAt !== undefined &&
        limits.resetsAt > answer.now
      ? { status: "rate_limited", reason: "nothing is left of the limit" }
      : { status: "valid" };
  }
  const reason = describeError(error, status);
  if (status === 401 || status === 403) return { status: "invalid", reason };
  if (status === 402 || status === 429) {
    return { status: "rate_limited", reason };
  }
  // Redirects are not followed: that would send the key to another address.
  if (status >= 300 && status < 400) {
    return {
      status: "unreachable",
      reason: `HTTP ${status}: redirected elsewhere`,
    };
  }
  return { status: "unreachable", reason };
}

/** The limits in an answer. `Retry-After` takes precedence as the time at which calls work again. */
export function readLimits(provider: Provider, answer: Answer): Limits {
  const limits = provider.limits?.(answer) ?? {};
  const retryAfter = readRetryAfterTime(
    answer.headers.get("retry-after"),
    answer.now,
  );
  return retryAfter === undefined ? limits : { ...limits, resetsAt: retryAfter };
}
