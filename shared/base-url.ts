/**
 * The base URL of an API in its one spelling, to which paths are appended: host in small letters, no default port, no
 * `.` or `..`, no slash at its end. `undefined` for what is none: not http or https, or with a user, a query or a
 * fragment, after which no path can stand.
 */
export function readBaseUrl(text: string): string | undefined {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  if (url.username !== "" || url.password !== "" || /[?#]/.test(url.href)) return undefined;
  return url.href.replace(/\/+$/, "");
}

/**
 * Whether an address is within an API. Addresses are compared as URLs, so `HTTPS://API.example.com:443/v3/../v3/x` is
 * within `https://api.example.com/v3`.
 *
 * @param baseUrl As `readBaseUrl` gives it.
 */
export function isWithin(address: string, baseUrl: string): boolean {
  const url = URL.parse(address);
  return url !== null && url.username === "" && url.password === "" &&
    url.href.startsWith(`${baseUrl}/`);
}
