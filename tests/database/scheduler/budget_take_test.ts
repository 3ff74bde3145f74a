/** What a budget grants: in any span of its length never more than its tokens, whoever asks, and whatever the clock does. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import { cases } from "../../support/cases.ts";
import * as t from "../../support/scheduler.ts";

const at = (seconds: number) => t.after(seconds / 60);

function registerBudget(sql: Sql, name: string, tokens: number, per: string, kind = "sliding") {
  return sql`select scheduler.register_budget(${name}, ${tokens}, ${per}::interval, ${kind})`;
}

/** Takes at that second; what is left, or the second from which it would be granted as text: "from 60". */
async function take(
  sql: Pick<Sql, "unsafe">,
  seconds: number,
  tokens = 1,
  job: string | null = null,
  budget = "api",
) {
  const answer = await t.value(sql, "scheduler.take_tokens($1, $2, $3, $4)", [
    budget,
    tokens,
    job,
    at(seconds),
  ]);
  if (answer.granted) return answer.left as number;
  return `from ${(Date.parse(answer.from) - t.NOON.getTime()) / 1000}`;
}

interface Grant {
  at: number;
  tokens: number;
}

/** The most that was granted in any span (end - per, end]. */
function mostInSpan(grants: Grant[], per: number): number {
  const sorted = [...grants].sort((a, b) => a.at - b.at);
  let first = 0, sum = 0, most = 0;
  for (const { at, tokens } of sorted) {
    sum += tokens;
    while (sorted[first]!.at <= at - per) sum -= sorted[first++]!.tokens;
    most = Math.max(most, sum);
  }
  return most;
}

t.ledgerTest(
  "a sliding budget grants its tokens in any span, and says from when",
  async ({ sql }) => {
    await registerBudget(sql, "api", 3, "60 s");
    assert.equal(await take(sql, 0), 2);
    assert.equal(await take(sql, 10, 2), 0);
    assert.equal(await take(sql, 20), "from 60");
    assert.equal(await take(sql, 20, 3), "from 70");
    assert.equal(await take(sql, 59.999), "from 60");
    assert.equal(await take(sql, 60), 0);
    assert.equal(await take(sql, 61), "from 70");
    assert.equal(await take(sql, 70, 2), 0);
    assert.equal(await take(sql, 200), 2);
  },
);

t.ledgerTest(
  "a fixed budget grants its tokens from a first take until its reset",
  async ({ sql }) => {
    await registerBudget(sql, "api", 3, "60 s", "fixed");
    assert.equal(await take(sql, 0), 2);
    assert.equal(await take(sql, 50, 2), 0);
    assert.equal(await take(sql, 59.999), "from 60");
    assert.equal(await take(sql, 60, 3), 0);
    assert.equal(await take(sql, 119), "from 120");
    assert.equal(await take(sql, 500), 2, "a window begins with a take");
    assert.equal(await take(sql, 559, 3), "from 560");
  },
);

t.ledgerTest("the answer of a refused take says how long that is", async ({ sql }) => {
  await registerBudget(sql, "api", 1, "60 s");
  await take(sql, 0);
  assert.deepEqual(await t.value(sql, "scheduler.take_tokens('api', 1, null, $1)", [at(15)]), {
    granted: false,
    from: "2026-03-02T12:01:00+00:00",
    wait_ms: 45_000,
  });
});

t.ledgerTest("what cannot be taken is refused with the figure that is wrong", async ({ sql }) => {
  await registerBudget(sql, "api", 3, "60 s");
  for (
    const [tokens, now] of [["0", "now()"], ["-1", "now()"], ["4", "now()"], ["null", "now()"]]
  ) {
    for (const call of ["take_tokens", "budget_open"]) {
      const error = await refusal(
        sql.unsafe(`select scheduler.${call}('api', ${tokens}, null, ${now})`),
      );
      assert.deepEqual([error.code, error.message], [
        "22023",
        `cannot take of the budget api: tokens must be from 1 to 3, which is all that it ever holds, got ${tokens}`,
      ]);
    }
  }
  const odd = await refusal(sql`select scheduler.take_tokens('api', 1, null, 'infinity')`);
  assert.deepEqual([odd.code, odd.message], [
    "22023",
    "cannot take of the budget api: now must be a moment, got infinity",
  ]);
  for (const number of ["NaN", "Infinity"]) {
    const error = await refusal(sql.unsafe(`select scheduler.take_tokens('api', '${number}')`));
    assert.equal(error.code, "22P02");
  }
  assert.equal(await take(sql, 0, 3), 0, "none of these took anything");
});

t.ledgerTest("an unknown budget is refused, with those there are", async ({ sql }) => {
  await registerBudget(sql, "api", 3, "60 s");
  await registerBudget(sql, "other", 3, "60 s");
  for (
    const call of [
      "take_tokens('nothing', 1)",
      "reserve_tokens('nothing', 1, now() + interval '1 hour', 'job')",
      "report_budget('nothing', 1, null)",
      "budget_open('nothing', 1)",
      "release_reservation('nothing', 'job')",
      "refill_budget('nothing', 'ann')",
      "unregister_budget('nothing')",
    ]
  ) {
    const error = await refusal(sql.unsafe(`select scheduler.${call}`));
    assert.deepEqual([error.code, error.message, error.hint], [
      "SD012",
      "there is no budget named 'nothing'",
      "the budgets are: api, other",
    ], call);
  }
});

t.ledgerTest("a take that is rolled back costs nothing", async ({ sql }) => {
  await registerBudget(sql, "api", 1, "60 s");
  await assert.rejects(sql.begin(async (transaction) => {
    assert.equal(await take(transaction, 0), 0);
    throw new Error("the client changed its mind");
  }));
  assert.equal(await take(sql, 1), 0);
});

t.ledgerTest("a taker that dies costs its tokens for one span and no longer", async (db) => {
  await registerBudget(db.sql, "api", 5, "60 s");
  const client = db.connect();
  const [backend] = await client`select pg_backend_pid() as pid`;
  assert.equal(await take(client, 0, 5), 0);
  const waits = client`select pg_sleep(60)`.catch(() => {});
  await db.admin`select pg_terminate_backend(${backend!.pid}, 5000)`;
  await waits;
  assert.equal(await take(db.sql, 30), "from 60");
  assert.equal(await take(db.sql, 60, 5), 0);
});

/** In the second, more moments than there are entries: neighbours are merged. */
const days = [
  { kind: "sliding", tokens: 30, per: 900, hours: cases(24, 6), step: 90, share: 0.08 },
  { kind: "sliding", tokens: 500, per: 600, hours: cases(3, 1), step: 4, share: 0.03 },
  { kind: "fixed", tokens: 30, per: 900, hours: cases(24, 6), step: 90, share: 0.08 },
];

for (const { kind, tokens, per, hours, step, share } of days) {
  t.ledgerTest(
    `40 clients on 4 connections never get more than ${tokens} in ${per} s of ${hours} hours (${kind})`,
    async (db) => {
      const random = quietRandom(tokens + per);
      await registerBudget(db.sql, "api", tokens, `${per} s`, kind);
      const connections = [1, 2, 3, 4].map(() => db.connect());
      const grants: Grant[] = [];
      let refused = 0;
      // At each moment some of the clients ask at once; each connection serves every fourth.
      for (let now = 0; now < hours * 3600; now += random.whole(1, step)) {
        const asking = Array.from({ length: 40 }, (_, client) => client)
          .filter(() => random.chance(share));
        await Promise.all(asking.map(async (client) => {
          const wanted = random.whole(1, 5);
          const answer = await take(connections[client % 4]!, now, wanted);
          if (typeof answer === "number") grants.push({ at: now, tokens: wanted });
          else refused++;
        }));
      }
      assert.ok(grants.length > cases(500) && refused > 500, `${grants.length} and ${refused}`);
      if (kind === "sliding") {
        const most = mostInSpan(grants, per);
        assert.ok(most <= tokens, `${most} in one span`);
        assert.ok(most > tokens * 0.98 - 5, `only ${most} in the fullest span`);
        return;
      }
      const windows: { from: number; tokens: number }[] = [];
      for (const grant of grants.sort((a, b) => a.at - b.at)) {
        const open = windows.at(-1);
        if (open !== undefined && grant.at < open.from + per) open.tokens += grant.tokens;
        else windows.push({ from: grant.at, tokens: grant.tokens });
      }
      assert.ok(Math.max(...windows.map((window) => window.tokens)) <= tokens);
    },
  );
}

for (const beside of [null, "a reservation"]) {
  t.ledgerTest(
    `takes without a clock of their own, at once, are in order and counted one by one, beside ${
      beside ?? "nothing"
    }`,
    async (db) => {
      await registerBudget(db.sql, "api", 150, "1 hour");
      // With one open, a take is decided by the functions, under a lock of their own.
      if (beside !== null) {
        await db
          .sql`select scheduler.reserve_tokens('api', 10, now() + interval '1 minute', 'sweep')`;
      }
      const free = beside === null ? 150 : 140;
      const connections = [1, 2, 3, 4].map(() => db.connect());
      const answers = await Promise.all(
        Array.from(
          { length: 200 },
          (_, i) => t.value(connections[i % 4]!, "scheduler.take_tokens('api', 1)"),
        ),
      );
      assert.equal(answers.filter(({ granted }) => granted).length, free);
      const [row] = await db.sql`
        select taken_at = array(select unnest(taken_at) order by 1) as ordered,
          taken_total[cardinality(taken_total)]::int as total from scheduler_budgets`;
      assert.deepEqual({ ...row }, { ordered: true, total: free });
    },
  );
}

t.ledgerTest(
  "many takes are merged: never more than the limit, at most a ninetieth later, exact up to 91",
  async ({ sql }) => {
    await registerBudget(sql, "api", 700, "900 s");
    const random = quietRandom(7);
    const grants: Grant[] = [];
    let entries = 0, late = 0;
    for (let now = 0; now < 4000; now += random.whole(1, 40) / 10) {
      const wanted = random.whole(1, 3);
      const live = grants.filter((grant) => grant.at > now - 900);
      const exact = live.reduce((sum, { tokens }) => sum + tokens, 0) + wanted <= 700;
      const answer = await take(sql, now, wanted);
      if (typeof answer === "number") {
        assert.ok(exact, `granted at ${now}, and it was too much`);
        grants.push({ at: now, tokens: wanted });
      } else if (exact) {
        // Refused because merged entries count longer; without those it is granted a ninetieth of the span earlier.
        late++;
        const older = grants.filter((grant) => grant.at > now - 900 - 10);
        assert.ok(older.reduce((sum, { tokens }) => sum + tokens, 0) + wanted > 700);
      }
      const [row] = await sql`select cardinality(taken_at) as entries from scheduler_budgets`;
      entries = Math.max(entries, row!.entries);
    }
    assert.ok(mostInSpan(grants, 900) <= 700);
    assert.ok(entries >= 92 && entries <= 104, `${entries} entries`);
    assert.ok(late > 0, "something was merged");
    const total = await t.value(
      sql,
      "(select tokens - tokens_left from scheduler.budget_states($1))",
      [at(4000)],
    );
    assert.ok(
      total >= grants.filter(({ at }) => at > 3100).reduce((sum, { tokens }) => sum + tokens, 0),
    );

    await registerBudget(sql, "few", 1000, "900 s");
    for (let now = 0; now < 102; now++) await take(sql, now, 1, null, "few");
    assert.equal(await take(sql, 102, 900, null, "few"), "from 901");
    assert.equal(await take(sql, 901, 900, null, "few"), 0);
  },
);

/** A clock that is wrong: what it shows at each true second. */
const jumps: Record<string, (second: number) => number> = {
  "is set back for good": (second) => second < 100 ? second : second - 3600,
  "is set back and forth again": (second) => second < 100 || second >= 105 ? second : second - 3600,
  "is set back, and forth later than a span": (second) =>
    second < 100 || second >= 400 ? second : second - 3600,
  "is set back twice": (second) =>
    second < 100 ? second : second < 130 ? second - 600 : second - 7200,
  "is set back twice and forth again": (second) =>
    second < 100 || second >= 170 ? second : second < 130 ? second - 600 : second - 7200,
  "goes back and forth all the time": (second) => second % 20 < 10 ? second : second - 1800,
};

for (const [what, shown] of Object.entries(jumps)) {
  for (const kind of ["sliding", "fixed"]) {
    t.ledgerTest(
      `a clock that ${what} grants nothing twice, and the budget recovers (${kind})`,
      async ({ sql }) => {
        await registerBudget(sql, "api", 10, "60 s", kind);
        const random = quietRandom(42);
        const grants: Grant[] = [];
        for (let second = 0; second < 4000; second++) {
          if (second > 600 && second % 5 > 0) continue;
          if (random.chance(0.2)) continue;
          const answer = await take(sql, shown(second), 1);
          if (typeof answer === "number") grants.push({ at: second, tokens: 1 });
        }
        const most = mostInSpan(grants, 60);
        // A fixed window may be followed by the next at once.
        assert.ok(most <= (kind === "fixed" ? 20 : 10), `${most} in a span`);
        if (kind === "fixed") {
          const first = grants.filter(({ at }) => at < 160 && at >= 95);
          assert.ok(first.length <= 10 + 10, `${first.length}`);
        }
        if (!what.includes("all the time")) {
          const later = grants.filter(({ at }) => at >= 600 && at < 3600).length;
          assert.ok(later >= 400, `recovers: ${later} of 500`);
        }
      },
    );
  }
}

t.ledgerTest(
  "tokens that are taken when the clock was set back count as taken then",
  async ({ sql }) => {
    await registerBudget(sql, "api", 3, "60 s");
    await take(sql, 3600, 3);
    assert.equal(await take(sql, 0), "from 60");
    assert.equal(await take(sql, 30), "from 60");
    assert.equal(await take(sql, 60, 2), 1);
    assert.equal(
      await take(sql, 3601, 2),
      "from 3661",
      "forth again: what was taken meanwhile counts from here",
    );
    assert.equal(await take(sql, 3601), 0);
    assert.equal(await take(sql, 3661, 3), 0);
  },
);

t.ledgerTest("budget_open says when, and changes nothing", async ({ sql }) => {
  await registerBudget(sql, "api", 3, "60 s");
  await take(sql, 0, 2);
  const state = async () => [...await sql`select * from scheduler_budgets`];
  const before = await state();
  const open = async (tokens: number, now: number) =>
    (await t.value(sql, "scheduler.budget_open('api', $1, null, $2)", [tokens, at(now)]) as Date)
        .getTime() / 1000 - t.NOON.getTime() / 1000;
  assert.equal(await open(1, 5), 5);
  assert.equal(await open(2, 5), 60);
  assert.equal(await open(3, 100), 100);
  assert.equal(await open(1, -3600), -3600);
  assert.equal(await open(2, -3600), -3540);
  assert.deepEqual(await state(), before);
});
