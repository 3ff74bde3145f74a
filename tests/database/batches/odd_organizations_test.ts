import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/daily-batch.ts";
import { refusal } from "../../support/refusal.ts";
import { addOrganization, addSuggester } from "../../support/suggestions.ts";
import { withDatabase } from "../../support/database.ts";

/** Writes past every trigger and check: as a restored dump does, or a server whose zones have changed. */
async function spoil(sql: Sql, id: string, odd: Odd): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`alter table organizations disable trigger user`;
    await transaction`alter table batches.owed_dates drop constraint if exists owed_dates_batch_date_check`;
    if (odd.owed !== undefined) {
      await transaction.unsafe(
        `insert into batches.owed_dates values ('${id}', '${odd.owed}', '2026-03-02 07:59Z')`,
      );
    }
    if (odd.zone !== undefined) {
      await transaction`update organizations set time_zone = ${odd.zone} where id = ${id}`;
    }
    await transaction`alter table organizations enable trigger user`;
  });
}

interface Odd {
  owed?: string;
  zone?: string;
}
const UNKNOWN_ZONE: Odd = { zone: "Nowhere/City" };
const odd: [Odd, RegExp][] = [
  [{ owed: "infinity" }, /out of range/],
  [{ owed: "5874897-12-31" }, /out of range/],
  [UNKNOWN_ZONE, /time zone "Nowhere\/City" not recognized/],
];

t.batchTest("the constraints refuse odd dates and times of an organization", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" });
  const owe = (date: string, at: string) =>
    sql.unsafe(`insert into batches.owed_dates values ('${acme}', ${date}, ${at})`);
  for (
    const [write, constraint] of [
      [() => owe("'infinity'", "now()"), "owed_dates_batch_date_check"],
      [() => owe("'5874897-12-31'", "now()"), "owed_dates_batch_date_check"],
      [() => owe("null", "now()"), "not-null constraint"],
      [() => owe("'2026-03-02'", "'infinity'"), "owed_dates_due_at_check"],
      [
        () => sql`update organizations set next_batch_at = 'infinity'`,
        "organizations_next_batch_at_check",
      ],
    ] as const
  ) {
    assert.ok((await refusal(write())).message.includes(constraint), constraint);
  }
});

for (const [values, reason] of odd) {
  t.batchTest(
    `an organization with ${
      JSON.stringify(values)
    } has no batch and is named; all others have theirs`,
    async ({ sql }) => {
      const all: string[] = [];
      for (let i = 0; i < 40; i++) {
        all.push(await t.organization(sql, `org ${i}`, { time_zone: "Asia/Tokyo" }));
      }
      await spoil(sql, all[17]!, values);
      await spoil(sql, all[3]!, values);
      const now = new Date("2026-03-02T08:00:00Z");
      await sql`update organizations set next_batch_at = ${now}`;

      const result = await t.trigger(sql, now.toISOString(), { zones: true });
      assert.equal(result.batches, 38);
      const problems = result.problems as { id: string; name: string; error: string }[];
      assert.deepEqual(problems.map(({ id }) => id).sort(), [all[3], all[17]].sort());
      for (const { error } of problems) assert.match(error, reason);
      for (const [i, id] of all.entries()) {
        assert.deepEqual(await t.dates(sql, id), i === 3 || i === 17 ? [] : ["2026-03-02"]);
      }
      // Each has one run of the processor, and none of the odd ones is marked.
      const [found] = await sql`
      select (select count(*)::int from scheduler_runs where job_name = 'robust-batch-processor') as runs,
        (select count(*)::int from scheduler_state where scope = any(${
        [all[3]!, all[17]!].map((id) => `organization:${id}`)
      })) as marked`;
      assert.deepEqual(found, { runs: 38, marked: 0 });
    },
  );
}

t.batchTest(
  "when no organization can be begun the trigger fails, and nothing is marked",
  async ({ sql }) => {
    for (let i = 0; i < 3; i++) await t.organization(sql, `org ${i}`);
    await sql`alter table batch_jobs add check (false) not valid`;
    const error = await refusal(t.trigger(sql, "2026-03-02T08:00:00Z"));
    assert.match(
      error.message,
      /^cannot begin the daily batch: org \d: .*violates check constraint/,
    );
    assert.equal((await sql`select from scheduler_state`).length, 0);
    await sql`alter table batch_jobs drop constraint batch_jobs_check2`;
    assert.equal((await t.trigger(sql, "2026-03-02T08:15:00Z")).batches, 3);
  },
);

t.batchTest(
  "after a mark was lost each organization still gets its batch once",
  async ({ sql }) => {
    const [acme, other] = [await t.organization(sql, "Acme"), await t.organization(sql, "Other")];
    await t.trigger(sql, "2026-03-02T08:00:00Z");
    await sql`delete from batch_jobs where organization_id = ${other}`;
    await sql`delete from scheduler_state`;
    assert.equal((await t.trigger(sql, "2026-03-02T08:15:00Z")).batches, 1);
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
    assert.deepEqual(await t.dates(sql, other), ["2026-03-02"]);
  },
);

t.batchTest(
  "explain() names a zone that the server does not know, and a move repairs it",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" });
    await spoil(sql, acme, UNKNOWN_ZONE);
    const [told] = await sql`select batches.explain('Acme') as line`;
    assert.match(told!.line, /this server does not know its time zone Nowhere\/City/);
    await t.move(sql, acme, { time_zone: "Europe/Berlin" }, "2026-03-02T08:00:00Z");
    assert.equal(await t.nextBatchAt(sql, acme), "2026-03-03T02:00:00.000Z");
  },
);

t.batchTest(
  "a move of the platform goes on without an organization whose zone is not known",
  async ({ sql }) => {
    const [acme, other] = [
      await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" }),
      await t.organization(sql, "Other", { time_zone: "Asia/Tokyo" }),
    ];
    await spoil(sql, acme, UNKNOWN_ZONE);
    const before = [await t.nextBatchAt(sql, acme), await t.nextBatchAt(sql, other)];
    await sql`update scheduler_settings set value = '"04:30"' where key = 'daily_batch.run_at'`;
    const after = [await t.nextBatchAt(sql, acme), await t.nextBatchAt(sql, other)];
    assert.equal(after[0], before[0]);
    assert.notEqual(after[1], before[1]);
  },
);

Deno.test("weekly suggestions go on without an organization whose zone is not known, and name it", async () => {
  await withDatabase(async ({ sql }) => {
    await addSuggester(sql);
    const at = "2026-03-04T12:00:00Z";
    const acme = await addOrganization(sql, ["a"], { time_zone: "Asia/Tokyo" });
    const other = await addOrganization(sql, ["a"], { time_zone: "Asia/Tokyo" });
    await spoil(sql, acme, UNKNOWN_ZONE);
    const [row] = await sql`select batches.next_suggestion_requests(p_now => ${at}) as value`;
    assert.deepEqual(row!.value.organizations.map(({ id }: { id: string }) => id), [other]);
    assert.deepEqual(
      row!.value.unknown_zones.map(({ id, time_zone }: Record<string, string>) => [id, time_zone]),
      [
        [acme, "Nowhere/City"],
      ],
    );
    const [due] = await sql`select batches.suggestions_are_due(${at}) as due`;
    assert.equal(due!.due, true);
  });
});
