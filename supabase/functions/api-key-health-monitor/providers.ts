/**
 * The providers whose keys are watched: one entry each, and all that differs between them is in it. Each is asked by
 * the cheapest call it documents that needs the key; none of them costs anything.
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
  /** Its name for people. */
  label: string;
  /** The environment variable with the key. */
  keyEnv: string;
  /** The environment variable with the base URL, in the form that the provider documents; and what it is by default. */
  urlEnv: string;
  url: string;
  /** The call, a GET, appended to the base URL. */
  path: string;
  headers(key: string): Record<string, string>;
  /** What the body of a 2xx must look like; anything else says nothing about the key. */
  body: z.ZodType;
  limits?(answer: Answer): Limits;
  /** When the key expires: `undefined` when it does not, or the provider does not say. */
  expiration?(headers: Headers): { at: Date | undefined } | undefined;
  /** Answers that mean something else here than by default (see `judge`). */
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
  // As GitHub Actions sets it; an Enterprise server's ends in /api/v3.
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
  // In every answer to a token that expires.
  // github.blog/changelog/2021-07-26-expiration-options-for-personal-access-tokens
  expiration(headers) {
    const text = headers.get("github-authentication-token-expiration");
    return text === null ? undefined : { at: readExpiration(text) };
  },
  // A limit is answered with 403 or 429: the primary one with x-ratelimit-remaining 0, a secondary one with its
  // message and maybe Retry-After. After many failed logins GitHub refuses good tokens too, for a while. Another 403
  // (a suspended account, say) is a refusal. docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api,
  // docs.github.com/rest/authentication/authenticating-to-the-rest-api#failed-login-limit
  // A GitHub Enterprise Server without rate limits answers 404 to this call, once it has let the token in (a wrong one is
  // 401). docs.github.com/enterprise-server/rest/rate-limit
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
  // The base URL has the /v1, as in OpenAI's own libraries.
  url: "https://api.openai.com/v1",
  // platform.openai.com/docs/api-reference/models/list
  path: "/models",
  headers: bearer,
  body: modelList,
  // platform.openai.com/docs/guides/rate-limits, "Rate limits in headers". Calls to models have them; the list may not.
  limits: ({ headers, now }) => ({
    limit: readCount(headers.get("x-ratelimit-limit-requests")),
    remaining: readCount(headers.get("x-ratelimit-remaining-requests")),
    resetsAt: readDuration(headers.get("x-ratelimit-reset-requests"), now),
  }),
  // 401: wrong or revoked key, no member of the organization, or an address that is not allowed. 403: a country that is
  // not supported, which says nothing about the key. platform.openai.com/docs/guides/error-codes
  // A restricted key that may not list models is told so with 401 or 403 ("Missing scopes: api.model.read"): it lives.
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
  // Without a version. api-docs.deepseek.com
  url: "https://api.deepseek.com",
  // api-docs.deepseek.com/api/get-user-balance: free, and it says whether calls would be answered at all.
  path: "/user/balance",
  headers: bearer,
  body: z.object({ is_available: z.boolean() }),
  // api-docs.deepseek.com/quick_start/error_codes: 401 wrong key, 402 no balance, 429 too fast; no 403. It sends no
  // headers about limits. An account without balance knows its key but answers calls with 402.
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
  // The AI gateway, OpenAI-compatible; the base URL has the /v1.
  url: "https://ai.gateway.lovable.dev/v1",
  // Lovable documents no call for the key alone. The list of models is the one call of the gateway that costs no
  // credits; whether it looks at the key is not documented. Calls to models are answered with 401 for a wrong key
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
  // Without the /v1, as in ElevenLabs' own libraries.
  url: "https://api.elevenlabs.io",
  // elevenlabs.io/docs/api-reference/user/subscription/get
  path: "/v1/user/subscription",
  headers: (key) => ({ "xi-api-key": key }),
  body: subscription,
  // The limit is the subscription's characters. An account that may go beyond them has none.
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
  // elevenlabs.io/docs/eleven-api/resources/errors and help.elevenlabs.io, "API - Error Code 400 or 401": 401 is
  // also said of a used-up quota. A key without the permission for this call (user_read) is documented as 403
  // insufficient_permissions and answered with 401 missing_permissions: it lives.
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
 * What an answer says about the key: 2xx with the documented body: valid, unless nothing is left of its limit; 401
 * and 403: invalid; 402 and 429: rate limited; all else says nothing. A provider's own `judge` comes first.
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
  // It is not followed: the key would go along.
  if (status >= 300 && status < 400) {
    return {
      status: "unreachable",
      reason: `HTTP ${status}: redirected elsewhere`,
    };
  }
  return { status: "unreachable", reason };
}

/** The limits that an answer tells; `Retry-After` knows best when calls are answered again. */
export function readLimits(provider: Provider, answer: Answer): Limits {
  const limits = provider.limits?.(answer) ?? {};
  const retryAfter = readRetryAfterTime(
    answer.headers.get("retry-after"),
    answer.now,
  );
  return retryAfter === undefined ? limits : { ...limits, resetsAt: retryAfter };
}
