import assert from "node:assert/strict";
import { readRateLimit } from "../../../shared/rate-limit-headers.ts";

const now = new Date("2026-03-02T12:00:00Z");
const epoch = (seconds: number) => String(now.getTime() / 1000 + seconds);

/** Headers, and what they say: how many are left, and seconds until the reset. */
const read: [
  what: string,
  headers: Record<string, string>,
  left: number,
  seconds: number | null,
][] = [
  [
    "X",
    {
      "x-rate-limit-limit": "300",
      "x-rate-limit-remaining": "12",
      "x-rate-limit-reset": epoch(90),
    },
    12,
    90,
  ],
  ["GitHub", { "x-ratelimit-remaining": "4999", "x-ratelimit-reset": epoch(3600) }, 4999, 3600],
  ["seconds from now", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30" }, 0, 30],
  [
    "milliseconds since the epoch",
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${epoch(7)}000` },
    0,
    7,
  ],
  ["IETF, separate", { "ratelimit-remaining": "5", "ratelimit-reset": "10" }, 5, 10],
  ["IETF, draft 07", { ratelimit: "limit=100, remaining=50, reset=5" }, 50, 5],
  ["IETF, draft 10", { ratelimit: '"default";r=50;t=30' }, 50, 30],
  ["IETF, without a reset", { ratelimit: '"default";r=50' }, 50, null],
  ["the policy with the fewest", { ratelimit: '"burst";r=5;t=1, "daily";r=900;t=4000' }, 5, 1],
  ["a name with separators", { ratelimit: '"a;r=1, b";r=7;t=2;pk=:dGVzdA==:' }, 7, 2],
  ["the structured form first", { ratelimit: '"d";r=3;t=4', "x-ratelimit-remaining": "9" }, 3, 4],
  ["no reset", { "x-ratelimit-remaining": "9" }, 9, null],
  [
    "a reset that nobody can read",
    { "x-ratelimit-remaining": "9", "x-ratelimit-reset": "soon" },
    9,
    null,
  ],
  ["Retry-After, seconds", { "retry-after": "60" }, 0, 60],
  ["Retry-After, a date", { "retry-after": "Mon, 02 Mar 2026 12:02:00 GMT" }, 0, 120],
  ["Retry-After before all", { "retry-after": "60", "x-ratelimit-remaining": "4999" }, 0, 60],
];

for (const [what, headers, left, seconds] of read) {
  Deno.test(`readRateLimit() reads: ${what}`, () => {
    assert.deepEqual(readRateLimit(new Headers(headers), now), {
      left,
      resetsAt: seconds === null ? null : new Date(now.getTime() + seconds * 1000),
    });
  });
}

Deno.test("readRateLimit() reads the policy that is meant", () => {
  const headers = new Headers({ ratelimit: '"burst";r=5;t=1, "daily";r=900;t=4000' });
  assert.equal(readRateLimit(headers, now, "daily")?.left, 900);
  assert.equal(readRateLimit(headers, now, "monthly")?.left, 5);
});

Deno.test("readRateLimit() reads nothing in what says nothing", () => {
  for (
    const headers of [
      {},
      { "x-ratelimit-reset": "30" },
      { "x-ratelimit-remaining": "NaN", "ratelimit-remaining": "-1" },
      { "x-ratelimit-remaining": "1e999" },
      { "x-ratelimit-remaining": "12345678901" },
      { ratelimit: '"default";q=100;w=60' },
      { ratelimit: ";;,=,r" },
      { "ratelimit-policy": '"default";q=100;w=60' },
      { "retry-after": "soon" },
      { "retry-after": "0" },
    ]
  ) {
    assert.equal(
      readRateLimit(new Headers(headers as Record<string, string>), now),
      undefined,
      JSON.stringify(headers),
    );
  }
});
