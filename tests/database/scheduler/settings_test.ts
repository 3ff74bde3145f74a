import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "a setting the scheduler could not work with is refused when it is written",
  async ({ sql }) => {
    for (const wrong of ["0", "-1", "1.5", '"5"', "null", "true", "[]", "{}", "1000000"]) {
      const error = await refusal(
        sql.unsafe(
          `update scheduler_settings set value = '${wrong}' where key = 'scheduler.heartbeat_seconds'`,
        ),
      );
      assert.equal(error.code, "22023", wrong);
      assert.match(
        error.message,
        /cannot set scheduler.heartbeat_seconds: .* whole number from 1 to 999999/,
      );
    }
    for (
      const statement of [
        "delete from scheduler_settings where key = 'scheduler.heartbeat_seconds'",
        "update scheduler_settings set key = 'x.y' where key = 'scheduler.heartbeat_seconds'",
      ]
    ) {
      assert.match(
        (await refusal(sql.unsafe(statement))).message,
        /cannot remove the setting scheduler.heartbeat_seconds: the pack scheduler needs it/,
      );
    }
  },
);

t.ledgerTest("a value has to match its definition", async ({ sql }) => {
  const cases: [definition: string, good: string[], wrong: string[], fault: RegExp][] = [
    [
      "integer, 0, 3",
      ["0", "3"],
      ["-1", "4", "1.5", '"1"', "null", "1e999"],
      /whole number from 0 to 3/,
    ],
    ["number, 0.5, 3", ["0.5", "1.25"], ["0.4", "3.01", '"1"', "true"], /number from 0.5 to 3/],
    ["text, 1, 1", ['"any"'], ['""', '" "', "1", "{}", "null"], /must be a text/],
    ["time, 1, 1", ['"00:00"', '"23:59"'], ['"24:00"', '"7:00"', "7"], /local time "HH:MM"/],
    [
      "time_zone, 1, 1",
      ['"UTC"', '"Asia/Tokyo"'],
      ['"Asia/Nowhere"', "1", "null"],
      /time zone|must be a text/,
    ],
  ];
  for (const [definition, good, wrong, fault] of cases) {
    const [type, least, most] = definition.split(", ");
    const key = `mine.${type}`;
    await sql`
      insert into scheduler_settings (pack, key, default_value, type, least, most, description)
      values ('mine', ${key}, ${good[0]!}::text::jsonb, ${type!}, ${Number(least)}, ${
      Number(most)
    }, 'for this test')`;
    const set = (value: string) =>
      sql`update scheduler_settings set value = ${value}::text::jsonb where key = ${key}`;
    for (const value of good) await set(value);
    for (const value of wrong.filter((value) => value !== "1e999")) {
      const { code, message } = await refusal(set(value));
      assert.equal(code, "22023", `${definition} ${value}`);
      assert.match(message, fault, `${definition} ${value}`);
    }
  }
  await sql`update scheduler_settings set optional = true where key = 'mine.integer'`;
  await sql`update scheduler_settings set value = 'null' where key = 'mine.integer'`;
});

t.ledgerTest(
  "SQL's null is refused, and the hint says how to have none or the default",
  async ({ sql }) => {
    const set = (key: string, value: string) =>
      sql.unsafe(`update scheduler_settings set value = ${value} where key = '${key}'`);
    const key = "retention.scheduler_activity_days";
    await set(key, "'3650'");
    const { code, message, hint } = await refusal(set(key, "null"));
    assert.deepEqual([code, message, hint], [
      "22023",
      `cannot set ${key}: SQL's null is no value`,
      "set value = 'null' (how long old rows stay in scheduler_activity; 'null': for ever), or set value = default_value, which is 180",
    ]);
    assert.equal(await t.value(sql, `scheduler.setting('${key}')`), 3650);
    await set(key, "'null'");
    assert.equal(await t.value(sql, `scheduler.setting('${key}')`), null);
    await set(key, "default_value");
    assert.equal(await t.value(sql, `scheduler.setting('${key}')`), 180);
    assert.equal(
      (await refusal(set("scheduler.keep_failures_days", "null"))).hint,
      "set value = default_value, which is 90",
    );
  },
);

t.ledgerTest("readers of settings are notified of changes once a statement", async ({ sql }) => {
  await sql`create table told (before jsonb)`;
  await sql.unsafe(`
    create function public.told(p_before jsonb) returns void language sql set search_path = '' as
      'insert into public.told values (p_before)'`);
  await sql`
    insert into scheduler_settings (pack, key, default_value, on_change, description)
    values ('mine', 'mine.a', '1', 'public.told', 'a'), ('mine', 'mine.b', '2', 'public.told', 'b')`;
  await sql`update scheduler_settings set value = '3' where key in ('mine.a', 'mine.b')`;
  await sql`update scheduler_settings set value = '4' where key = 'mine.b'`;
  await sql`update scheduler_settings set value = '4' where key = 'mine.b'`;
  assert.deepEqual((await sql`select before from told`).map(({ before }) => before), [
    { "mine.a": 1, "mine.b": 2 },
    { "mine.b": 3 },
  ]);
});

t.ledgerTest("a pack that goes takes its settings along, and no others", async ({ sql }) => {
  await sql`
    insert into scheduler_settings (pack, key, default_value, description) values ('mine', 'mine.a', '1', 'a')`;
  await sql.begin(async (sql) => {
    await sql`set local daybook.removed_pack = 'mine'`;
    assert.equal((await sql`delete from scheduler_settings where pack = 'mine'`).count, 1);
    await assert.rejects(
      sql.savepoint((sql) => sql`delete from scheduler_settings`),
      /cannot remove/,
    );
  });
});

t.ledgerTest(
  "every setting at its smallest and at its largest leaves a working pulse",
  async ({ sql }) => {
    await t.register(sql, "job");
    for (const [index, number] of [1, 999_999].entries()) {
      // Two heartbeats have to fit into the time after which a run has stalled.
      await sql`
        update scheduler_settings set value = to_jsonb(case key
          when 'scheduler.heartbeat_seconds' then greatest(1, ${number}::int / 2)
          when 'scheduler.heartbeat_timeout_seconds' then greatest(2, ${number}::int)
          else least(${number}::int, most)::int end)
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
      sql`update scheduler_settings set value = to_jsonb(${seconds}::int) where key = ${
        "scheduler." + key
      }`;
    await assert.rejects(
      set("heartbeat_seconds", 31),
      /at least twice heartbeat_seconds, got 60 and 31/,
    );
    await assert.rejects(set("heartbeat_timeout_seconds", 19), /got 19 and 10/);
    await set("heartbeat_seconds", 30);
    await assert.rejects(sql`truncate scheduler_settings`, /cannot empty scheduler_settings/);
  },
);
