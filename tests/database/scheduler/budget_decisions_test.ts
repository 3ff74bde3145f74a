/** The functions that decide of a budget's state, by tables of cases; and that the usual take decides as they do. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { quietRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";

const at = (seconds: number) => t.after(seconds / 60);
/** To the microsecond, as Postgres counts. */
const exactly = (seconds: number) =>
  at(seconds).toISOString().replace(
    "Z",
    `${String(Math.round(seconds * 1e6) % 1000).padStart(3, "0")}Z`,
  );
const secondsOf = (moment: Date | null) => moment && (moment.getTime() - t.NOON.getTime()) / 1000;

/** What was taken: tokens at seconds. The first entry of the arrays counts no more. */
type Taken = [second: number, tokens: number][];

interface State {
  kind?: "fixed";
  taken?: Taken;
  left?: number;
  resets?: number;
  ahead?: number;
}

/** A budget of 10 tokens in 60 seconds, as SQL. */
function budget({ kind, taken = [], left, resets, ahead }: State): string {
  let total = 0;
  const row = {
    name: "api",
    tokens: 10,
    per_seconds: 60,
    window_kind: kind ?? "sliding",
    taken_at: ["-infinity", ...taken.map(([second]) => exactly(second))],
    taken_total: [0, ...taken.map(([, tokens]) => total += tokens)],
    tokens_left: left ?? 10 - total,
    resets_at: resets === undefined ? null : at(resets),
    ahead_of: ahead === undefined ? null : at(ahead),
  };
  return `jsonb_populate_record(null::public.scheduler_budgets, '${JSON.stringify(row)}')`;
}

/** The state as the tables below write it. */
async function state(sql: Sql, expression: string): Promise<State> {
  const [row] = await sql.unsafe(
    `
    select window_kind, array(select extract(epoch from at - $1::timestamptz)::float8
        from unnest(taken_at[2:]) as at) as seconds,
      array(select (total - lag(total, 1, taken_total[1]) over (order by place))::int
        from unnest(taken_total[2:]) with ordinality as totals (total, place) order by place) as tokens,
      tokens_left, resets_at, ahead_of from ${expression} as b`,
    [t.NOON],
  );
  const { window_kind, seconds, tokens, tokens_left, resets_at, ahead_of } = row!;
  return {
    ...(window_kind === "fixed" ? { kind: "fixed" } : {}),
    ...(seconds.length > 0 ? { taken: seconds.map((s: number, i: number) => [s, tokens[i]]) } : {}),
    left: tokens_left,
    ...(resets_at ? { resets: secondsOf(resets_at)! } : {}),
    ...(ahead_of ? { ahead: secondsOf(ahead_of)! } : {}),
  } as State;
}

const ages: [what: string, before: State, now: number, after: State][] = [
  ["nothing was taken", {}, 0, { left: 10 }],
  ["takes that count", { taken: [[0, 3], [10, 2]] }, 59, { taken: [[0, 3], [10, 2]], left: 5 }],
  ["a take of a span ago counts no more", { taken: [[0, 3], [10, 2]] }, 60, {
    taken: [[10, 2]],
    left: 8,
  }],
  ["none counts any more", { taken: [[0, 3], [10, 2]] }, 70, { left: 10 }],
  ["up to a second ahead is no jump", { taken: [[0, 3], [50, 2]] }, 49, {
    taken: [[0, 3], [50, 2]],
    left: 5,
  }],
  ["the clock was set back", { taken: [[3600, 3], [3610, 2]] }, 0, {
    taken: [[0, 5]],
    left: 5,
    ahead: 3610,
  }],
  [
    "the clock was set back between takes",
    { taken: [[0, 1], [30, 2], [40, 3]] },
    35,
    { taken: [[0, 1], [30, 2], [35, 3]], left: 4, ahead: 40 },
  ],
  ["the clock was set back once more", { taken: [[0, 3]], ahead: 3600 }, -100, {
    taken: [[-100, 3]],
    left: 7,
    ahead: 3600,
  }],
  ["the clock is still behind", { taken: [[0, 3]], ahead: 3600 }, 60, { left: 10, ahead: 3600 }],
  ["the clock shows the time before the jump", { taken: [[0, 3], [9, 1]], ahead: 3600 }, 3600, {
    taken: [[3600, 4]],
    left: 6,
  }],
  ["no window is open", { kind: "fixed" }, 0, { kind: "fixed", left: 10 }],
  ["a window is open", { kind: "fixed", left: 4, resets: 60 }, 59, {
    kind: "fixed",
    left: 4,
    resets: 60,
  }],
  ["a window has ended", { kind: "fixed", left: 4, resets: 60 }, 60, { kind: "fixed", left: 10 }],
  [
    "the clock was set back in a window",
    { kind: "fixed", left: 4, resets: 3660 },
    0,
    { kind: "fixed", left: 4, resets: 60, ahead: 3600 },
  ],
  [
    "the clock shows the time before the jump, in a window",
    { kind: "fixed", left: 4, resets: 60, ahead: 3600 },
    3605,
    { kind: "fixed", left: 4, resets: 3665 },
  ],
];

for (const [what, before, now, after] of ages) {
  t.ledgerTest(`budget_at: ${what}`, async ({ sql }) => {
    const aged = `scheduler.budget_at(${budget(before)}, '${at(now).toISOString()}')`;
    assert.deepEqual(await state(sql, aged), after);
  });
}

type Reservation = [job: string, left: number, by: number];
const opens: [
  what: string,
  before: State,
  wanted: number,
  now: number,
  from: number | null,
  reservations?: Reservation[],
  job?: string,
][] = [
  ["there are enough", { taken: [[0, 7]] }, 3, 10, null],
  ["the first take has to age", { taken: [[0, 7], [5, 1]] }, 3, 10, 60],
  ["the second has to, too", { taken: [[0, 1], [5, 9]] }, 2, 10, 65],
  ["all have to", { taken: [[0, 1], [5, 1], [9, 8]] }, 10, 10, 69],
  ["a fraction is rounded up to a millisecond", { taken: [[0.0004, 10]] }, 1, 10, 60.001],
  ["the limit was lowered below what was taken", { taken: [[0, 10], [5, 9]], left: 0 }, 2, 10, 65],
  ["a window has enough", { kind: "fixed", left: 3, resets: 60 }, 3, 10, null],
  ["a window has not", { kind: "fixed", left: 3, resets: 60 }, 4, 10, 60],
  ["tokens are reserved", {}, 3, 0, 30.001, [["sweep", 8, 30]]],
  ["they are its own", {}, 3, 0, null, [["sweep", 8, 30]], "sweep"],
  ["enough are left beside them", {}, 2, 0, null, [["sweep", 8, 30]]],
  ["the deadline has passed", {}, 3, 31, null, [["sweep", 8, 30]]],
  ["one more span until the deadline", {}, 10, 0, null, [["sweep", 10, 60]]],
  ["a little less than one", {}, 1, 0, 59.001, [["sweep", 10, 59]]],
  ["first one deadline, then the other", {}, 8, 0, 70.001, [["a", 5, 30], ["b", 9, 70]]],
  ["a fixed window and one more", { kind: "fixed", left: 5, resets: 20 }, 5, 0, null, [[
    "sweep",
    10,
    20,
  ]]],
  ["a fixed window alone", { kind: "fixed", left: 5, resets: 20 }, 1, 0, 19.001, [[
    "sweep",
    5,
    19,
  ]]],
];

for (const [what, before, wanted, now, from, reservations = [], job = null] of opens) {
  t.ledgerTest(`budget_opens_at: ${what}`, async ({ sql }) => {
    const rows = reservations.map(([name, left, by]) => ({
      job_name: name,
      tokens_left: left,
      needed_by: at(by),
    }));
    const moment = await t.value(
      sql,
      `scheduler.budget_opens_at(${budget(before)}, array(
        select jsonb_populate_record(null::scheduler.budget_reservations, r) from jsonb_array_elements($1::jsonb) as r),
        $2, $3, $4)`,
      [rows, wanted, job, at(now)],
    );
    assert.equal(secondsOf(moment), from);
  });
}

const reports: [what: string, before: State, left: number, resets: number | null, after: State][] =
  [
    ["as many as we think", { taken: [[0, 3]] }, 7, 50, { taken: [[0, 3]], left: 7 }],
    ["more than we think: calls are under way", { taken: [[0, 3]] }, 9, 50, {
      taken: [[0, 3]],
      left: 7,
    }],
    ["fewer: free again at the reset", { taken: [[0, 3]] }, 5, 50, {
      taken: [[-10, 2], [0, 3]],
      left: 5,
    }],
    ["fewer, until between two takes", { taken: [[-5, 1], [0, 3]] }, 2, 57, {
      taken: [[-5, 1], [-3, 4], [0, 3]],
      left: 2,
    }],
    ["fewer, until an unknown time", { taken: [[0, 3]] }, 5, null, {
      taken: [[0, 3], [10, 2]],
      left: 5,
    }],
    ["fewer, for longer than a span", { taken: [[0, 3]] }, 0, 7200, {
      taken: [[0, 3], [10, 7]],
      left: 0,
    }],
    ["a reset that is over", { taken: [[0, 3]] }, 0, 10, { taken: [[0, 3]], left: 7 }],
    [
      "fixed: the same window",
      { kind: "fixed", left: 5, resets: 60 },
      8,
      50,
      { kind: "fixed", left: 5, resets: 50 },
    ],
    [
      "fixed: the same window, fewer",
      { kind: "fixed", left: 5, resets: 60 },
      2,
      60,
      { kind: "fixed", left: 2, resets: 60 },
    ],
    [
      "fixed: a new window",
      { kind: "fixed", left: 0, resets: 20 },
      9,
      65,
      { kind: "fixed", left: 9, resets: 65 },
    ],
    [
      "fixed: nearly the same reset",
      { kind: "fixed", left: 0, resets: 60 },
      9,
      62,
      { kind: "fixed", left: 0, resets: 62 },
    ],
    ["fixed: none was open", { kind: "fixed" }, 4, 30, { kind: "fixed", left: 4, resets: 30 }],
    ["fixed: no reset", { kind: "fixed", left: 5, resets: 60 }, 1, null, {
      kind: "fixed",
      left: 1,
      resets: 60,
    }],
    ["fixed: a reset of another year", { kind: "fixed" }, 4, 31_536_000, {
      kind: "fixed",
      left: 4,
      resets: 70,
    }],
    ["fixed: a window that is over", { kind: "fixed", left: 5, resets: 60 }, 0, 5, {
      kind: "fixed",
      left: 5,
      resets: 60,
    }],
    ["fixed: more than the limit", { kind: "fixed" }, 4000, 30, {
      kind: "fixed",
      left: 10,
      resets: 30,
    }],
  ];

for (const [what, before, left, resets, after] of reports) {
  t.ledgerTest(`budget_after_report: ${what}`, async ({ sql }) => {
    const moment = resets === null ? "null" : `'${at(resets).toISOString()}'`;
    const reported = `scheduler.budget_after_report(
      ${budget(before)}, ${left}, ${moment}, '${at(10).toISOString()}')`;
    assert.deepEqual(await state(sql, reported), after);
  });
}

t.ledgerTest(
  "the usual take leaves the answer and the state that the whole decision does",
  async ({ sql }) => {
    for (const kind of ["sliding", "fixed"]) {
      const random = quietRandom(5);
      for (const name of ["usual", "whole"]) {
        await sql`select scheduler.register_budget(${name}, 400, '60 s', ${kind})`;
      }
      let granted = 0, refused = 0;
      for (let ms = 0; ms < 300_000; ms += random.chance(0.01) ? 30_000 : random.whole(1, 800)) {
        const now = new Date(t.NOON.getTime() + ms);
        const wanted = random.whole(1, 7);
        const usual = await t.value(sql, "scheduler.take_tokens('usual', $1, null, $2)", [
          wanted,
          now,
        ]);
        const whole = await t.value(sql, "scheduler.take_under_lock('whole', $1, null, $2)", [
          wanted,
          now,
        ]);
        assert.deepEqual(usual, whole, `${kind} at ${ms} ms`);
        usual.granted ? granted++ : refused++;
      }
      const states = await sql`
      select taken_at, taken_total, tokens_left * (window_kind = 'fixed')::int as tokens_left, resets_at
      from scheduler_budgets order by name`;
      assert.deepEqual(states[0], states[1]);
      assert.ok(granted > 200 && refused > 20, `${granted} and ${refused}`);
      await sql`delete from scheduler_budgets`;
    }
  },
);
