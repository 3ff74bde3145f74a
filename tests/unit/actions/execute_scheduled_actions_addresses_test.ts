import assert from "node:assert/strict";
import { isPublicAddress } from "../../../supabase/functions/execute-scheduled-actions/addresses.ts";

Deno.test("addresses of the public internet are public", () => {
  for (
    const address of [
      "1.1.1.1",
      "93.184.215.14",
      "172.32.0.1",
      "100.128.0.1",
      "2606:4700::1111",
      "2a00:1450::1",
    ]
  ) {
    assert.equal(isPublicAddress(address), true, address);
  }
});

const special = {
  "this network": ["0.0.0.0", "0.1.2.3"],
  private: ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
  loopback: ["127.0.0.1", "127.255.255.254", "::1"],
  "link-local, cloud metadata": ["169.254.169.254", "fe80::1", "fd00:ec2::254"],
  "carrier-grade NAT": ["100.64.0.1", "100.127.255.255"],
  "protocol assignments": ["192.0.0.1", "192.0.0.171"],
  documentation: ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
  benchmarking: ["198.18.0.1", "198.19.255.255", "2001:2::1"],
  "6to4 relay": ["192.88.99.1"],
  multicast: ["224.0.0.1", "239.255.255.255", "ff02::1"],
  "reserved and broadcast": ["240.0.0.1", "255.255.255.255"],
  unspecified: ["::"],
  "unique local": ["fc00::1", "fdff::1"],
  "site-local": ["fec0::1"],
  "IPv4 mapped": ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:8.8.8.8"],
  "IPv4 compatible": ["::127.0.0.1"],
  "IPv4 translated": ["::ffff:0:127.0.0.1"],
  NAT64: ["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"],
  "6to4": ["2002:7f00:1::1"],
  Teredo: ["2001::1", "2001:0:4136:e378::1"],
  ORCHID: ["2001:10::1", "2001:20::1"],
  discard: ["100::1"],
  "segment routing": ["5f00::1"],
  "not assigned": ["4000::1", "e000::1"],
  "no address": ["", "localhost", "999.1.1.1", "1.1.1.1 ", "fe80::1%eth0"],
};

for (const [what, addresses] of Object.entries(special)) {
  Deno.test(`an address is not public: ${what}`, () => {
    for (const address of addresses) assert.equal(isPublicAddress(address), false, address);
  });
}
