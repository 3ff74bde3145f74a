import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import { withDatabase } from "../../support/database.ts";
import { value } from "../../support/scheduler.ts";

const mark = "scheduler.try_mark_daily_run($1, $2, '2028-03-01T00:00Z')";

Deno.test("one of 30 concurrent callers marks the day, as service_role", async () => {
  await withDatabase(async (db) => {
    const connections = Array.from({ length: 30 }, () => db.connect("service_role"));
    await Promise.all(connections.map((connection) => connection`select 1`));
    for (const [day, previous] of [["2026-03-02", null], ["2026-03-03", "2026-03-02"]]) {
      const answers = await Promise.all(
        connections.map((connection) => value(connection, "try_mark_daily_run($1)", [day])),
      );
      assert.deepEqual(answers.filter((answer) => answer.updated), [
        { updated: true, previous_key: previous, new_key: day },
      ]);
      for (const answer of answers.filter(({ updated }) => !updated)) {
        assert.deepEqual(answer, { updated: false, previous_key: day, new_key: day });
      }
    }
  });
});

Deno.test("an earlier day is not marked, and scopes do not see each other", async () => {
  await withDatabase(async ({ sql }) => {
    assert.equal((await value(sql, mark, ["2026-03-02", "org-1"])).updated, true);
    assert.deepEqual(await value(sql, mark, ["2026-03-01", "org-1"]), {
      updated: false,
      previous_key: "2026-03-02",
      new_key: "2026-03-02",
    });
    assert.equal((await value(sql, mark, ["2026-03-01", "org-2"])).updated, true);
    assert.equal((await value(sql, mark, ["2028-02-29", "org-2"])).updated, true);
    const rows = await sql`select scope, last_daily_run_key from scheduler_state order by scope`;
    assert.deepEqual(rows.map(({ scope, last_daily_run_key }) => [scope, last_daily_run_key]), [
      ["org-1", "2026-03-02"],
      ["org-2", "2028-02-29"],
    ]);
  });
});

Deno.test("a key that is no date and an empty scope are refused and leave nothing", async () => {
  await withDatabase(async ({ sql }) => {
    const garbage = [
      ...[
        "",
        "today",
        "2026-3-2",
        "2026-03-02 ",
        " 2026-03-02",
        "2026-03-02\n",
        "20260302",
        "2026-W10-1",
      ],
      ...["2026-13-01", "2026-02-30", "2027-02-29", "0000-01-01", "9999-99-99", "٢٠٢٦-٠٣-٠٢"],
      ...["2026-03-02T00:00:00Z", "infinity", "x".repeat(100_000), null],
    ];
    for (const key of garbage) {
      const error = await refusal(value(sql, mark, [key, "global"]));
      assert.equal(error.code, "22023", String(key).slice(0, 40));
      assert.match(error.message, /today_key must be a local date as YYYY-MM-DD/);
      assert.ok(error.message.length < 200);
    }
    for (const scope of ["", null]) {
      assert.match(
        (await refusal(value(sql, mark, ["2026-03-02", scope]))).message,
        /scope must not be empty/,
      );
    }
    assert.deepEqual([...await sql`select * from scheduler_state`], []);
  });
});

Deno.test("a day that has begun nowhere on earth is refused: no mark can end a scope's days", async () => {
  await withDatabase(async (db) => {
    const at = "scheduler.try_mark_daily_run($1, 'org', $2)";
    // Kiritimati is 14 hours ahead of UTC.
    const noon = "2026-03-02T09:59:59Z";
    assert.equal((await value(db.sql, at, ["2026-03-02", noon])).updated, true);
    const error = await refusal(value(db.sql, at, ["2026-03-03", noon]));
    assert.match(
      error.message,
      /must be a date that has begun somewhere on earth, got '2026-03-03'/,
    );
    assert.equal((await value(db.sql, at, ["2026-03-03", "2026-03-02T10:00:00Z"])).updated, true);
    const forged = db.connect("service_role")`select try_mark_daily_run('9999-12-31')`;
    assert.equal((await refusal(forged)).code, "22023");
    assert.equal((await db.sql`select from scheduler_state where scope = 'global'`).length, 0);
  });
});

Deno.test("days of many scopes are marked at once, each only forward", async () => {
  await withDatabase(async ({ sql }) => {
    const markAll = (marks: Record<string, string>) =>
      value(sql, "scheduler.mark_daily_runs($1::jsonb, '2028-03-01T00:00Z')", [marks]);
    assert.equal(await markAll({ a: "2026-03-02", b: "2026-03-02" }), 2);
    assert.equal(await markAll({ a: "2026-03-02", b: "2026-03-01", c: "2026-03-03" }), 1);
    assert.equal((await value(sql, mark, ["2026-03-04", "c"])).updated, true);
    assert.equal(await markAll({ a: "2026-03-03", c: "2026-03-04" }), 1);
    const marks = async () =>
      (await sql`select scope, last_daily_run_key as key from scheduler_state order by scope`)
        .map(({ scope, key }) => `${scope} ${key}`);
    const before = ["a 2026-03-03", "b 2026-03-02", "c 2026-03-04"];
    assert.deepEqual(await marks(), before);
    for (const wrong of ["2026-3-2", "2028-03-03", "infinity"]) {
      assert.equal((await refusal(markAll({ a: "2026-03-05", d: wrong }))).code, "22023", wrong);
    }
    assert.deepEqual(await marks(), before, "one wrong key marks none");
    for (const odd of [{ "": "2026-03-05" }, ["2026-03-05"], 5, "2026-03-05"]) {
      const { code, message } = await refusal(
        sql`select scheduler.mark_daily_runs(${JSON.stringify(odd)}::text::jsonb)`,
      );
      assert.equal(code, "22023");
      assert.match(message, /^cannot mark daily runs: marks must be \{scope: YYYY-MM-DD\}/);
    }
    assert.equal(await markAll({}), 0);
  });
});

Deno.test("a scope that is forgotten begins anew", async () => {
  await withDatabase(async ({ sql }) => {
    await value(sql, mark, ["2026-03-02", "org-1"]);
    await value(sql, mark, ["2026-03-02", "org-2"]);
    assert.equal(await value(sql, "scheduler.forget_scope('org-1')"), true);
    assert.equal(await value(sql, "scheduler.forget_scope('org-1')"), false);
    const rows = await sql`select scope from scheduler_state`;
    assert.deepEqual(rows.map(({ scope }) => scope), ["org-2"]);
    assert.equal((await value(sql, mark, ["2026-03-02", "org-1"])).updated, true);
  });
});
