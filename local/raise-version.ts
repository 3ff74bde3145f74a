/** A version is said in four places; here they are changed together. */

export const VERSION_FILES = [
  "deno.json",
  "shared/version.ts",
  "supabase/sql/scheduler/version.sql",
  "CHANGELOG.md",
];

/** The version after this one that mends or adds something. */
export function nextVersion(version: string): string {
  const [first, second, third] = version.split(".");
  return `${first}.${second}.${Number(third) + 1}`;
}

/** Less than 0 where the first version is the earlier one, 0 where both are the same. */
export function compareVersions(one: string, other: string): number {
  const [first, second] = [one, other].map((version) => version.split(".").map(Number));
  const place = first!.findIndex((number, index) => number !== second![index]);
  return place < 0 ? 0 : first![place]! - second![place]!;
}

/**
 * The files as they say the new version; `files` are as they were, by their paths. Throws where one does not say
 * the old one, or where the new one is not later.
 */
export function raiseVersion(
  files: ReadonlyMap<string, string>,
  from: string,
  to: string,
): Map<string, string> {
  if (compareVersions(to, from) <= 0) {
    throw new Error(`The version after ${from} must be a later one, got ${to}`);
  }
  const changes: [string, string, string][] = [
    ["deno.json", `"version": "${from}"`, `"version": "${to}"`],
    ["shared/version.ts", `"${from}"`, `"${to}"`],
    ["supabase/sql/scheduler/version.sql", `'${from}'`, `'${to}'`],
    ["CHANGELOG.md", `## [${from}]`, `## [${to}] - unreleased\n\n## [${from}]`],
  ];
  return new Map(changes.map(([path, before, after]) => {
    const text = files.get(path) ?? "";
    if (!text.includes(before)) throw new Error(`${path} does not say the version ${from}`);
    return [path, text.replace(before, () => after)];
  }));
}
