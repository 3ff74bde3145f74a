// Keys and priorities: which of the runs that wait goes next.
import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { assertQuick, timed } from "../../support/assert-quick.ts";
import * as t from "../../support/scheduler.ts";

const ENQUEUED = { schedule: null, overlap_policy: "allow" };
const at = (minutes: number) => t.after(minutes);

interface Wanted {
  key?: string;
  priority?: number;
  payload?: unknown;
}

const enqueue = (sql: Sql, list: Wanted[], now: Date = t.NOON, job = "job"): Promise<number> =>
  t.value(sql, "scheduler.enqueue_runs($3, $1::jsonb, null, $2)", [list, now, job]);

const underWay = async (sql: Sql): Promise<Row[]> => [
  ...await sql`select * from scheduler_runs where status in ('dispatched', 'running') order by dispatched_at, id`,
];

async function complete(sql: Sql, run: Row, now: Date, outcome = "completed"): Promise<void> {
  await t.begin(sql, run.id, now, run.function_name);
  await t.finish(sql, run.id, outcome, now);
}

/** Ends what is under way, run after run, and gives what went, in order. */
async function workOff(sql: Sql, now: Date, most = 1000): Promise<Row[]> {
  const done: Row[] = [];
  for (let [next] = await underWay(sql); next && done.length < most; [next] = await underWay(sql)) {
    done.push(next);
    await complete(sql, next, now);
  }
  return done;
}

const keys = (rows: Row[]) => rows.map((row) => row.key).join("");

t.ledgerTest(
  "at most key_limit runs with one key are under way, and the next goes as one ends",
  async ({ sql }) => {
    await t.register(sql, "job", { ...ENQUEUED, key_limit: 2 });
    await enqueue(sql, [..."baaaa"].map((key) => ({ key })));
    assert.equal(keys(await underWay(sql)).split("").sort().join(""), "aab");
    const [waits] =
      await sql`select * from scheduler_runs where status = 'queued' order by turn limit 1`;
    assert.deepEqual([waits!.waiting.for, waits!.waiting.name, waits!.waiting.until], [
      "key",
      "a",
      null,
    ]);
    assert.match(
      await t.value(sql, "scheduler.explain('job', null, $1)", [at(1)]),
      /waits for a run with the key a to end/,
    );
    const first = (await underWay(sql)).find((row) => row.key === "a")!;
    await complete(sql, first, at(1));
    assert.equal(keys(await underWay(sql)).split("").sort().join(""), "aab");
    const done = await workOff(sql, at(2));
    assert.equal(done.length, 4);
    assert.equal((await t.runs(sql, "job")).filter((row) => row.status === "completed").length, 5);
  },
);

t.ledgerTest("the key_limit of a group counts the runs of all its jobs", async ({ sql }) => {
  await sql`select scheduler.register_group('g', key_limit => 1)`;
  await t.register(sql, "job", { ...ENQUEUED, group_name: "g" });
  await t.register(sql, "other", { ...ENQUEUED, group_name: "g" });
  await enqueue(sql, [{ key: "a" }, { key: "b" }]);
  await enqueue(sql, [{ key: "a" }, { key: "c" }], t.NOON, "other");
  assert.equal(keys(await underWay(sql)).split("").sort().join(""), "abc");
  const a = (await underWay(sql)).find((row) => row.key === "a")!;
  assert.equal(a.job_name, "job");
  await complete(sql, a, at(1));
  const next = (await underWay(sql)).find((row) => row.key === "a")!;
  assert.equal(next.job_name, "other", "the other job's run with that key goes at once");
});

t.ledgerTest(
  "a run that waits for its key goes with the next pulse when its job was held at the end",
  async (db) => {
    const { sql } = db;
    await sql`select scheduler.register_group('g', key_limit => 1)`;
    await t.register(sql, "job", { ...ENQUEUED, group_name: "g" });
    await t.register(sql, "other", { ...ENQUEUED, group_name: "g" });
    await enqueue(sql, [{ key: "a" }]);
    await enqueue(sql, [{ key: "a" }, { key: "a" }], t.NOON, "other");
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select from scheduler_jobs where name = 'other' for no key update`;
    const [first] = await underWay(sql);
    await complete(t.impatient(db), first!, at(1));
    await holder`commit`;
    holder.release();
    assert.deepEqual(await underWay(sql), []);
    await t.pulse(sql, at(1.1));
    assert.deepEqual((await underWay(sql)).map((row) => row.job_name), ["other"]);
  },
);

t.ledgerTest(
  "a higher key_limit lets as many more go with the next pulse, no limit lets all go",
  async ({ sql }) => {
    await t.register(sql, "job", { ...ENQUEUED, key_limit: 1 });
    await enqueue(sql, [..."aaaaaaaa"].map((key) => ({ key })));
    assert.equal((await underWay(sql)).length, 1);
    await t.register(sql, "job", { ...ENQUEUED, key_limit: 3 });
    await t.pulse(sql, at(0.3));
    assert.equal((await underWay(sql)).length, 3);
    await t.register(sql, "job", ENQUEUED);
    await t.pulse(sql, at(0.6));
    assert.equal((await underWay(sql)).length, 8);
  },
);

t.ledgerTest("a retry that a person asks for keeps to the limit of its key", async ({ sql }) => {
  await t.register(sql, "job", { ...ENQUEUED, key_limit: 1, max_attempts: 1 });
  await enqueue(sql, [{ key: "a" }]);
  const [first] = await underWay(sql);
  await complete(sql, first!, at(1), "failed");
  await enqueue(sql, [{ key: "a" }], at(2));
  const retry = await t.value(sql, "scheduler.retry_run($1, 'ann', $2)", [first!.id, at(3)]);
  assert.equal((await t.run(sql, retry)).waiting.for, "key");
  assert.equal((await underWay(sql)).length, 1);
  await workOff(sql, at(4), 1);
  assert.deepEqual((await underWay(sql)).map((row) => row.id), [retry]);
});

t.ledgerTest("the keys take turns", async ({ sql }) => {
  await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 1 });
  await enqueue(sql, [..."aaaa"].map((key) => ({ key })));
  await enqueue(sql, [..."bbb"].map((key) => ({ key })), at(1));
  await enqueue(sql, [..."cc"].map((key) => ({ key })), at(2));
  assert.equal(keys(await workOff(sql, at(3))), "aabcabcab");
});

t.ledgerTest(
  "a key that comes later goes next to those that are served, not before what they have had",
  async ({ sql }) => {
    await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 1 });
    await enqueue(sql, [..."aaaaaaaa"].map((key) => ({ key })));
    await workOff(sql, at(1), 4);
    await enqueue(sql, [..."bbbbbb"].map((key) => ({ key })), at(2));
    assert.equal(keys(await workOff(sql, at(3))), "aabababbbb");
  },
);

t.ledgerTest("a stream of runs without a key holds up no key", async ({ sql }) => {
  await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 1 });
  await enqueue(sql, [{}, { key: "a" }, { key: "a" }, { key: "a" }]);
  const done: Row[] = [];
  for (let n = 0; n < 12; n++) {
    await enqueue(sql, [{}], at(n / 10));
    done.push(...await workOff(sql, at(n / 10), 1));
  }
  assert.equal(done.filter((row) => row.key === "a").length, 3);
});

t.ledgerTest(
  "one customer's 10,000 runs do not hold up 99 others' one: they are done in the first 2 %",
  async ({ sql }) => {
    await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 4, key_limit: 2 });
    const [ms, quick] = [[] as number[], [] as number[]];
    const many = Array.from({ length: 10_000 }, (_, n) => ({ key: "big", payload: { n } }));
    ms.push(await timed(() => enqueue(sql, many)));
    await sql`analyze scheduler_runs`;
    for (let n = 1; n <= 99; n++) {
      quick.push(await timed(() => enqueue(sql, [{ key: `small-${n}` }], at(n / 1000))));
    }
    console.log(
      `enqueued 10,000 runs of one key in ${Math.round(ms[0]!)} ms, then 99 keys in ${
        Math.round(quick.reduce((sum, each) => sum + each, 0))
      } ms`,
    );
    assert.ok(ms[0]! < 8000, `${ms[0]} ms for 10,000 runs`);
    const order: string[] = [];
    const one = await sql.reserve();
    const ended = await timed(async () => {
      for (let done = 0; done < 200; done++) {
        const [next] = await underWay(one);
        order.push(next!.key);
        await complete(one, next!, at(1 + done / 1000));
      }
    });
    one.release();
    console.log(`200 ends of runs in ${Math.round(ended)} ms`);
    assert.equal(new Set(order).size, 100);
    const [row] = await sql`
    select count(*)::int as small from scheduler_runs where key like 'small-%' and status = 'completed'`;
    assert.equal(row!.small, 99);
    assert.equal(
      (await sql`
    select count(*)::int as big from scheduler_runs where key = 'big' and status in ('dispatched', 'running')`)[
        0
      ]!.big,
      2,
    );
  },
);

t.ledgerTest("10,000 runs of 10,000 keys are enqueued fast", async ({ sql }) => {
  await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 1 });
  const list = Array.from({ length: 10_000 }, (_, n) => ({ key: `key-${n}` }));
  let round = 0;
  await assertQuick("enqueueing 10,000 keys", 6000, async () => {
    const taken = await timed(() => enqueue(sql, list, at(round++)));
    console.log(`enqueued 10,000 keys in ${Math.round(taken)} ms`);
    return taken;
  });
});

t.ledgerTest("the highest priority goes first, and the oldest of one priority", async ({ sql }) => {
  await t.register(sql, "job", { ...ENQUEUED, parallel_limit: 1, priority: 1 });
  await enqueue(sql, [{ key: "0" }]);
  for (const [n, priority] of [-10, 3, 10, undefined, 3, 10].entries()) {
    await enqueue(
      sql,
      [{ key: String(n + 1), ...(priority === undefined ? {} : { priority }) }],
      at(n / 100),
    );
  }
  assert.equal(keys(await workOff(sql, at(1))), "0362541");
});

t.ledgerTest(
  "waiting raises the priority by one each priority_ages_after_seconds",
  async ({ sql }) => {
    await t.register(sql, "job", {
      ...ENQUEUED,
      parallel_limit: 1,
      priority_ages_after_seconds: 60,
    });
    await enqueue(sql, [{ key: "x" }, { key: "old", priority: 0 }]);
    await enqueue(sql, [{ key: "new", priority: 5 }], at(4.5));
    const [x] = await underWay(sql);
    await complete(sql, x!, at(4.9));
    assert.equal((await underWay(sql))[0]!.key, "new", "4 steps are fewer than 5");
    await enqueue(sql, [{ key: "newer", priority: 5 }], at(5.5));
    await complete(sql, (await underWay(sql))[0]!, at(6.1));
    assert.equal((await underWay(sql))[0]!.key, "old", "6 steps are more than 5");
  },
);

t.ledgerTest(
  "a constant stream of higher ones does not hold up the lowest for ever",
  async ({ sql }) => {
    await t.register(sql, "job", {
      ...ENQUEUED,
      parallel_limit: 1,
      priority_ages_after_seconds: 60,
    });
    await enqueue(sql, [{ priority: 10 }, { priority: 10 }, { key: "lowest", priority: -10 }]);
    let minutes = 0;
    for (; minutes < 40; minutes++) {
      await enqueue(sql, [{ priority: 10 }], at(minutes));
      const [next] = await underWay(sql);
      if (next!.key === "lowest") break;
      await complete(sql, next!, at(minutes + 0.9));
    }
    // 20 steps are between them, and the next of the stream has waited for about one.
    assert.ok(minutes >= 20 && minutes < 40, `it went after ${minutes} minutes`);
  },
);

t.ledgerTest("retries keep key, priority and turn", async ({ sql }) => {
  await t.register(sql, "job", {
    ...ENQUEUED,
    parallel_limit: 1,
    max_attempts: 2,
    backoff_base_seconds: 1,
  });
  await enqueue(sql, [{ key: "a", priority: 4 }, { key: "a", priority: 4 }, {
    key: "a",
    priority: 4,
  }]);
  await workOff(sql, at(1), 1);
  const [second] = await underWay(sql);
  assert.equal(second!.turn, "2");
  await complete(sql, second!, at(2), "failed");
  const [retry] = (await t.runs(sql, "job")).filter((row) => row.trigger === "retry");
  assert.deepEqual([retry!.key, retry!.priority, retry!.turn], ["a", 4, "2"]);
  // The third is under way by now; a new key comes, and the retry goes before it.
  await enqueue(sql, [{ key: "b", priority: 4 }], at(2.1));
  await sql`select scheduler.pulse(${at(3)})`;
  assert.equal(keys(await workOff(sql, at(3))), "aab");
});
