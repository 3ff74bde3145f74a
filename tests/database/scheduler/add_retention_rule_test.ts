import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("a retention rule that cannot work is refused when it is added", async ({ sql }) => {
  await sql.unsafe(`
    create table public.letters (sent_at timestamptz);
    create table public.parts (sent_at timestamptz) partition by range (sent_at);
    create view public.sent as select * from public.letters;
    create function public.prune_letters(timestamptz, integer) returns text language sql return 'none'`);
  const cases: [rule: string, given: string, fault: RegExp][] = [
    ["nowhere", "30, 'sent_at < $1'", /public\.nowhere must be a table/],
    ["sent", "30, 'sent_at < $1'", /public\.sent must be a table/],
    ["parts", "30, 'sent_at < $1'", /public\.parts must be a table, and not a partitioned one/],
    ["Letters", "30, 'sent_at < $1'", /rule must be a name of a-z, 0-9 and _, .*got 'Letters'/],
    ["letters", "30, 'sent < $1'", /old_rows must be a condition .*column "sent" does not exist/],
    ["letters", "30, 'sent_at <'", /old_rows must be a condition .*syntax error/],
    ["letters", "30, 'sent_at < ''soon'''", /old_rows must be .*invalid input syntax/],
    ["letters", "30, 'sent_at < older()'", /old_rows must be .*function older\(\) does not exist/],
    ["letters", "30", /either old_rows or prune_function/],
    ["letters", "0, 'sent_at < $1'", /letters_days: the value must be .* from 1 to 99999/],
    ["letters", "100000, 'sent_at < $1'", /letters_days: the value must be .* from 1 to 99999/],
    [
      "letters",
      "30, prune_function => 'public.no_such'",
      /prune_function must be a function .* returns integer, got public\.no_such/,
    ],
    [
      "letters",
      "30, prune_function => 'public.prune_letters'",
      /\(timestamp with time zone, integer\) returns integer, got public\.prune_letters/,
    ],
    [
      "letters",
      "30, 'sent_at < $1', hold_function => 'public.no_such'",
      /hold_function must be a function \(\) returns timestamp with time zone/,
    ],
    ["scheduler_activity", "30, 'occurred_at < $1'", /there is one of that name/],
  ];
  for (const [rule, given, fault] of cases) {
    const { code, message } = await refusal(
      sql.unsafe(`select scheduler.add_retention_rule('mine', '${rule}', ${given})`),
    );
    assert.equal(code, "22023", `${rule} ${given}: ${message}`);
    assert.match(message, /^cannot (add the retention rule|set retention\.)/, given);
    assert.match(message, fault, given);
  }
  assert.equal((await sql`select from scheduler.retention_rules where pack = 'mine'`).count, 0);
  assert.equal((await sql`select from scheduler_settings where pack = 'mine'`).count, 0);
});

t.ledgerTest(
  "a rule is tried without deleting a row, and then deletes the old ones",
  async ({ sql }) => {
    await sql`create table public.letters (sent_at timestamptz)`;
    await sql`insert into public.letters values ('2020-01-01'), (now())`;
    await sql`select scheduler.add_retention_rule('mine', 'letters', 30, 'sent_at < $1')`;
    assert.equal((await sql`select from public.letters`).count, 2);
    assert.equal(await t.value(sql, "scheduler.prune_old_rows('letters')"), 1);
  },
);

t.ledgerTest("a rule of null days keeps the rows for ever", async ({ sql }) => {
  await sql`create table public.letters (sent_at timestamptz)`;
  await sql`insert into public.letters values ('2020-01-01')`;
  await sql`select scheduler.add_retention_rule('mine', 'letters', null, 'sent_at < $1')`;
  assert.equal(await t.value(sql, "scheduler.prune_old_rows('letters')"), 0);
  await sql`update scheduler_settings set value = '30' where key = 'retention.letters_days'`;
  assert.equal(await t.value(sql, "scheduler.prune_old_rows('letters')"), 1);
});
