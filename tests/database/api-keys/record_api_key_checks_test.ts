import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { waitUntil } from "../../support/wait-until.ts";

const noon = Date.UTC(2026, 2, 2, 12);
/** That many hours after noon. */
const at = (hours: number) => new Date(noon + hours * 3_600_000);

const nothing = {
  key_last_four: null,
  http_status: null,
  latency_ms: null,
  expires_at: null,
  rate_limit: null,
  rate_limit_remaining: null,
  rate_limit_resets_at: null,
  error_message: null,
};
const valid = {
  ...nothing,
  status: "valid",
  key_last_four: "x7Qd",
  http_status: 200,
  latency_ms: 5,
};
const unreachable = {
  ...nothing,
  status: "unreachable",
  key_last_four: "x7Qd",
  error_message: "no answer",
};

type Checks = Record<string, Record<string, unknown>>;

/** Records checks as the function does, at that many hours after noon. */
async function record(sql: Sql, hours: number, checks: Checks) {
  const list = Object.entries(checks).map(([provider, check]) => ({ provider, ...check }));
  const [row] = await sql`select api_keys.record_checks(${sql.json(list as never)}, ${
    at(hours)
  }) as found`;
  return row!.found;
}

async function health(sql: Sql, provider = "github") {
  const [row] = await sql`
    select * from api_key_health where provider = ${provider} and key_name = 'default'`;
  return row!;
}

function test(name: string, fn: (sql: Sql, db: TestDatabase) => Promise<void>): void {
  Deno.test(name, () => withDatabase((db) => fn(db.connect(), db)));
}

test("the first check of a key inserts its row with all results", async (sql) => {
  const check = {
    ...valid,
    expires_at: at(24 * 60),
    rate_limit: 5000,
    rate_limit_remaining: 4212,
    rate_limit_resets_at: at(1),
  };
  const found = await record(sql, 0, { github: check, openai: unreachable });
  assert.deepEqual(
    found.keys.map((key: Record<string, unknown>) => [
      key.provider,
      key.status,
      key.previous_status,
      key.consecutive_failures,
      key.recorded,
    ]),
    [["github", "valid", null, 0, true], ["openai", "unreachable", null, 1, true]],
  );
  const { id: _, created_at: __, ...row } = await health(sql);
  assert.deepEqual(row, {
    ...check,
    provider: "github",
    key_name: "default",
    rate_limit: "5000",
    rate_limit_remaining: "4212",
    consecutive_failures: 0,
    status_since: at(0),
    checked_at: at(0),
    updated_at: at(0),
  });
});

test("status_since moves only when the status changes, and failures in a row are counted", async (sql) => {
  const seen: [string, Date, number][] = [];
  const statuses = [
    "valid",
    "valid",
    "unreachable",
    "invalid",
    "invalid",
    "rate_limited",
    "valid",
    "invalid",
    "not_configured",
    "not_configured",
    "invalid",
  ];
  for (const [hours, status] of statuses.entries()) {
    await record(sql, hours, { github: { ...valid, status } });
    const row = await health(sql);
    seen.push([row.status, row.status_since, row.consecutive_failures]);
  }
  assert.deepEqual(seen, [
    ["valid", at(0), 0],
    ["valid", at(0), 0],
    ["unreachable", at(2), 1],
    ["invalid", at(3), 2],
    ["invalid", at(3), 3],
    ["rate_limited", at(5), 4],
    ["valid", at(6), 0],
    ["invalid", at(7), 1],
    ["not_configured", at(8), 0],
    ["not_configured", at(8), 0],
    ["invalid", at(10), 1],
  ]);
});

test(
  "a valid key is expiring from expiring_days before its expiry on",
  async (sql, db) => {
    const cases: [string, number, string][] = [
      ["14", 14 * 24 + 1, "valid"],
      ["14", 14 * 24, "expiring"],
      ["14", -1, "expiring"],
      ["30", 14 * 24 + 1, "expiring"],
      ["0", 1, "valid"],
    ];
    for (const [index, [days, expiresIn, expected]] of cases.entries()) {
      await db.sql`
      update scheduler_settings set value = ${days}::text::jsonb where key = 'api_key_health.expiring_days'`;
      const found = await record(sql, index, {
        github: { ...valid, expires_at: at(index + expiresIn) },
      });
      assert.equal(found.keys[0].status, expected, `${expiresIn} h with ${days} days`);
      assert.equal(found.expiring_days, Number(days));
      assert.equal((await health(sql)).consecutive_failures, 0);
    }
    const found = await record(sql, 50, {
      github: { ...valid, status: "rate_limited", expires_at: at(60) },
    });
    assert.equal(found.keys[0].status, "rate_limited", "what is worse is said");
  },
);

test("a key that is not configured any more keeps no result of earlier checks", async (sql) => {
  const full = {
    ...valid,
    expires_at: at(100),
    rate_limit: 10,
    rate_limit_remaining: 5,
    rate_limit_resets_at: at(1),
    error_message: "may not read the account",
  };
  await record(sql, 0, { github: full });
  await record(sql, 1, { github: { ...nothing, status: "not_configured" } });
  const row = await health(sql);
  for (const column of Object.keys(nothing)) assert.equal(row[column], null, column);
  assert.equal(row.status, "not_configured");
});

test("a known expiry stays while the provider does not say another for the same key", async (sql) => {
  const ends: [string, Record<string, unknown>, Date | null][] = [
    ["no answer", unreachable, at(50)],
    ["a limit", { ...unreachable, status: "rate_limited" }, at(50)],
    ["another key", { ...unreachable, key_last_four: "9zzz" }, null],
    ["a key too short to show", { ...unreachable, key_last_four: null }, null],
    ["refused before its end", { ...unreachable, status: "invalid" }, null],
    ["told of no end any more", valid, null],
    ["told of another end", { ...valid, expires_at: at(70) }, at(70)],
  ];
  for (const [index, [what, check, expected]] of ends.entries()) {
    await record(sql, 2 * index, { github: { ...valid, expires_at: at(50) } });
    const found = await record(sql, 2 * index + 1, { github: check });
    assert.deepEqual((await health(sql)).expires_at, expected, what);
    const told = found.keys[0].expires_at;
    assert.deepEqual(told && new Date(told), expected, what);
  }
  await record(sql, 40, { github: { ...valid, expires_at: at(50) } });
  await record(sql, 51, { github: { ...unreachable, status: "invalid" } });
  assert.deepEqual((await health(sql)).expires_at, at(50), "it was refused because it ended");
});

test("the check that began later stays, and a check recorded twice counts once", async (sql) => {
  await record(sql, 2, { github: { ...unreachable, status: "invalid" } });
  const late = await record(sql, 1, { github: valid });
  assert.deepEqual(
    [late.keys[0].recorded, late.keys[0].status, late.keys[0].previous_status],
    [false, "invalid", "invalid"],
  );
  assert.equal((await record(sql, 2, { github: unreachable })).keys[0].recorded, false);
  const row = await health(sql);
  assert.deepEqual([row.status, row.consecutive_failures, row.checked_at], ["invalid", 1, at(2)]);
});

test(
  "checks at the same time wait for each other and never deadlock",
  async (_sql, db) => {
    const names = ["deepseek", "elevenlabs", "github", "lovable", "openai"];
    const checks = (order: string[]) =>
      Object.fromEntries(order.map((name) => [name, unreachable]));
    const sessions = Array.from({ length: 6 }, () => db.connect());
    await Promise.all(sessions.map(async (sql, session) => {
      const order = session % 2 === 0 ? names : names.toReversed();
      for (let i = 0; i < 20; i++) await record(sql, session + 6 * i, checks(order));
    }));
    const rows = await db.sql`select checked_at, consecutive_failures from api_key_health`;
    assert.equal(rows.length, 5);
    for (const row of rows) assert.deepEqual(row.checked_at, at(5 + 6 * 19), "the latest stays");
  },
);

test("a check that waited for another counts failures on from its row", async (sql, db) => {
  await record(sql, 0, { github: valid });
  const other = db.connect();
  await sql.begin(async (first) => {
    await record(first as unknown as Sql, 1, { github: unreachable });
    const second = record(other, 2, { github: unreachable });
    await waitUntil("the second check to wait", async () => {
      const [row] = await db.admin`
        select count(*)::int as count from pg_stat_activity
        where datname = ${db.name} and wait_event_type = 'Lock'`;
      return row!.count === 1;
    });
    return { second };
  }).then(({ second }) => second).then((found) => {
    assert.equal(found.keys[0].previous_status, "unreachable");
    assert.equal(found.keys[0].consecutive_failures, 2);
  });
});

test("rows of other keys are not changed, and are named", async (sql, db) => {
  await db.sql`
    insert into api_key_health (provider, key_name, status, checked_at)
    values ('github', 'demo', 'expiring', ${at(-100)}), ('acme', 'default', 'valid', ${at(-100)})`;
  const before = await db.sql`select * from api_key_health order by provider`;
  const found = await record(sql, 0, { github: valid });
  assert.deepEqual(found.left_alone, ["acme", "github/demo"]);
  const others = await db.sql`
    select * from api_key_health where (provider, key_name) <> ('github', 'default') order by provider`;
  assert.deepEqual([...others], [...before]);
});

test("only the functions may record", async (_sql, db) => {
  for (const role of ["anon", "authenticated"] as const) {
    const call = db.connect(role)`select record_api_key_checks('[]', gen_random_uuid())`;
    await assert.rejects(call, /permission denied for function/);
  }
});
