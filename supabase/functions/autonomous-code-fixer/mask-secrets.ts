import { findNamedSecrets } from "./named-secrets.ts";
import { secretShapes } from "./secret-shapes.ts";

/** A secret begins after any character but a letter or digit, or after an escape such as `\n`, `%3D` or a colour. */
const beginning = String
  .raw`(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,10}m))`;
const shapes = new RegExp(
  `()${beginning}(${secretShapes.map(({ shape }) => shape.source).join("|")})`,
  "g",
);

/** The first group is the text that identifies the secret, and stays; the second is the secret. */
const others: readonly RegExp[] = [
  // A complete private key, and one whose end was cut off.
  /()(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----BEGIN )[\s\S])*?-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)/g,
  /()(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[\s"']|\\[nr])*(?=[A-Za-z0-9+/=]{20})(?:[A-Za-z0-9+/=\s"']|\\[nr])*)/g,
  /(PuTTY-User-Key-File-[\s\S]{0,1000}?Private-Lines: [0-9]+\r?\n)([A-Za-z0-9+/=\s]+)/g,
  // The userinfo of a URL, up to its last @. A password may contain @ and a slash. A port is no password.
  /(:\/\/[^\s:@/'"<>]{0,200}:)(?![0-9]{1,5}(?:[/?#\s"']|$))((?:(?!:\/\/)[^\s'"<>{}]){1,300})(?=@)/g,
  /(:\/\/)([A-Za-z0-9_.~%-]{20,300})(?=@)/g,
  /([?&](?:key|sig|signature|auth|x-(?:amz|goog)-(?:signature|credential|security-token))=)([^\s&"'#<>{}]{8,})/gi,
  /(\bBearer[ \t]+)([A-Za-z0-9._~+/=-]{16,})/gi,
  // Commands and files in which a password has no name before it.
  /(\bcurl\b[^\n]{0,300}?[ \t](?:-u|--user)[ =]?["']?[^\s:"']{1,100}:)([^\s"'$]+)/g,
  /(\b(?:sshpass[ \t]+-p|mysql(?:dump|admin)?\b[^\n]{0,200}?[ \t]-p|redis-cli\b[^\n]{0,200}?[ \t]-a)[ \t]{0,4}["']?)([^\s"'$-][^\s"']{3,})/g,
  /(\blogin[ \t]+\S{1,100}[ \t]+password[ \t]+)(\S+)/g,
  /(\bauth[ \t]{0,4}=[ \t]{0,4}\([ \t]{0,4}["'][^"'\n]{0,200}["'],[ \t]{0,4}["'])([^"'\n]{4,200})(?=["'])/g,
];
/** `user:password` in base64 (RFC 7617, .npmrc, .dockerconfigjson). It also matches plain words in that place. */
const basic =
  /((?:\bBasic[ \t]+|\b_auth[ \t]{0,4}=[ \t]{0,4}|"auth":[ \t]{0,4}")"?)([A-Za-z0-9+/_-]{6,}={0,2})/gi;

/**
 * Replaces secrets in texts before they are sent: each becomes `[masked-1]`, `[masked-2]`, …. One mask gives a secret
 * the same name in every text. The number of lines stays, so a diff of the masked text fits the text. The time is
 * proportional to the text's length for any content.
 *
 * @param known Known secrets, which are masked in any form.
 */
export function createMask(known: readonly string[]): (text: string) => string {
  const names = new Map<string, string>();
  const nameOf = (secret: string) => {
    if (/^\[masked-\d+\]$/.test(secret)) return secret;
    const name = names.get(secret) ?? `[masked-${names.size + 1}]`;
    names.set(secret, name);
    // A key of several lines keeps its number of lines.
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
  // Replace the longest first: if one secret is the beginning of another, the rest of the other would stay.
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
