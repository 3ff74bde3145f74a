import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { ago, NOON } from "../../support/device-connections.ts";

const own = "11111111-1111-4111-8111-111111111111";
const other = "22222222-2222-4222-8222-222222222222";
const claimedBy = (request: string, secondsLeft: number) => ({
  fix_request_id: request,
  fix_claimed_until: ago(-secondsLeft),
});

interface Asked {
  cause: Record<string, unknown> | null;
  request?: string;
  isAsked?: true;
}

const causes: [name: string, asked: Asked, refusal: Record<string, unknown> | null][] = [
  ["an open cause, by a person", { cause: {} }, null],
  ["an open cause, by its claim", { cause: claimedBy(own, 60), request: own }, null],
  ["no such cause", { cause: null }, { reason: "unknown_cause" }],
  ["a fixed cause", { cause: { status: "fixed" } }, { reason: "not_open", status: "fixed" }],
  ["a proposal that waits", { cause: {}, isAsked: true }, { reason: "asked_already" }],
  ["the claim of another request", { cause: claimedBy(other, 60), request: own }, {
    reason: "asked_already",
  }],
  ["another's claim, by a person", { cause: claimedBy(other, 60) }, { reason: "asked_already" }],
  ["another's claim that has ended", { cause: claimedBy(other, 0), request: own }, null],
  ["the last request, by a person", { cause: { fix_requests: 2 } }, null],
  ["no request left, by a person", { cause: { fix_requests: 3 } }, {
    reason: "cause_cap",
    fix_requests: 3,
  }],
  ["no request left, by the claim that was the last", {
    cause: { ...claimedBy(own, 60), fix_requests: 3 },
    request: own,
  }, null],
  ["no request left, by a claim that has ended", {
    cause: { ...claimedBy(own, 0), fix_requests: 3 },
    request: own,
  }, { reason: "cause_cap", fix_requests: 3 }],
  ["closed and asked: the status is told", { cause: { status: "ignored" }, isAsked: true }, {
    reason: "not_open",
    status: "ignored",
  }],
];

Deno.test("code_monitor.cause_refusal() says whether a cause may be asked about", (t) =>
  withDatabase(async ({ sql }) => {
    for (const [name, { cause, request, isAsked }, refusal] of causes) {
      await t.step(name, async () => {
        const values = cause && { id: 1, status: "open", fix_requests: 0, ...cause };
        const [row] = await sql`
          select code_monitor.cause_refusal(
            jsonb_populate_record(null::code_failure_causes, ${sql.json(values as never)}),
            ${request ?? null}, ${isAsked ?? false}, 3, ${NOON}) as refusal`;
        assert.deepEqual(row!.refusal, refusal && { begun: false, ...refusal });
      });
    }
  }));

type Spending = [tokens: number, cost: number | null];
const cap: Spending = [1000, 1];
const budgets: [name: string, spent: Spending, needed: Spending, refusal: unknown[] | null][] = [
  ["nothing spent", [0, 0], [1000, 1], null],
  ["exactly the rest", [600, 0.4], [400, 0.6], null],
  ["a token too many", [600, 0], [401, 0], ["code_fixer.daily_tokens", 600, 401, 1000]],
  ["a cent too much", [0, 0.4], [0, 0.61], ["code_fixer.daily_cost_usd", 0.4, 0.61, 1]],
  ["both: the tokens are told", [600, 0.4], [401, 0.61], [
    "code_fixer.daily_tokens",
    600,
    401,
    1000,
  ]],
  ["no price known", [0, 1], [1000, null], null],
];

Deno.test("code_monitor.budget_refusal() keeps the tokens and the cost of a day below their caps", (t) =>
  withDatabase(async ({ sql }) => {
    for (const [name, spent, needed, refusal] of budgets) {
      await t.step(name, async () => {
        const spending = ([tokens, cost]: Spending) =>
          sql`row(${tokens}::numeric, ${cost}::numeric)::code_monitor.spending`;
        const [row] = await sql`
          select code_monitor.budget_refusal(${spending(spent)}, ${spending(needed)}, ${
          spending(cap)
        }) as refusal`;
        const found = row!.refusal;
        assert.deepEqual(found && [found.setting, found.used, found.needed, found.cap], refusal);
        if (found) assert.deepEqual([found.begun, found.reason], [false, "daily_cap"]);
      });
    }
  }));
