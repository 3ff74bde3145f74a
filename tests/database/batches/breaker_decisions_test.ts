import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

interface Breaker {
  failures?: number;
  /** Seconds from now. */
  open?: number;
}
interface News {
  has_answered?: true;
  failures?: number;
  asks_to_wait?: true;
  wait_seconds?: number;
  is_down?: true;
  reason?: string;
}

const seconds = (count: number) => after(count / 60);
const settings = { failures_to_open: 5, open_seconds: 60 };
const halfOpen = { failures: 5, open: -1 };

const breakers: [name: string, before: Breaker, news: News, after: Breaker][] = [
  ["closed: a failed call counts", { failures: 1 }, { failures: 2 }, { failures: 3 }],
  ["closed: the fifth failure in a row opens it", { failures: 3 }, { failures: 2 }, {
    failures: 5,
    open: 60,
  }],
  ["closed: an answer ends the row", { failures: 4 }, { has_answered: true }, { failures: 0 }],
  ["closed: failures since the answer count alone", { failures: 4 }, {
    has_answered: true,
    failures: 2,
  }, { failures: 2 }],
  ["closed: five failures since the answer open it", {}, { has_answered: true, failures: 5 }, {
    failures: 5,
    open: 60,
  }],
  ["closed: too many requests open it as long as the provider says", {}, {
    asks_to_wait: true,
    wait_seconds: 90,
  }, { failures: 1, open: 90 }],
  ["closed: too many requests without a time open it for open_seconds", {}, {
    asks_to_wait: true,
  }, { failures: 1, open: 60 }],
  ["closed: a provider that says it is down opens it, and counts as down at once", {}, {
    asks_to_wait: true,
    wait_seconds: 3_600,
    is_down: true,
  }, { failures: 5, open: 3_600 }],
  ["closed: what cannot be used changes nothing", { failures: 2 }, { reason: "HTTP 401" }, {
    failures: 2,
  }],
  ["open: a further failure keeps it open, not shorter", { failures: 5, open: 300 }, {
    failures: 1,
  }, { failures: 6, open: 300 }],
  ["open: a call of before that is answered closes it", { failures: 5, open: 300 }, {
    has_answered: true,
  }, { failures: 0 }],
  ["open: answered and failed since: it stays as it is", { failures: 5, open: 30 }, {
    has_answered: true,
    failures: 1,
  }, { failures: 1, open: 30 }],
  ["open: told to wait once more is told the same", { failures: 1, open: 30 }, {
    asks_to_wait: true,
    wait_seconds: 90,
  }, { failures: 1, open: 90 }],
  ["open: a shorter wait does not shorten it", { failures: 1, open: 300 }, {
    asks_to_wait: true,
    wait_seconds: 90,
  }, { failures: 1, open: 300 }],
  ["half-open: the call that tries the provider fails: open again", halfOpen, { failures: 1 }, {
    failures: 6,
    open: 60,
  }],
  [
    "half-open after a single wait: the call that tries the provider fails: open again",
    {
      failures: 1,
      open: -1,
    },
    { failures: 1 },
    { failures: 2, open: 60 },
  ],
  ["half-open: the call that tries the provider is answered: closed", halfOpen, {
    has_answered: true,
  }, { failures: 0 }],
  ["half-open: the call that tries the provider is told to wait: open again", halfOpen, {
    asks_to_wait: true,
    wait_seconds: 10,
  }, { failures: 6, open: 10 }],
  ["half-open: the call that tries the provider learned nothing: it stays half-open", halfOpen, {
    reason: "HTTP 401",
  }, halfOpen],
];

Deno.test("breaker_after(): a provider's breaker after news of it", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, before, news, expected] of breakers) {
      await test.step(name, async () => {
        const [row] = await sql`
          select after.* from batches.breaker_after(
            jsonb_populate_record(null::batch_providers, ${
          sql.json({
            failures_in_row: before.failures ?? 0,
            open_until: before.open === undefined ? null : seconds(before.open).toISOString(),
            last_error: "before",
          })
        }),
            jsonb_populate_record(null::batches.provider_news, ${
          sql.json({
            has_answered: false,
            failures: 0,
            asks_to_wait: false,
            is_down: false,
            ...news,
          })
        }), ${sql.json(settings)}, ${NOON}) as after`;
        assert.deepEqual({
          failures: row!.failures_in_row,
          open: row!.open_until,
          error: row!.last_error,
        }, {
          failures: expected.failures ?? 0,
          open: expected.open === undefined ? null : seconds(expected.open),
          error: news.reason ?? "before",
        });
      });
    }
  });
});

interface Result {
  outcome: string;
  answerer?: string | null;
  reason?: string;
  wait_seconds?: number;
  provider_is_down?: true;
  provider_answered?: true;
}
const failed = { outcome: "failed", reason: "HTTP 500" };

/** Results in their order, from place 1 on; answers are known by the place of a provider's last one. */
const news: [
  name: string,
  results: Result[],
  answers: Record<string, number>,
  news: Record<string, News>,
][] = [
  ["answers alone", [], { one: 7, two: 3 }, {
    one: { has_answered: true },
    two: { has_answered: true },
  }],
  ["failures count by provider", [failed, failed, { ...failed, answerer: "two" }], {}, {
    one: { failures: 2, reason: "HTTP 500" },
    two: { failures: 1, reason: "HTTP 500" },
  }],
  ["only failures after the last answer count", [failed, failed, failed], { one: 2 }, {
    one: { has_answered: true, failures: 1, reason: "HTTP 500" },
  }],
  ["a refused task is an answer of the provider", [failed, { outcome: "refused" }], {}, {
    one: { has_answered: true, reason: "HTTP 500" },
  }],
  [
    "an answer that cannot be used is one all the same",
    [failed, {
      outcome: "unusable",
      provider_answered: true,
      reason: "cut",
    }],
    {},
    { one: { has_answered: true, reason: "HTTP 500" } },
  ],
  [
    "what cannot be used says nothing of the provider, but the reason is kept",
    [{
      outcome: "unusable",
      reason: "HTTP 401",
    }],
    {},
    { one: { reason: "HTTP 401" } },
  ],
  [
    "the longest wait counts",
    [
      { outcome: "waiting", wait_seconds: 5, reason: "HTTP 429" },
      { outcome: "waiting", wait_seconds: 90, reason: "HTTP 429" },
      { outcome: "waiting", reason: "HTTP 429" },
    ],
    {},
    { one: { asks_to_wait: true, wait_seconds: 90, reason: "HTTP 429" } },
  ],
  [
    "one call that says the provider is down is enough",
    [
      { outcome: "waiting", reason: "HTTP 429" },
      { outcome: "waiting", wait_seconds: 600, provider_is_down: true, reason: "HTTP 503" },
    ],
    {},
    { one: { asks_to_wait: true, wait_seconds: 600, is_down: true, reason: "HTTP 503" } },
  ],
  ["calls cut by the end of the run say nothing", [{ outcome: "cut" }], {}, { one: {} }],
  [
    "the newest reason counts",
    [failed, { ...failed, reason: "no connection" }, {
      outcome: "cut",
    }],
    {},
    { one: { failures: 2, reason: "no connection" } },
  ],
  ["a result without an answerer is no news", [{ outcome: "unusable", answerer: null }], {}, {}],
];

Deno.test("provider_news(): what results say of the providers", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, results, answers, expected] of news) {
      await test.step(name, async () => {
        const list = results.map((result, i) => ({
          place: i + 1,
          id: i,
          answerer: "one",
          ...result,
        }));
        const rows = await sql`
          select * from batches.provider_news(
            array(select results from jsonb_populate_recordset(null::batches.result, ${
          sql.json(list)
        }) as results), ${sql.json(answers)}) order by provider`;
        assert.deepEqual(
          [...rows],
          Object.entries(expected).map(([provider, told]) => ({
            provider,
            has_answered: false,
            failures: 0,
            asks_to_wait: false,
            wait_seconds: null,
            is_down: false,
            reason: null,
            ...told,
          })),
        );
      });
    }
  });
});
