import ipaddr from "ipaddr.js";

/** Global unicast, all that is assigned of IPv6 (RFC 4291); what lies outside is for special use. */
const globalUnicast = ipaddr.parseCIDR("2000::/3");
/** Of that, the documentation's newer block (RFC 9637). */
const documentation = ipaddr.parseCIDR("3fff::/20");

/**
 * Whether an IP address is one of the public internet. All others are refused: private, loopback, link-local (cloud
 * metadata among them), carrier-grade NAT, multicast, documentation, benchmarking, and the forms of IPv6 in which
 * an IPv4 address hides (mapped, NAT64, 6to4, Teredo).
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  if (address.range() !== "unicast") return false;
  return address instanceof ipaddr.IPv4 ||
    address.match(globalUnicast) && !address.match(documentation);
}

/** The addresses of a name, IPv4 first. */
export type Resolve = (hostname: string, signal: AbortSignal) => Promise<string[]>;

/** Asks the DNS. Throws when neither an A nor an AAAA record is found. */
export const resolveName: Resolve = async (hostname, signal) => {
  const answers = await Promise.allSettled([
    Deno.resolveDns(hostname, "A", { signal }),
    Deno.resolveDns(hostname, "AAAA", { signal }),
  ]);
  const addresses = answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : []);
  if (addresses.length === 0) throw new Error(`the name ${hostname} has no address`);
  return addresses;
};
