/** Reserved tokens are kept for their job until it took them or its deadline passed, and no longer than that. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const at = (seconds: number) => t.after(seconds / 60);
const secondsOf = (moment: string | Date) => (new Date(moment).getTime() - t.NOON.getTime()) / 1000;

function register(sql: Sql, tokens: number, seconds: number, kind = "sliding") {
  return sql`select scheduler.register_budget('api', ${tokens}, ${`${seconds} s`}::interval, ${kind})`;
}

const reserve = (sql: Sql, seconds: number, tokens: number, by: number, job = "sweep") =>
  t.value(sql, "scheduler.reserve_tokens('api', $1, $2, $3, $4)", [
    tokens,
    at(by),
    job,
    at(seconds),
  ]);

/** True, or the second from which it is granted. */
async function take(sql: Sql, seconds: number, tokens = 1, job: string | null = null) {
  const answer = await t.value(sql, "scheduler.take_tokens('api', $1, $2, $3)", [
    tokens,
    job,
    at(seconds),
  ]);
  return answer.granted || secondsOf(answer.from);
}

const reserved = async (sql: Sql) =>
  Object.fromEntries(
    (await sql`select job_name, tokens_left from scheduler.budget_reservations order by 1`)
      .map((row) => [row.job_name, row.tokens_left]),
  );

t.ledgerTest("what is reserved is kept from others until the job took it", async ({ sql }) => {
  await register(sql, 10, 60);
  await reserve(sql, 0, 8, 30);
  assert.equal(await take(sql, 1, 2, "poller"), true);
  assert.equal(await take(sql, 2, 1, "poller"), 30.001, "8 of 10 are not its own");
  assert.equal(await take(sql, 3, 5, "sweep"), true);
  assert.deepEqual(await reserved(sql), { sweep: 3 });
  assert.equal(await take(sql, 4, 1, null), 30.001);
  assert.equal(await take(sql, 5, 3, "sweep"), true);
  assert.deepEqual(await reserved(sql), {});
});

t.ledgerTest("what is reserved is free again when its deadline has passed", async ({ sql }) => {
  await register(sql, 10, 60);
  await reserve(sql, 0, 10, 30);
  assert.equal(await take(sql, 10, 1, "poller"), 30.001);
  assert.equal(await take(sql, 30, 1, "poller"), 30.001);
  assert.equal(await take(sql, 30.001, 10, "poller"), true);
});

t.ledgerTest("a reservation far off keeps nothing that will be there again", async ({ sql }) => {
  await register(sql, 10, 60);
  await reserve(sql, 0, 20, 150);
  // Until 150 there are three spans of 10: 10 are nobody's.
  assert.equal(await take(sql, 0, 10, "poller"), true);
  assert.equal(await take(sql, 60, 1, "poller"), 150.001);
  assert.equal(await take(sql, 60, 10, "sweep"), true);
  assert.equal(await take(sql, 120, 10, "sweep"), true);
  assert.deepEqual(await reserved(sql), {});
});

t.ledgerTest(
  "a reservation with a later deadline gives way to one with an earlier",
  async ({ sql }) => {
    await register(sql, 10, 60);
    await reserve(sql, 0, 8, 30, "early");
    await reserve(sql, 0, 10, 100, "late");
    assert.equal(await take(sql, 1, 2, "late"), true);
    assert.equal(await take(sql, 2, 2, "late"), 30.001);
    assert.equal(await take(sql, 3, 8, "early"), true);
    assert.equal(await take(sql, 61, 2, "late"), true);
    assert.equal(await take(sql, 63, 6, "late"), true);
  },
);

t.ledgerTest("a job takes more than it reserved only if others lose nothing", async ({ sql }) => {
  await register(sql, 10, 60);
  await reserve(sql, 0, 3, 30, "a");
  await reserve(sql, 0, 5, 30, "b");
  assert.equal(await take(sql, 1, 6, "a"), 30.001);
  assert.equal(await take(sql, 2, 5, "a"), true);
  assert.deepEqual(await reserved(sql), { b: 5 });
});

t.ledgerTest(
  "a reservation that cannot be met any more keeps its own job from nothing",
  async ({ sql }) => {
    await register(sql, 10, 60);
    await reserve(sql, 0, 20, 70);
    // It has let a span pass.
    assert.equal(await take(sql, 65, 1, "poller"), 70.001);
    assert.equal(await take(sql, 65, 10, "sweep"), true);
  },
);

t.ledgerTest("what cannot be reserved is refused with the number that can", async ({ sql }) => {
  await register(sql, 10, 60);
  assert.equal(await take(sql, 0, 4), true);
  await reserve(sql, 1, 5, 200, "other");
  const error = await refusal(reserve(sql, 1, 17, 90));
  assert.deepEqual([error.code, error.message.replace(/until .*:/, "until …:"), error.hint], [
    "SD206",
    "cannot reserve 17 tokens of the budget api for sweep until …: at most 16 are possible",
    "ask for fewer, or for a later moment",
  ]);
  await reserve(sql, 1, 10, 90);
  await reserve(sql, 1, 3, 50);
  assert.deepEqual(await reserved(sql), { other: 5, sweep: 3 }, "instead of what it had");
  assert.equal(await t.value(sql, "scheduler.release_reservation('api', 'sweep')"), true);
  assert.equal(await t.value(sql, "scheduler.release_reservation('api', 'sweep')"), false);
  assert.deepEqual(await reserved(sql), { other: 5 });
});

t.ledgerTest("arguments that are no reservation are refused", async ({ sql }) => {
  await register(sql, 10, 60);
  const call = (tokens: string, by: string, job: string) =>
    refusal(sql.unsafe(
      `select scheduler.reserve_tokens('api', ${tokens}, ${by}, ${job}, '2026-03-02 12:00Z')`,
    ));
  const by = "'2026-03-02 13:00Z'";
  for (
    const [tokens, until, job, message] of [
      ["0", by, "'j'", "tokens must be from 1 to 1000000000, got 0"],
      ["-1", by, "'j'", "tokens must be from 1 to 1000000000, got -1"],
      ["null", by, "'j'", "tokens must be from 1 to 1000000000, got null"],
      ["1", "'infinity'", "'j'", "by must be a moment of the next 366 days, got infinity"],
      ["1", "null", "'j'", "by must be a moment of the next 366 days, got null"],
      ["1", by, "null", "the name of the job must be given"],
      ["1", by, "' '", "the name of the job must be given"],
    ] as const
  ) {
    const error = await call(tokens, until, job);
    assert.deepEqual([error.code, error.message], [
      "22023",
      `cannot reserve of the budget api: ${message}`,
    ]);
  }
  assert.match((await call("1", "'2026-03-02 12:00Z'", "'j'")).message, /by must be a moment/);
});

for (const kind of ["sliding", "fixed"]) {
  t.ledgerTest(`a sweep ends by its deadline while pollers give way (${kind})`, async ({ sql }) => {
    const random = quietRandom(11);
    await register(sql, 20, 600, kind);
    await take(sql, 0, 20, "poller");
    // Of seven spans it wants five.
    await reserve(sql, 300, 100, 4200);
    let polled = 0, refused = 0, open = 100;
    for (let now = 301; now <= 4200; now += random.whole(1, 9)) {
      if (await take(sql, now, random.whole(1, 4), "poller") === true) polled++;
      else refused++;
      // Not all at once, and not always in time.
      while (open > 0 && random.chance(0.8) && await take(sql, now, 1, "sweep") === true) open--;
    }
    assert.equal(open, 0);
    assert.ok(polled > 5 && refused > 100, `${polled} polled, ${refused} refused`);
    assert.equal(await take(sql, 5000, 4, "poller"), true);
  });
}

/** Whole seconds from `now` on in which as much as possible is taken, until all is taken: the most until each second. */
function greedy(
  kind: string,
  tokens: number,
  per: number,
  taken: number[],
  opened: number | null,
  now: number,
  until: number,
): number[] {
  const log = [...taken];
  let open = opened;
  const most: number[] = [];
  let sum = 0;
  for (let second = now; second <= until; second++) {
    let granted: number;
    if (kind === "sliding") {
      let counted = 0;
      for (let s = Math.max(0, second - per + 1); s <= second; s++) counted += log[s] ?? 0;
      granted = Math.max(0, tokens - counted);
    } else {
      if (open !== null && second >= open + per) open = null;
      const counted = open === null ? 0 : log.slice(open).reduce((a, b) => a + (b ?? 0), 0);
      granted = tokens - counted;
      if (granted > 0) open ??= second;
    }
    log[second] = (log[second] ?? 0) + granted;
    sum += granted;
    most[second] = sum;
  }
  return most;
}

/**
 * Against a model that plays every second to the last deadline: a take is granted exactly if the window allows it and
 * afterwards each reservation that could be met before can be met still; and it is granted at the moment promised.
 */
for (const kind of ["sliding", "fixed"]) {
  t.ledgerTest(
    `random takes and reservations are decided as a model by brute force decides (${kind})`,
    async ({ sql }) => {
      let decided = 0, refusedForOthers = 0, reservations = 0, promises = 0;
      for (let seed = 1; seed <= 12; seed++) {
        const random = quietRandom(seed);
        const tokens = random.whole(2, 9), per = random.whole(3, 12);
        await sql`delete from scheduler_budgets`;
        await register(sql, tokens, per, kind);
        const taken: number[] = Array.from({ length: 400 }, () => 0);
        let opened: number | null = null;
        let open: { job: string; left: number; by: number }[] = [];

        const windowAllows = (wanted: number, now: number) =>
          greedy(kind, tokens, per, taken, opened, now, now)[now]! >= wanted;
        /** By how much each deadline from now on is missed, were `wanted` taken by the job. */
        const missing = (wanted: number, job: string | null, now: number) => {
          const after = [...taken];
          after[now]! += wanted;
          const opens = opened !== null && now < opened + per ? opened : wanted > 0 ? now : null;
          const live = open.filter(({ by }) => by >= now);
          const last = Math.max(now, ...live.map(({ by }) => by));
          const most = greedy(kind, tokens, per, after, opens, now, last);
          return live.map(({ by }) => {
            const needed = live.filter((other) => other.by <= by).reduce(
              (sum, other) =>
                sum + other.left - (other.job === job ? Math.min(wanted, other.left) : 0),
              0,
            );
            return needed - most[by]!;
          });
        };
        const allows = (wanted: number, job: string | null, now: number) => {
          if (!windowAllows(wanted, now)) return false;
          const before = missing(0, null, now);
          return missing(wanted, job, now).every((short, i) => short <= 0 || short <= before[i]!);
        };

        for (let now = 0; now < 150; now += random.whole(0, 3)) {
          open = open.filter(({ by }) => by >= now);
          if (opened !== null && now >= opened + per) opened = null;
          const job = random.pick(["a", "b", "c", null]);
          if (job !== null && random.chance(0.2)) {
            const by = now + random.whole(1, 4 * per);
            const others = open.filter((other) => other.job !== job);
            const wanted = random.whole(1, 4 * tokens);
            const keep = open;
            open = [...others, { job, left: wanted, by }];
            const affected = missing(0, null, now).filter((_, i) => open[i]!.by >= by);
            const possible = affected.every((short) => short <= 0);
            open = possible ? open : keep;
            const refused = await reserve(sql, now, wanted, by, job).then(() => false, () => true);
            assert.equal(
              !refused,
              possible,
              `seed ${seed}: ${job} reserves ${wanted} at ${now} by ${by}`,
            );
            if (possible) reservations++;
            continue;
          }
          const wanted = random.whole(1, tokens);
          const expected = allows(wanted, job, now);
          const answer = await take(sql, now, wanted, job);
          decided++;
          assert.equal(
            answer === true,
            expected,
            `seed ${seed}: ${job} takes ${wanted} at ${now}: ${answer}`,
          );
          if (answer === true) {
            taken[now]! += wanted;
            opened ??= now;
            open = open.flatMap((own) =>
              own.job !== job
                ? [own]
                : own.left > wanted
                ? [{ ...own, left: own.left - wanted }]
                : []
            );
          } else {
            if (windowAllows(wanted, now)) refusedForOthers++;
            // The promise holds to the microsecond; the model knows seconds.
            const first = Math.ceil(answer as number);
            for (let second = now + 1; second < first; second++) {
              assert.ok(
                !allows(wanted, job, second),
                `seed ${seed}: ${job} at ${second}, not ${answer}`,
              );
            }
            assert.ok(
              allows(wanted, job, first),
              `seed ${seed}: ${job} at ${first} as promised at ${now}`,
            );
            promises++;
          }
        }
      }
      const counts = { decided, refusedForOthers, reservations, promises };
      assert.ok(
        decided > 500 && refusedForOthers > 50 && reservations > 50 && promises > 200,
        JSON.stringify(counts),
      );
    },
  );
}

t.ledgerTest(
  "a job that is taken out leaves no reservation, and what waits for its tokens goes with the next pulse",
  async ({ sql }) => {
    await register(sql, 10, 60);
    await sql`select scheduler.register_job('sweep', null)`;
    await sql`select scheduler.register_job('poller', null, budgets => '{"api": 1}')`;
    await t.pulse(sql, t.NOON);
    await reserve(sql, 1, 10, 30);
    await sql`select scheduler.enqueue_runs('poller', '[{}]', null, ${at(2)})`;
    assert.deepEqual(await t.summary(sql, "poller"), ["queued enqueued 1"]);
    await sql`select scheduler.unregister_job('sweep')`;
    assert.deepEqual(await reserved(sql), {});
    await t.pulse(sql, at(10));
    assert.deepEqual(await t.summary(sql, "poller"), ["dispatched enqueued 1"]);
  },
);
