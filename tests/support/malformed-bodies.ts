import type { Random } from "./random.ts";

/** A body that no job of this project accepts; which kind, and what of it, is left to `random`. */
export function malformedBody(random: Random): Uint8Array<ArrayBuffer> {
  return random.pick(kinds)(random);
}

const encode = (text: string) => new TextEncoder().encode(text);
const json = (value: unknown) => encode(JSON.stringify(value));

const kinds: ((random: Random) => Uint8Array<ArrayBuffer>)[] = [
  // Bytes that are no UTF-8.
  (random) =>
    new Uint8Array([0xff, ...Array.from({ length: random.whole(0, 200) }, () => byte(random))]),
  (random) => new Uint8Array([...encode('{"from": "'), 0xc3, random.whole(0, 0x7f), 0x22, 0x7d]),
  // No JSON, or half of it.
  (random) => encode("x" + text(random)),
  (random) => {
    const whole = JSON.stringify({ granularity: "hour", from: "2026-03-01T00:00:00Z", to: null });
    return encode(whole.slice(0, random.whole(1, whole.length - 1)));
  },
  (random) => encode('{"maxHours": 1}'.padEnd(random.whole(16, 40), "}")),
  (random) =>
    encode(random.pick(["{'a': 1}", "{a: 1}", '{"a": 1,}', "NaN", "\u0000", "\ufeff{", "//"])),
  // JSON, but no object.
  (random) =>
    json(random.pick([null, true, [], [{}], "{}", random.whole(-9, 9), 1e308, text(random)])),
  (random) => encode("[".repeat(random.whole(1, 100_000))),
  (random) => {
    const depth = random.whole(1, 20_000);
    return encode("[".repeat(depth) + "]".repeat(depth));
  },
  // Fields there are not.
  (random) => json({ ["x" + text(random)]: random.pick([null, 1, {}, []]) }),
  (random) => encode(`{"${random.pick(["constructor", "prototype", "toString", ""])}": {}}`),
  (random) =>
    encode(`{"__proto__": ${random.pick(["null", "1", "{}", '{"granularity": "day"}'])}}`),
  (random) => encode('{"a":'.repeat(random.whole(1, 500)) + "1" + "}".repeat(600)),
  // Fields there are, with values they cannot have.
  (random) =>
    json({ granularity: random.pick(["", "HOUR", "week", null, 1, [], {}, "hour\u0000"]) }),
  (random) => json({ maxHours: random.pick([0, -1, 1.5, 10_001, "1", null, 1e308, [], {}]) }),
  (random) => {
    const moments = [
      "",
      "now",
      "2026-02-30T00:00:00Z",
      "2026-03-01",
      "2026-03-01T00:00:00",
      0,
      null,
    ];
    return json({ from: random.pick(moments), to: "2026-03-02T00:00:00Z" });
  },
  () => json({ from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z" }),
  () => json({ to: "2026-03-01T00:00:00Z" }),
];

function byte(random: Random): number {
  return random.whole(0, 255);
}

/** Any characters, lone surrogates and control characters too. */
function text(random: Random): string {
  const codes = Array.from(
    { length: random.whole(0, 50) },
    () => random.chance(0.5) ? random.whole(0, 0x7f) : random.whole(0, 0xffff),
  );
  return String.fromCharCode(...codes);
}
