/** Secrets that say nothing themselves, told by what stands around them: a name, a header, an option, a URL. */

/** Part of a text: from `begin` up to, not including, `end`. */
export interface Span {
  begin: number;
  end: number;
}

const password = "(?:pass(?:word|wd|phrase|code)|(?<=[_-])pass|pwd|(?<=[_-])pw|secret|credential)";
const key =
  "(?:token|authorization|cookie|signature|connection[_-]?string|(?:access|account|api|app|auth|encryption|" +
  "license|master|private|secret|service[_-]?role|service|session|shared|signing|storage|subscription)[_-]?key)";
/** What a name may say after that: `DB_PASSWORD_PROD`, `SECRET_KEY_BASE`, `token2`. */
const suffix =
  "(?:[_-]?(?:[0-9]{1,3}|base|dev|live|local|new|old|prod|production|stage|staging|test|value))?";
const names = new RegExp(`(?:${key}|${password})${suffix}`, "gi");
const isPassword = new RegExp(
  `^${password}`.replaceAll("(?<=[_-])", ""),
  "i",
);

/** From a name to its value: the name's quote, `]`, a type, `=` or `:` or the like. */
const separator =
  /(\\{0,3}["'])?\]?(?::[ \t]{0,8}[A-Za-z][\w.[\]| ]{0,40}(?=[ \t]=))?[ \t]{0,8}([:=!]?=|=>|[:,])([ \t]{0,8})/y;
const scheme = "(?:(?:basic|bearer|token|apikey|bot|digest|negotiate|ssws)[ \\t]+)";
/** A string of Python or JSON, or one escaped within another. */
const string = new RegExp(
  `([bfru]{0,2}("""|'''|\\\\{0,3}["'\`])${scheme}?)((?:(?!\\2)(?:\\\\[^\\n]|[^\\\\\\n])){4,4000})\\2`,
  "iy",
);
const rawValue = new RegExp(
  `(${scheme}?)([^\\s"'\`,;&()<>{}[\\]|\\\\](?:[^\\s"'\`,;&()<>{}[\\]|\\\\]|,(?=[^\\s"'])){3,4000})`,
  "iy",
);
const cookies = /()([^\s"'`;=]{1,100}=[^\n"'`\\]{4,4000})/y;

/** The values of names such as `password`, `api_key`, `Authorization` or `--token`, each where it stands. */
export function findNamedSecrets(text: string): Span[] {
  const spans: Span[] = [];
  for (const match of text.matchAll(names)) {
    const begin = spans.at(-1)?.end ?? 0;
    if (match.index < begin) continue;
    const span = findValue(text, match[0], match.index);
    if (span !== undefined) spans.push(span);
  }
  return spans;
}

function findValue(
  text: string,
  name: string,
  begin: number,
): Span | undefined {
  const end = begin + name.length;
  const parts = matchAt(separator, text, end);
  if (parts === null) {
    const isOption = text[end] === " " &&
      /--(?:[a-z]+-){0,3}$/i.test(text.slice(Math.max(0, begin - 40), begin));
    return isOption ? findRaw(text, name, end + 1, false) : undefined;
  }
  const [all, nameQuote, operator, blanks] = parts;
  const at = end + all.length;
  const quoted = matchAt(string, text, at);
  if (quoted !== null) {
    const [, opening, , value] = quoted as unknown as [
      string,
      string,
      string,
      string,
    ];
    // Of two texts in a list only a value that no word is can be told to be one.
    const isSecret = operator === ","
      ? nameQuote !== undefined && /^\S*[0-9]\S*$/.test(value)
      : isSecretText(name, value);
    return isSecret
      ? { begin: at + opening.length, end: at + opening.length + value.length }
      : undefined;
  }
  if (!/^(?:[:=]|=>)$/.test(operator!)) return undefined;
  return findRaw(text, name, at, operator === "=" && blanks === "");
}

/** What stands between quotes after a name: a secret, or words, a piece of code, a placeholder. */
function isSecretText(name: string, value: string): boolean {
  if (/^(?:\[masked-\d+\]|\\[nr]|\s)+$/.test(value)) return false;
  if (
    /^\s|\s$|^[,)+\]}]/.test(value) ||
    /^(?:<.*>|\{.*\}|\$\{?\w+\}?|%\(?\w*\)?s|\*+|\.+)$/.test(value)
  ) {
    return false;
  }
  if (isPassword.test(name) || /^(?:authorization|cookie)/i.test(name)) {
    return true;
  }
  return value.length >= 8 && !/\s|^https?:/i.test(value) && looksRandom(value);
}

/** What follows a name without quotes: in a log, a URL, a file of settings, a command; or code, which stays. */
function findRaw(
  text: string,
  name: string,
  at: number,
  isGlued: boolean,
): Span | undefined {
  const match = matchAt(/^cookie/i.test(name) ? cookies : rawValue, text, at);
  if (match === null) return undefined;
  const [all, opening, found] = match as unknown as [string, string, string];
  const end = at + all.length;
  const value = found.replace(/[.:]+$/, "");
  const span = {
    begin: at + opening.length,
    end: end - (found.length - value.length),
  };
  const next = text[end] ?? "\n";
  if (
    next === "(" || next === "[" || /^[$%*]\w*$/.test(value) ||
    /^\.*$/.test(value)
  ) return undefined;
  if (/^[0-9._-]+$/.test(value)) {
    return isPassword.test(name) ? span : undefined;
  }
  // A name of a variable, an attribute or a type; or a word.
  if (/^[a-z_]\w*(?:\.[a-z_]\w*)*$/i.test(value)) {
    if (
      /passw|pwd|secret|token|key|cred|auth|env|conf|sett|arg|none|null|true|false|str/i
        .test(value)
    ) return undefined;
    const isCode = !isGlued || next === "," || next === ")";
    return looksRandom(value) || !isCode ? span : undefined;
  }
  // PWD and OLDPWD are directories.
  if (name === "PWD" && value.startsWith("/")) return undefined;
  return isGlued || opening !== "" || looksRandom(value) ||
      /^cookie/i.test(name)
    ? span
    : undefined;
}

/** Words have no digits, and are not so long. */
function looksRandom(value: string): boolean {
  return /[0-9]/.test(value) || /^[^\s_.]{24,}$/.test(value);
}

function matchAt(
  pattern: RegExp,
  text: string,
  at: number,
): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
