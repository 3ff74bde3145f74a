import { createHash } from "node:crypto";

export const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");

/** The hash of a value, in whatever order the keys of its objects are. */
export const hashOfJson = (value: unknown) => hashOf(sortedJson(value));

function sortedJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, inner) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
        : inner,
  );
}
