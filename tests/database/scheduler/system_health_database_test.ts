import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { value } from "../../support/scheduler.ts";
import { judge, valuesOf } from "../../support/system-health.ts";

Deno.test("the component database is healthy in an idle database", async () => {
  await withDatabase(async ({ sql }) => {
    const verdict = await judge(sql, "database", "select 1");
    assert.equal(verdict.status, "healthy", JSON.stringify(verdict));
    const { connections_percent, oldest_transaction_seconds, size_bytes } = valuesOf(verdict);
    assert.ok(connections_percent !== undefined && connections_percent > 0);
    assert.equal(oldest_transaction_seconds, 0);
    const [row] = await sql`select pg_database_size(current_database())::float8 as size`;
    assert.ok(Math.abs((size_bytes ?? 0) - row?.size) < 1_000_000);
  });
});

Deno.test("the component database counts connections against the limit of the server", async () => {
  await withDatabase(async ({ sql, connect }) => {
    const before = Number((await judge(sql, "database", "select 1")).details.connections);
    const clients = [connect("anon", { max: 1 }), connect("authenticated", { max: 1 })];
    for (const client of clients) await client`select 1`;
    const { details, figures } = await judge(sql, "database", "select 1");
    // Other tests come and go on the same server.
    assert.ok(Number(details.connections) >= before - 20 && Number(details.connections) >= 3);
    const share = 100 * Number(details.connections) / Number(details.connections_possible);
    assert.equal(figures.connections_percent?.value, Math.round(share * 10) / 10);
  });
});

Deno.test("the component database sees the transaction of another role, and how old it is", async () => {
  await withDatabase(async ({ sql, connect }) => {
    const other = connect("anon", { max: 1 });
    await other.begin(async (transaction) => {
      const [began] = await transaction`select extract(epoch from now())::float8 as at`;
      const [asked] = await sql`
        select scheduler.database_health() as answer, extract(epoch from now())::float8 as at`;
      const age = asked?.answer.figures.oldest_transaction_seconds;
      assert.ok(Math.abs(age - (asked?.at - began?.at)) <= 1);
      assert.deepEqual(asked?.answer.notes, []);
    });
  });
});

Deno.test("the component database says that others' sessions are hidden, instead of 0", async () => {
  await withDatabase(async ({ admin, name }) => {
    const role = `blind_${name}`.slice(0, 60);
    await admin.unsafe(`create role "${role}"`);
    try {
      await admin.unsafe(`grant usage on schema scheduler to "${role}";
        grant execute on all functions in schema scheduler to "${role}";
        grant select on public.scheduler_health_history to "${role}"`);
      await admin.begin(async (transaction) => {
        await transaction.unsafe(`set local role "${role}"`);
        const { figures, notes } = await value(transaction, "scheduler.database_health()");
        assert.equal(figures.oldest_transaction_seconds, null);
        assert.ok(figures.connections_percent > 0);
        assert.deepEqual(notes, [
          `sessions of others are hidden from ${role}; as a superuser: grant pg_monitor to ${role}`,
        ]);
      });
    } finally {
      await admin.unsafe(`drop owned by "${role}"; drop role "${role}"`);
    }
  });
});

Deno.test("the component database finds the table that dead rows fill", async () => {
  await withDatabase(async ({ sql }) => {
    await sql.unsafe(`create table public.full_of_the_dead with (autovacuum_enabled = false)
      as select n from generate_series(1, 40000) as n`);
    await sql`delete from public.full_of_the_dead where n > 20000`;
    await sql`select pg_stat_force_next_flush()`;
    await sql`select 1`;
    const verdict = await judge(sql, "database", "select 1");
    assert.equal(verdict.figures.dead_rows_percent?.value, 50);
    assert.equal(verdict.details.most_dead_rows_in, "public.full_of_the_dead");
    assert.equal(verdict.status, "degraded");
  });
});

Deno.test("the component database takes the cache hits since an earlier check", async () => {
  await withDatabase(async ({ sql }) => {
    // Enough to tell a share of: each time some 900 blocks.
    await sql`create table public.read_often as select n from generate_series(1, 200000) as n`;
    for (let time = 0; time < 15; time++) await sql`select count(*) from public.read_often`;
    await sql`select pg_stat_force_next_flush()`;
    const counters = async () =>
      (await sql`select blks_hit::float8 as hit, blks_read::float8 as read, to_jsonb(stats_reset) as reset
        from pg_stat_database where datname = current_database()`)[0] ?? assert.fail();
    const now = await counters();
    const history = (hit: number, read: number, minutes: number, reset: unknown = now.reset) =>
      `delete from public.scheduler_health_history;
       insert into public.scheduler_health_history
        (job_name, scheduled_for, checked_at, score, status, summary, report, components)
       values ('system-health', now(), now() - interval '${minutes} minutes', 100, 'healthy', '', '',
        '${
        JSON.stringify({
          database: {
            details: { counters: { blks_hit: hit, blks_read: read, stats_reset: reset } },
          },
        })
      }');`;
    const hitPercent = async (arrange: string) =>
      valuesOf(await judge(sql, "database", arrange)).cache_hit_percent;
    const whole = await hitPercent("select 1") ?? assert.fail("too few blocks");
    // A million hits before that never were: as if all had been read from disk since.
    const since = await hitPercent(history(now.hit - 20_000, now.read - 60_000, 60));
    assert.ok(since !== undefined && since > 22 && since < 28, String(since));
    for (
      const [why, arrange] of Object.entries({
        "counters ran backwards": history(now.hit + 1e9, 0, 60),
        "statistics were reset since": history(
          now.hit - 20_000,
          now.read - 60_000,
          60,
          "2001-01-01T00:00:00+00:00",
        ),
        "the check before was a minute ago": history(now.hit - 20_000, now.read - 60_000, 1),
        "the counters are no numbers": history("x" as never, null as never, 60),
      })
    ) {
      const value = await hitPercent(arrange);
      assert.ok(
        Math.abs((value ?? -100) - whole) < 5,
        `${why}: ${value} instead of ${whole}`,
      );
    }
  });
});
