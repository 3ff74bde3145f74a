import { findNamedSecrets } from "./named-secrets.ts";
import { secretShapes } from "./secret-shapes.ts";

/** A secret begins where no letter or digit stands before it, or one that ends an escape: `\n`, `%3D`, a colour. */
const beginning = String
  .raw`(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,10}m))`;
const shapes = new RegExp(
  `()${beginning}(${secretShapes.map(({ shape }) => shape.source).join("|")})`,
  "g",
);

/** With what says what it is first, which stays, and the secret second. */
const others: readonly RegExp[] = [
  // A key that has its end, and one that was cut off.
  /()(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----BEGIN )[\s\S])*?-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)/g,
  /()(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[\s"']|\\[nr])*(?=[A-Za-z0-9+/=]{20})(?:[A-Za-z0-9+/=\s"']|\\[nr])*)/g,
  /(PuTTY-User-Key-File-[\s\S]{0,1000}?Private-Lines: [0-9]+\r?\n)([A-Za-z0-9+/=\s]+)/g,
  // The userinfo of a URL, up to its last @: a password may hold one, and even a slash, but is no port.
  /(:\/\/[^\s:@/'"<>]{0,200}:)(?![0-9]{1,5}(?:[/?#\s"']|$))((?:(?!:\/\/)[^\s'"<>{}]){1,300})(?=@)/g,
  /(:\/\/)([A-Za-z0-9_.~%-]{20,300})(?=@)/g,
  /([?&](?:key|sig|signature|auth|x-(?:amz|goog)-(?:signature|credential|security-token))=)([^\s&"'#<>{}]{8,})/gi,
  /(\bBearer[ \t]+)([A-Za-z0-9._~+/=-]{16,})/gi,
  // Commands and files in which no name stands before a password.
  /(\bcurl\b[^\n]{0,300}?[ \t](?:-u|--user)[ =]?["']?[^\s:"']{1,100}:)([^\s"'$]+)/g,
  /(\b(?:sshpass[ \t]+-p|mysql(?:dump|admin)?\b[^\n]{0,200}?[ \t]-p|redis-cli\b[^\n]{0,200}?[ \t]-a)[ \t]{0,4}["']?)([^\s"'$-][^\s"']{3,})/g,
  /(\blogin[ \t]+\S{1,100}[ \t]+password[ \t]+)(\S+)/g,
  /(\bauth[ \t]{0,4}=[ \t]{0,4}\([ \t]{0,4}["'][^"'\n]{0,200}["'],[ \t]{0,4}["'])([^"'\n]{4,200})(?=["'])/g,
];
/** `user:password` in base64 (RFC 7617, .npmrc, .dockerconfigjson): in the same place may also stand a word. */
const basic =
  /((?:\bBasic[ \t]+|\b_auth[ \t]{0,4}=[ \t]{0,4}|"auth":[ \t]{0,4}")"?)([A-Za-z0-9+/_-]{6,}={0,2})/gi;

/**
 * Takes secrets out of texts before they leave: each becomes `[masked-1]`, `[masked-2]`, …, the same secret the same
 * in every text of one mask. Lines stay lines, so a diff of the masked text fits the text. It takes time in proportion
 * to the text's length, whatever is in it.
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
  const replace = (
    text: string,
    pattern: RegExp,
    isSecret: (secret: string) => boolean = () => true,
  ) =>
    text.replace(
      pattern,
      (all: string, before: string, secret: string) =>
        isSecret(secret) ? before + nameOf(secret) : all,
    );
  // What is left of a secret after its beginning was replaced would be known no more.
  const longestFirst = known.filter((secret) => secret !== "").sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = longestFirst.reduce(
      (rest, secret) => rest.includes(secret) ? rest.replaceAll(secret, nameOf(secret)) : rest,
      text,
    );
    clean = replace(clean, shapes);
    for (const pattern of others) clean = replace(clean, pattern);
    clean = replace(clean, basic, isUserAndPassword);
    let masked = "";
    let at = 0;
    for (const { begin, end } of findNamedSecrets(clean)) {
      masked += clean.slice(at, begin) + nameOf(clean.slice(begin, end));
      at = end;
    }
    return masked + clean.slice(at);
  };
}

function isUserAndPassword(base64: string): boolean {
  try {
    return atob(base64).includes(":");
  } catch {
    return false;
  }
}
