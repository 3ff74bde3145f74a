import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

interface Part {
  /** Null: no provider answers. */
  answerer?: string | null;
  is_half_open?: true;
  problem?: string;
  /** Seconds from now. */
  callable?: number;
  rest?: number;
  concurrency?: number;
  held?: number;
  slots?: number;
  room?: number;
  taken?: number;
  bytes?: number;
}

const seconds = (count: number) => after(count / 60);
const part = ({ answerer = "one", callable, rest, ...more }: Part) => ({
  provider: "one",
  asks_fallback: false,
  is_half_open: false,
  room: 0,
  taken: 0,
  bytes: 0,
  ...more,
  answerer,
  callable_at: callable === undefined ? null : seconds(callable),
  rest_at: rest === undefined ? null : seconds(rest),
});
const parts = (sql: Sql, list: Part[]) =>
  sql`array(select parts from jsonb_populate_recordset(null::batches.claim_part, ${
    sql.json(list.map(part) as never)
  }) as parts)`;

const rooms: [name: string, own: Part, before: Part[], limit: number, room: number][] = [
  ["the limit, where slots do not count", {}, [], 100, 100],
  ["what is left of the limit", {}, [{ taken: 60 }, { answerer: "two", taken: 30 }], 100, 10],
  ["none, when the limit is used up", {}, [{ taken: 100 }], 100, 0],
  ["the answerer's slots", { slots: 4 }, [], 100, 4],
  ["what is left of its slots after a part before it", { slots: 4 }, [{ taken: 3 }], 100, 1],
  [
    "its slots, whatever other answerers took",
    { slots: 4 },
    [{ answerer: "two", taken: 9 }],
    100,
    4,
  ],
  ["none, when others have more than its concurrency", { slots: -2 }, [], 100, 0],
  ["one, where its breaker is half-open", { is_half_open: true }, [], 100, 1],
  ["none, when a part before it tries it already", { is_half_open: true }, [{ taken: 1 }], 100, 0],
  [
    "none, where its breaker is half-open and others have its slots",
    {
      is_half_open: true,
      slots: 0,
    },
    [],
    100,
    0,
  ],
  ["none while no provider answers", { answerer: null, callable: 60 }, [], 100, 0],
  [
    "the limit, where nobody ever answers: such tasks fail without a call",
    {
      answerer: null,
      problem: "disabled",
    },
    [{ taken: 30 }],
    100,
    70,
  ],
  ["none, after 4 MB of prompts", {}, [{ taken: 2, bytes: 4_000_000 }], 100, 0],
  ["some, just before 4 MB", {}, [{ taken: 2, bytes: 3_999_999 }], 100, 98],
];

Deno.test("claim_room(): how many tasks a part of a claim may take", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, own, before, limit, room] of rooms) {
      await test.step(name, async () => {
        const [row] = await sql`
          select batches.claim_room((${parts(sql, [own])})[1], ${
          parts(sql, before)
        }, ${limit}) as room`;
        assert.equal(row!.room, room);
      });
    }
  });
});

interface Told {
  more?: string[];
  waits?: string[];
  /** Seconds from now; null: never. */
  next: number | null;
}
interface Claim {
  parts: Part[];
  limit?: number;
  othersUntil?: number;
  failsAt?: number;
}

const busy = { concurrency: 4, held: 0, slots: 4 };
const outcomes: [name: string, claim: Claim, told: Told][] = [
  ["nothing is left", { parts: [{ room: 9, taken: 5 }] }, { next: null }],
  ["no part at all", { parts: [] }, { next: null }],
  ["more for the same answerer, where slots do not count", {
    parts: [{ room: 5, taken: 5, rest: 0 }],
    limit: 5,
  }, { more: ["one"], next: null }],
  ["more, and all its slots are this processor's: after one of its calls", {
    parts: [{ ...busy, room: 4, taken: 4, rest: 0 }],
  }, { more: ["one"], next: null }],
  ["more, and it held all the slots before", {
    parts: [{ ...busy, held: 4, slots: 0, rest: 0 }],
  }, { more: ["one"], next: null }],
  ["more, and others have some slots: it waits for them, and looks each second", {
    parts: [{ ...busy, slots: 2, room: 2, taken: 2, rest: 0 }],
  }, { more: ["one"], waits: ["one"], next: 1 }],
  ["more, and others have all slots: no call of its own will end", {
    parts: [{ ...busy, slots: 0, rest: 0 }],
  }, { waits: ["one"], next: 1 }],
  ["more, and the claim is as long as may be: at once", {
    parts: [{ ...busy, room: 3, taken: 3, rest: 0 }],
    limit: 3,
  }, { more: ["one"], waits: ["one"], next: 0 }],
  ["more, and the claim has 4 MB of prompts: at once", {
    parts: [{ ...busy, room: 2, taken: 2, bytes: 4_000_000, rest: 0 }],
  }, { more: ["one"], waits: ["one"], next: 0 }],
  ["an answerer of two parts holds the calls of both", {
    parts: [
      { ...busy, concurrency: 5, room: 3, taken: 3, rest: 0 },
      { ...busy, concurrency: 5, room: 2, taken: 2, rest: 0 },
    ],
  }, { more: ["one", "one"], waits: ["one"], next: 1 }],
  ["a task rests: when it may be called", {
    parts: [{ ...busy, room: 4, taken: 2, rest: 30 }],
  }, { next: 30 }],
  ["a task rests no longer than a second: in a second", {
    parts: [{ ...busy, room: 4, taken: 2, rest: 0.2 }],
  }, { next: 1 }],
  ["of several that rest the first counts", {
    parts: [{ room: 4, taken: 2, rest: 30 }, { answerer: "two", room: 4, taken: 2, rest: 20 }],
  }, { next: 20 }],
  ["nobody answers: when somebody may be called", {
    parts: [{ answerer: null, callable: 60, rest: 0 }],
  }, { next: 60 }],
  ["nobody answers, and the task rests longer", {
    parts: [{ answerer: null, callable: 60, rest: 90 }],
  }, { next: 90 }],
  ["its breaker is half-open: when the call that tries it may be back", {
    parts: [{ ...busy, is_half_open: true, callable: 5, room: 1, taken: 1, rest: 0 }],
  }, { next: 5 }],
  ["tasks that are to fail are left: at once", {
    parts: [{ answerer: null, problem: "disabled", room: 3, taken: 3, rest: 0 }],
    limit: 3,
  }, { next: 0 }],
  ["another processor's lease ends before", {
    parts: [{ room: 4, taken: 2, rest: 90 }],
    othersUntil: 60,
  }, { next: 60 }],
  ["another processor's lease is all there is to wait for", { parts: [], othersUntil: 60 }, {
    next: 60,
  }],
  ["another processor's lease ends at once: in a second", { parts: [], othersUntil: 0.1 }, {
    next: 1,
  }],
  ["what waits for a provider fails before", {
    parts: [{ answerer: null, callable: 900, rest: 0 }],
    failsAt: 300,
  }, { next: 300 }],
  ["what waits for a provider would have failed by now", {
    parts: [{ answerer: null, callable: 900, rest: 0 }],
    failsAt: -300,
  }, { next: 900 }],
  ["nothing is left, and nothing fails", { parts: [], failsAt: 300 }, { next: null }],
];

Deno.test("claim_outcome(): what a processor is told of the rest", async (test) => {
  await withDatabase(async ({ sql }) => {
    const at = (seconds_: number | undefined) => seconds_ === undefined ? null : seconds(seconds_);
    for (const [name, claim, told] of outcomes) {
      await test.step(name, async () => {
        const [row] = await sql`
          select more, waits, next_at from batches.claim_outcome(${parts(sql, claim.parts)}, ${
          claim.limit ?? 100
        }, ${at(claim.othersUntil)}, ${at(claim.failsAt)}, ${NOON})`;
        const { more = [], waits = [], next } = told;
        assert.deepEqual({ ...row }, {
          more,
          waits,
          next_at: next === null ? null : seconds(next),
        });
      });
    }
  });
});
