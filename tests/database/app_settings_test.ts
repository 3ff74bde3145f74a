import assert from "node:assert/strict";
import { refusal } from "../support/refusal.ts";
import * as t from "../support/scheduler.ts";

t.ledgerTest(
  "a setting the scheduler could not work with is refused when it is written",
  async ({ sql }) => {
    for (const wrong of ["0", "-1", "1.5", '"5"', "null", "true", "[]", "{}", "1000000"]) {
      const error = await refusal(
        sql.unsafe(
          `update app_settings set value = '${wrong}' where key = 'scheduler.heartbeat_seconds'`,
        ),
      );
      assert.equal(error.code, "22023", wrong);
      assert.match(
        error.message,
        /cannot set scheduler.heartbeat_seconds: .* whole number from 1 to 999999/,
      );
    }
    for (
      const [statement, message] of [
        ["insert into app_settings values ('scheduler.typo', '5')", /knows no such key/],
        ["delete from app_settings where key = 'scheduler.heartbeat_seconds'", /cannot remove/],
        [
          "update app_settings set key = 'x' where key = 'scheduler.heartbeat_seconds'",
          /cannot remove/,
        ],
        [
          "update app_settings set key = 'scheduler.x' where key = 'scheduler.heartbeat_seconds'",
          /cannot remove/,
        ],
      ] as const
    ) {
      assert.match((await refusal(sql.unsafe(statement))).message, message);
    }
  },
);

t.ledgerTest("settings of others are free", async ({ sql }) => {
  await sql`insert into app_settings (key, value) values ('theirs', '"any"')`;
  await sql`update app_settings set key = 'renamed', value = '{}' where key = 'theirs'`;
  assert.equal((await sql`delete from app_settings where key = 'renamed' returning key`).length, 1);
});

t.ledgerTest(
  "every setting at its smallest and at its largest leaves a working pulse",
  async ({ sql }) => {
    await t.register(sql, "job");
    for (const [index, number] of [1, 999_999].entries()) {
      // Two heartbeats have to fit into the time after which a run has stalled.
      await sql`
        update app_settings set value = to_jsonb(case key
          when 'scheduler.heartbeat_seconds' then greatest(1, ${number}::int / 2)
          when 'scheduler.heartbeat_timeout_seconds' then greatest(2, ${number}::int)
          else ${number}::int end)
        where key like 'scheduler.%'`;
      const minute = index * 120;
      const id = await t.dispatch(sql, "job", t.after(minute));
      assert.ok(id);
      await t.begin(sql, id, t.after(minute));
      const report = await t.pulse(sql, t.after(minute + 0.01));
      assert.equal(report.pruned, 0);
      assert.deepEqual(report.errors, {});
      await t.pulse(sql, t.after(minute + 30));
    }
  },
);

t.ledgerTest(
  "settings that cannot work together are refused, and so is losing them",
  async ({ sql }) => {
    const set = (key: string, seconds: number) =>
      sql`update app_settings set value = to_jsonb(${seconds}::int) where key = ${
        "scheduler." + key
      }`;
    await assert.rejects(
      set("heartbeat_seconds", 31),
      /at least twice heartbeat_seconds, got 60 and 31/,
    );
    await assert.rejects(set("heartbeat_timeout_seconds", 19), /got 19 and 10/);
    await set("heartbeat_seconds", 30);
    await assert.rejects(sql`truncate app_settings`, /cannot empty app_settings/);
  },
);
