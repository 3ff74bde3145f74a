/**
 * What tokens and keys look like, as their issuers document it. With two groups the first stays: it says what the
 * second one is. No pattern looks far from each of many places where it may begin: the texts are long and anybody's.
 */
const patterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  // GitHub, GitLab, npm, Hugging Face
  /\bgh[pousr]_[A-Za-z0-9]{20,}/g,
  /\bgithub_pat_[A-Za-z0-9_]{20,}/g,
  /\bglpat-[A-Za-z0-9_-]{20,}/g,
  /\b(?:npm|hf)_[A-Za-z0-9]{30,}/g,
  // OpenAI, Anthropic, DeepSeek and others; Stripe; ElevenLabs
  /\bsk-[A-Za-z0-9_-]{16,}/g,
  /\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}/g,
  /\bsk_[a-f0-9]{40,}/g,
  // AWS, Google, Slack, Telegram, Supabase
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{35}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\b\d{8,10}:AA[A-Za-z0-9_-]{33}/g,
  /\bsb_secret_[A-Za-z0-9_-]{16,}/g,
  // JSON Web Tokens, bearer tokens, passwords in URLs
  /\beyJ[A-Za-z0-9_-]{8,1000}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g,
  /(\bBearer\s+)([A-Za-z0-9._~+/=-]{16,})/gi,
  /(:\/\/[^\s:@/'"]*:)([^\s@/'"]+)(?=@)/g,
  // What a name says to be one: password = "…", "api_key": "…"
  /((?:password|passwd|secret|token|api_?key|access_?key|private_?key)["']?\s*[:=]\s*["'])([^"'\s]{8,})(?=["'])/gi,
];

/**
 * Takes secrets out of texts before they leave: each becomes `[masked-1]`, `[masked-2]`, …, the same secret the same
 * in every text of one mask. Lines stay lines, so a diff of the masked text fits the text.
 *
 * @param known Secrets that are known to be such, whatever they look like.
 */
export function createMask(known: readonly string[]): (text: string) => string {
  const names = new Map<string, string>();
  const nameOf = (secret: string) => {
    if (/^\[masked-\d+\]$/.test(secret)) return secret;
    const name = names.get(secret) ?? `[masked-${names.size + 1}]`;
    names.set(secret, name);
    // A key of several lines stays as many lines.
    return secret.split("\n").map((line) => line === "" ? "" : name).join("\n");
  };
  return (text) => {
    const clean = known.reduce(
      (rest, secret) => rest.includes(secret) ? rest.replaceAll(secret, nameOf(secret)) : rest,
      text,
    );
    return patterns.reduce(
      (rest, pattern) =>
        rest.replace(
          pattern,
          (all: string, ...groups: unknown[]) =>
            typeof groups[0] === "string" && typeof groups[1] === "string"
              ? groups[0] + nameOf(groups[1])
              : nameOf(all),
        ),
      clean,
    );
  };
}
