import ipaddr from "ipaddr.js";

/** Global unicast, the only assigned public range of IPv6 (RFC 4291). All other ranges are for special use. */
const globalUnicast = ipaddr.parseCIDR("2000::/3");
/** The newer documentation block (RFC 9637), which lies within that range. */
const documentation = ipaddr.parseCIDR("3fff::/20");

/**
 * Whether an IP address belongs to the public internet. All others are refused: private, loopback, link-local (with
 * cloud metadata), carrier-grade NAT, multicast, documentation, benchmarking, and IPv6 addresses that contain an IPv4
 * address (mapped, NAT64, 6to4, Teredo).
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  if (address.range() !== "unicast") return false;
  return address instanceof ipaddr.IPv4 ||
    address.match(globalUnicast) && !address.match(documentation);
}

/** Resolves a name to its addresses, IPv4 first. */
export type Resolve = (hostname: string, signal: AbortSignal) => Promise<string[]>;

/** Asks the DNS. Throws when the name has neither an A nor an AAAA record. */
export const resolveName: Resolve = async (hostname, signal) => {
  const answers = await Promise.allSettled([
    Deno.resolveDns(hostname, "A", { signal }),
    Deno.resolveDns(hostname, "AAAA", { signal }),
  ]);
  const addresses = answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : []);
  if (addresses.length === 0) throw new Error(`the name ${hostname} has no address`);
  return addresses;
};
