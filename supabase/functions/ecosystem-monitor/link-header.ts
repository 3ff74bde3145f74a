/**
 * The address of the next page in a `Link` header (RFC 8288, as GitHub sends it): the address in `<…>` before
 * `rel="next"`. Null when there is no next page.
 */
export function nextPage(header: string | null): string | null {
  for (const match of (header ?? "").matchAll(/<([^>]*)>((?:\s*;[^,<]*)*)/g)) {
    const [, address = "", parameters = ""] = match;
    if (/;\s*rel\s*=\s*"?(?:[^";]*\s)?next(?:\s[^";]*)?"?\s*(?:;|$)/i.test(parameters)) {
      return address;
    }
  }
  return null;
}
