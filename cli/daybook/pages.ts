import type { Query, Source } from "./source.ts";

/**
 * The entries of a list, page after page, up to `limit`: as the API answers the first page, with the entries of the
 * further ones. `next_cursor` is that of the last page read.
 */
export async function readPages<Key extends string, Entry, Rest extends object>(
  source: Source,
  route: string,
  query: Query,
  key: Key,
  limit = Infinity,
): Promise<Rest & Record<Key, Entry[]> & { next_cursor: string | null }> {
  type Page = Rest & Record<Key, Entry[]> & { next_cursor: string | null };
  const first = await source.read<Page>(route, query);
  const entries = [...first[key]];
  let cursor = first.next_cursor;
  while (cursor !== null && entries.length < limit) {
    const page = await source.read<Page>(route, { ...query, cursor });
    entries.push(...page[key]);
    cursor = page.next_cursor;
  }
  return { ...first, [key]: entries.slice(0, limit), next_cursor: cursor };
}
