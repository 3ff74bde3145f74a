/** What JSON can carry and Postgres cannot hold: NUL, and halves of surrogate pairs. */
// deno-lint-ignore no-control-regex
const unstorable = /[\u0000\ud800-\udfff]/u;
/** The same, and every other escape, as JSON.stringify writes them: so that `\\u0000` is not taken for `\u0000`. */
const escapes = /\\(u0000|ud[89a-f][0-9a-f]{2}|.)/g;
const maximumLevels = 100;

/**
 * A copy of the value as JSON has it, with U+FFFD for every character that Postgres cannot hold.
 *
 * @throws TypeError or RangeError for a value that is no JSON: a cycle, a bigint, thousands of levels.
 */
export function storableJson<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value).replaceAll(
      escapes,
      (escape, code: string) => code.length > 1 ? "\\ufffd" : escape,
    ),
  );
}

/** Why Postgres cannot hold a value out of JSON.parse, as the end of a sentence; undefined when it can. */
export function storageProblem(value: unknown): string | undefined {
  const parts: [part: unknown, level: number][] = [[value, 1]];
  for (let next = parts.pop(); next; next = parts.pop()) {
    const [part, level] = next;
    if (typeof part === "string" && unstorable.test(part)) {
      return "must not contain \\u0000 or half of a surrogate pair";
    }
    if (typeof part !== "object" || part === null) continue;
    if (level > maximumLevels) return `must have at most ${maximumLevels} levels`;
    for (const [key, child] of Object.entries(part)) parts.push([key, level], [child, level + 1]);
  }
}
