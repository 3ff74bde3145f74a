/** Names of jobs. */

const longest = 63;

/** The valid job name that is most like the text; undefined where the text has nothing of one. */
export function jobNameOf(text: string): string | undefined {
  const name = text.normalize("NFKD").replace(/(?<=[a-z0-9])(?=[A-Z])/g, "-").toLowerCase().replace(
    /\p{M}/gu,
    "",
  )
    .replace(/[^a-z0-9_-]+/g, "-").replace(/^[-_]+/, "").slice(0, longest).replace(/[-_]+$/, "");
  return name === "" ? undefined : name;
}

/** The first of the texts whose name is free, else the first name with a number. The name is taken from then on. */
export function takeName(texts: readonly string[], taken: Set<string>): string {
  const found = texts.flatMap((text) => jobNameOf(text) ?? []);
  const names = found.length === 0 ? ["job"] : found;
  const free = names.find((name) => !taken.has(name)) ?? numbered(names[0]!, taken);
  taken.add(free);
  return free;
}

function numbered(name: string, taken: ReadonlySet<string>): string {
  for (let number = 2;; number++) {
    const suffix = `-${number}`;
    const candidate = name.slice(0, longest - suffix.length) + suffix;
    if (!taken.has(candidate)) return candidate;
  }
}
