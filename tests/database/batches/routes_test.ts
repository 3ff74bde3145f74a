import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

interface Provider {
  enabled?: false;
  fallback?: string;
  /** Minutes until which the breaker is open; past: half-open. */
  open?: number;
  /** A call tries the provider. */
  tried?: true;
  failures?: number;
}
type Providers = Record<string, Provider>;

const row = (name: string, { enabled, fallback, open, failures }: Provider) => ({
  name,
  enabled: enabled ?? true,
  fallback_provider: fallback ?? null,
  open_until: open === undefined ? null : after(open),
  failures_in_row: failures ?? 0,
});

const spare = { fallback: "spare" };
const down = { failures: 5 };
/** Routes of the tasks of "one". "at 60 s": none until then. */
const cases: [name: string, providers: Providers, own: string[], asksFallback: string[]][] = [
  ["closed: itself", { one: {} }, ["one"], ["no fall-back any more"]],
  ["closed, with a fall-back: itself", { one: spare, spare: {} }, ["one"], ["spare"]],
  [
    "open for a few requests too many: nobody, also with a fall-back",
    {
      one: { ...spare, open: 1, failures: 1 },
      spare: {},
    },
    ["at 60 s"],
    ["spare"],
  ],
  [
    "open because it is down: its fall-back",
    {
      one: { ...spare, ...down, open: 1 },
      spare: {},
    },
    ["spare"],
    ["spare"],
  ],
  [
    "open because it is down, without a fall-back: nobody until then",
    {
      one: { ...down, open: 2 },
    },
    ["at 120 s"],
    ["no fall-back any more"],
  ],
  [
    "half-open: one call of itself, the others wait for what it finds out",
    {
      one: { failures: 1, open: -1 },
    },
    ["one, one call", "at 5 s"],
    ["no fall-back any more"],
  ],
  [
    "half-open because it was down: one call of itself, the others to its fall-back",
    {
      one: { ...spare, ...down, open: 0 },
      spare: {},
    },
    ["one, one call", "spare"],
    ["spare"],
  ],
  [
    "half-open and tried already: nobody",
    {
      one: { failures: 1, open: -1, tried: true },
    },
    ["at 5 s"],
    ["no fall-back any more"],
  ],
  [
    "down, and its fall-back half-open: one call of the fall-back",
    {
      one: { ...spare, ...down, open: 1 },
      spare: { ...down, open: -1 },
    },
    ["spare, one call"],
    ["spare, one call"],
  ],
  [
    "down, and its fall-back half-open and tried already: nobody",
    {
      one: { ...spare, ...down, open: 1 },
      spare: { ...down, open: -1, tried: true },
    },
    ["at 5 s"],
    ["at 5 s"],
  ],
  [
    "down, and its fall-back open for less long: nobody until that lets a call through",
    {
      one: { ...spare, ...down, open: 60 },
      spare: { failures: 1, open: 1 },
    },
    ["at 60 s"],
    ["at 60 s"],
  ],
  [
    "open for a few requests too many, and its fall-back for less long: nobody until its own lets a call through",
    {
      one: { ...spare, open: 60, failures: 1 },
      spare: { failures: 1, open: 1 },
    },
    ["at 3600 s"],
    ["at 60 s"],
  ],
  [
    "down, and its fall-back too: nobody until its own breaker lets a call through",
    {
      one: { ...spare, ...down, open: 1 },
      spare: { ...down, open: 2 },
    },
    ["at 60 s"],
    ["at 120 s"],
  ],
  [
    "down, and its fall-back disabled: nobody until then",
    {
      one: { ...spare, ...down, open: 1 },
      spare: { enabled: false },
    },
    ["at 60 s"],
    ["no fall-back any more"],
  ],
  ["disabled: its fall-back", { one: { ...spare, enabled: false }, spare: {} }, ["spare"], [
    "spare",
  ]],
  [
    "disabled, and its fall-back open: nobody until that lets a call through",
    {
      one: { ...spare, enabled: false },
      spare: { failures: 1, open: 1 },
    },
    ["at 60 s"],
    ["at 60 s"],
  ],
  [
    "disabled, and its fall-back too: nobody ever",
    {
      one: { ...spare, enabled: false },
      spare: { enabled: false },
    },
    ["disabled"],
    ["no fall-back any more"],
  ],
  ["disabled, without a fall-back: nobody ever", { one: { enabled: false } }, ["disabled"], [
    "no fall-back any more",
  ]],
  [
    "disabled while its breaker is open: nobody ever",
    {
      one: { ...down, enabled: false, open: 1 },
    },
    ["disabled"],
    ["no fall-back any more"],
  ],
];

Deno.test("routes(): who answers a provider's tasks", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, providers, own, asksFallback] of cases) {
      await test.step(name, async () => {
        const rows = Object.entries(providers).map(([name, provider]) => row(name, provider));
        const tried = Object.keys(providers).filter((name) => providers[name]!.tried);
        const routes = await sql`
          select * from batches.routes(
            array(select providers from jsonb_populate_recordset(null::batch_providers, ${
          sql.json(rows as never)
        }) as providers), ${tried}, 5, ${NOON})
          where provider = 'one' order by place`;
        const told = (asks: boolean) =>
          routes.filter((route) => route.asks_fallback === asks).map((route) =>
            route.problem ??
              (route.answerer === null
                ? `at ${(route.callable_at.getTime() - NOON.getTime()) / 1000} s`
                : route.answerer + (route.is_half_open ? ", one call" : ""))
          );
        assert.deepEqual([told(false), told(true)], [own, asksFallback]);
      });
    }
  });
});
