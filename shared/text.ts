const number = new Intl.NumberFormat("en-US");

/** An amount with its noun: "1 fix", "1,204 devices". */
export function counted(amount: number, one: string, many = `${one}s`): string {
  return `${number.format(amount)} ${amount === 1 ? one : many}`;
}

/** Printable ASCII in one line, at most `limit` characters: texts of others (errors, table names) may hold anything. */
export function printable(text: string, limit = 400): string {
  // deno-lint-ignore no-control-regex
  const ascii = text.replace(/[\x00-\x20\x7f]+/g, " ").replace(
    /[^\x20-\x7e]/gu,
    "?",
  ).trim();
  return ascii.length > limit ? `${ascii.slice(0, limit - 3)}...` : ascii;
}

/**
 * Lines of at most `width` characters, broken at blanks, in the middle of a word only where the word is longer than a
 * line; all but the first are indented by `indent`. Never fewer than one line.
 */
export function wrap(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = "";
  const room = () => width - (lines.length === 0 ? 0 : indent);
  const close = () => {
    lines.push(lines.length === 0 ? line : " ".repeat(indent) + line);
    line = "";
  };
  for (let word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room()) close();
    while (word.length > room()) {
      line = word.slice(0, room());
      word = word.slice(line.length);
      close();
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  if (line !== "" || lines.length === 0) close();
  return lines;
}
