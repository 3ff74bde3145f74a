/** Finds secrets without a shape of their own by the text around them: a name, a header, an option, a URL. */

/** A part of a text, from `begin` up to `end` exclusive. */
export interface Span {
  begin: number;
  end: number;
}

const password =
  "(?:pass(?:word|wd|phrase|code)|(?<![A-Za-z])pass|pwd|(?<=[_-])pw|secret|credential)";
const key =
  "(?:token|authorization|bearer|cookie|signature|connection[_-]?string|(?:access|account|api|app|auth|encryption|" +
  "license|master|private|secret|service[_-]?role|service|session|shared|signing|storage|subscription)[_-]?key)";
/** The end that such a name may have: `DB_PASSWORD_PROD`, `SECRET_KEY_BASE`, `token2`. */
const suffix =
  "(?:[_-]?(?:[0-9]{1,3}|base|dev|live|local|new|old|prod|production|stage|staging|test|value))?";
const names = new RegExp(`(?:${key}|${password})${suffix}`, "gi");
const isPassword = /^(?:pass|pwd|pw|secret|credential)/i;

/** The text between a name and its value: the name's quote, `]`, a type; then `=`, `:`, `=>`, `is`, a tag's end. */
const separator =
  /(\\{0,3}["'])?\]?(?::[ \t]{0,8}[A-Za-z][\w.[\]| ]{0,40}(?=[ \t]=))?[ \t]{0,8}(=>|[:=!]?=|[:,>]|%3[AD]|value=|(?:is|was)\b)([ \t]{0,8})/iy;
const scheme = "(?:(?:basic|bearer|token|apikey|bot|digest|negotiate|ssws)[ \\t]+)";
/** A string of Python or JSON, or a string that is escaped within another. */
const string = new RegExp(
  `([bfru]{0,2}("""|'''|\\\\{0,3}["'\`])${scheme}?)((?:(?!\\2)(?:\\\\[^\\n]|[^\\\\\\n])){4,4000})\\2`,
  "iy",
);
const rawValue = new RegExp(
  `(${scheme}?)([^\\s"'\`,;&()<>{}[\\]|\\\\](?:[^\\s"'\`,;&()<>{}[\\]|\\\\]|,(?=[^\\s"'])){3,4000})`,
  "iy",
);
const cookies = /()([^\s"'`;=]{1,100}=[^\n"'`\\]{4,4000})/y;

/** The places of the values of names such as `password`, `api_key`, `Authorization` or `--token`. */
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

function findValue(text: string, name: string, begin: number): Span | undefined {
  const end = begin + name.length;
  const parts = matchAt(separator, text, end);
  if (parts === null) return findAfterBlank(text, name, begin);
  const [all, nameQuote, operator = "", blanks] = parts;
  const at = end + all.length;
  const quoted = findQuoted(text, at);
  if (quoted !== undefined) {
    // In a list or a comparison, only a text that is no plain word is taken for a secret.
    const isSecret = operator === ","
      ? nameQuote !== undefined && /^\S*[0-9]\S*$/.test(quoted.value)
      : isSecretText(name, quoted.value, operator === "==" || operator === "!=");
    return isSecret ? quoted.span : undefined;
  }
  if (operator === "," || operator === "value=") return undefined;
  const isTag = operator === ">" &&
    /<[\w:-]{0,40}$/.test(text.slice(Math.max(0, begin - 42), begin));
  if (operator === ">" && !isTag) return undefined;
  if (blanks === "" && (isTag || /^(?:=|%3D)$/i.test(operator))) {
    return findRaw(text, name, at, "glued");
  }
  return findRaw(text, name, at, operator === "=" ? "assigned" : "told");
}

/** The value after a blank: `--token …`, and `password '…'` in SQL. */
function findAfterBlank(text: string, name: string, begin: number): Span | undefined {
  const at = begin + name.length + 1;
  if (text[at - 1] !== " ") return undefined;
  const quoted = findQuoted(text, at);
  if (quoted !== undefined) return isPassword.test(name) ? quoted.span : undefined;
  const before = text.slice(Math.max(0, begin - 40), begin);
  return /--(?:[a-z]+-){0,3}$/i.test(before) ? findRaw(text, name, at, "told") : undefined;
}

function findQuoted(text: string, at: number): { value: string; span: Span } | undefined {
  const match = matchAt(string, text, at);
  if (match === null) return undefined;
  const [, opening, , value] = match as unknown as [string, string, string, string];
  const begin = at + opening.length;
  return { value, span: { begin, end: begin + value.length } };
}

/** Whether the quoted text after a name is a secret, and not words, a piece of code or a placeholder. */
function isSecretText(name: string, value: string, isCompared: boolean): boolean {
  if (/^(?:\[masked-\d+\]|\\[nr]|\s)+$/.test(value)) return false;
  if (/^\s|\s$|^[,)+\]}]/.test(value)) return false;
  if (/^(?:<.*>|\{.*\}|\$\{?\w+\}?|%\(?\w*\)?s|\*+|\.+)$/.test(value)) return false;
  if (isPassword.test(name) || /^(?:authorization|cookie)/i.test(name)) return true;
  return value.length >= 8 && !/\s|^https?:/i.test(value) && (!isCompared || looksRandom(value));
}

/** The unquoted secret after a name in a log, a URL, a settings file or a command. Code is not masked. */
function findRaw(
  text: string,
  name: string,
  at: number,
  how: "glued" | "assigned" | "told",
): Span | undefined {
  const isCookie = /^cookie/i.test(name);
  const match = matchAt(isCookie ? cookies : rawValue, text, at);
  if (match === null) return undefined;
  const [all, opening, found] = match as unknown as [string, string, string];
  const end = at + all.length;
  const value = found.replace(/[.:]+$/, "");
  const span = { begin: at + opening.length, end: end - (found.length - value.length) };
  if (isCookie) return span;
  const next = text[end] ?? "\n";
  // Leave calls, list entries, shell variables and directories.
  if (next === "(" || next === "[" || /^[$%*]\w*$|^\.*$/.test(value)) return undefined;
  if (name === "PWD" && value.startsWith("/")) return undefined;
  // A number is a count, unless the name is a password's.
  if (/^[0-9][0-9._]{0,14}$/.test(value)) {
    return isPassword.test(name) && !/^pass$/i.test(name) ? span : undefined;
  }
  const isArgument = next === "," || next === ")";
  const isCode = isExpression(value) && (how === "assigned" || isArgument);
  if (looksRandom(value) && !isCode) return span;
  if (!isName.test(value)) return how === "glued" || opening !== "" ? span : undefined;
  // Leave variables, attributes, types and words, except in a place where only data can be.
  if (how !== "glued" || isArgument || isNothing.test(value)) return undefined;
  const isLastArgument = /[\r\n]/.test(next) && isExpression(value) && !/^[A-Z_-]+$/.test(name);
  return isLastArgument ? undefined : span;
}

const isName = /^[a-z_]\w*(?:\.[a-z_]\w*)*$/i;
const isNothing = /^(?:none|null|nil|true|false|undefined)$/i;

/** Whether the value is a variable whose name tells its content: `db_password`, `settings.api.token`. */
function isExpression(value: string): boolean {
  return isName.test(value) &&
    /passw|pwd|secret|token|key|cred|auth|env|conf|sett|arg/i.test(value);
}

/** Whether the value looks random: words have no digits and fewer than 24 letters. */
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
