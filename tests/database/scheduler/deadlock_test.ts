// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { type Random, seededRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";

const CONNECTIONS = 16;
const ROUNDS = 60;

const changeGroup = (sql: Sql, name: string, limit: number | null) =>
  sql`select scheduler.register_group(${name}, parallel_limit => ${limit}, key_limit => least(${limit}::integer, 2))`;

const policyOf = (job: number) => ["skip", "queue", "allow", "queue"][job]!;

for (const jobCount of [1, 4]) {
  const jobs = jobCount === 1 ? "one job" : `${jobCount} jobs`;
  t.ledgerTest(
    `every verb at once, at random, for ${jobs}: no deadlock, all invariants hold`,
    async (db) => {
      const names = Array.from({ length: jobCount }, (_, index) => `job-${index}`);
      // One job is all by itself; four share two groups, their slots and keys, depend on each other, have breakers and
      // give way.
      const groups = jobCount === 1 ? [] : ["g", "h"];
      for (const name of groups) await changeGroup(db.sql, name, 2);
      const valuesOf = (name: string) => {
        const index = names.indexOf(name);
        return {
          overlap_policy: policyOf(index),
          misfire_policy: "all",
          misfire_cap: 5,
          backoff_base_seconds: 1,
          timeout_seconds: 60,
          ...(jobCount === 1 ? {} : {
            group_name: "g",
            breaker_failures: 3,
            breaker_cooldown_seconds: 1,
          }),
          ...(index === 0 ? {} : {
            depends_on: names.slice(Math.max(index - 2, 0), index),
            on_dependency_failure: "run",
            dependency_timeout_seconds: 60,
          }),
          ...[
            {},
            { stretch_after: 1, stretch_at_most_seconds: 300 },
            { parallel_least: 1, parallel_limit: 3 },
            { defer_if: "public.odd", defer_at_most_seconds: 30 },
          ][index],
        };
      };
      await db.sql.unsafe(`create function public.odd(timestamptz) returns boolean language sql as
        $$ select extract(second from $1)::integer % 2 = 1 $$`);
      for (const name of names) await t.register(db.sql, name, valuesOf(name));
      let minute = 0;
      const done = new Map<string, number>();
      const work = async (connection: Sql, random: Random) => {
        for (let round = 0; round < ROUNDS; round++) {
          const name = random.pick(names);
          // Time goes on for all of them together, sometimes by enough to let a lock expire.
          const now = t.after(minute += random.chance(0.05) ? 4 : 0.05);
          // A person's call at an occurrence's very microsecond would share the name of its retries.
          const byHand = t.after(0.013, now);
          const [live] = await connection`
          select id from scheduler_runs where status in ('dispatched', 'running') order by random() limit 1`;
          const change = (sql: Sql, values: Record<string, unknown>) =>
            sql.unsafe(
              `select scheduler.register_job(name => $1, schedule => $2, ${
                Object.keys(values).filter((key) => key !== "schedule")
                  .map((key, place) => `${key} => $${place + 3}`).join(", ")
              })`,
              [
                name,
                values.schedule ?? "* * * * *",
                ...Object.entries(values).filter(([key]) => key !== "schedule").map(([, each]) =>
                  each
                ),
              ] as never[],
            );
          const verb = random.pick(
            [
              "dispatch",
              "pulse",
              "begin",
              "begin",
              "finish",
              "finish",
              "begin",
              "begin",
              "finish",
              "finish",
              "heartbeat",
              "answer",
              "release",
              "run_now",
              "manual",
              "enqueue",
              "cancel_run",
              "retry_run",
              "cancel_queued",
              "pause",
              "resume",
              "register",
              ...(groups.length === 0 ? [] : [
                "group",
                "pause_group",
                "resume_group",
                "resume_group",
                "join",
                "close_breaker",
                "start_incident",
                "end_incident",
                "end_incident",
              ]),
            ],
          );
          try {
            if (verb === "dispatch") await t.dispatch(connection, name, now);
            else if (verb === "pulse") await t.pulse(connection, now);
            else if (verb === "begin" && live) {
              await connection`select scheduler.begin_run(id, function_name, '', ${now}) from scheduler_runs where id = ${live.id}`;
            } else if (verb === "finish" && live) {
              const isIdle = random.chance(0.5);
              await connection`select scheduler.finish_run(${live.id}, ${
                random.pick(["completed", "failed"])
              }, ${connection.json({ idle: isIdle })}, p_now => ${now})`;
            } else if (verb === "heartbeat" && live) await t.heartbeat(connection, live.id, now);
            else if (verb === "answer" && live) {
              await connection`
              insert into net._http_response (id, status_code, timed_out, created)
              select request_id, ${
                random.pick([202, 404, 503])
              }, false, ${now} from scheduler_runs where id = ${live.id}`;
            } else if (verb === "release" && random.chance(0.2)) {
              await connection`select scheduler.release_lock(${name}, 'test', 'ann', ${now})`;
            } else if (
              verb === "run_now"
            ) await connection`select scheduler.run_now(${name}, 'ann', null, ${byHand})`;
            else if (verb === "manual") {
              await connection`select scheduler.begin_manual_run(${name}, null, '{}', '', ${byHand})`;
            } else if (verb === "enqueue") {
              await connection`select scheduler.enqueue_runs(${name}, '[{}, {"key": "a"}, {"key": "a", "priority": 3}]', null, ${now})`;
            } else if (verb === "cancel_run" && live) {
              await connection`select scheduler.cancel_run(${live.id}, 'why', 'who', ${now})`;
            } else if (verb === "retry_run") {
              await connection`
              select scheduler.retry_run(id, 'who', ${now}) from (
                select id from scheduler_runs where job_name = ${name} and status = 'failed' order by random() limit 1) as runs`;
            } else if (verb === "cancel_queued" && random.chance(0.2)) {
              await connection`select scheduler.cancel_queued(${name}, 'why', 'who', ${now})`;
            } else if (verb === "pause" && random.chance(0.2)) {
              await connection`select scheduler.pause(${name}, 'why', 'who', null, ${now})`;
            } else if (verb === "resume") {
              await connection`select scheduler.resume(${name}, 'ann', ${now})`;
            } else if (verb === "register" && random.chance(0.2)) {
              await change(connection, {
                ...valuesOf(name),
                schedule: random.pick(["* * * * *", "*/2 * * * *"]),
              });
            } else if (verb === "join" && random.chance(0.3)) {
              await change(connection, { ...valuesOf(name), group_name: random.pick(groups) });
            } else if (verb === "group") {
              await changeGroup(connection, random.pick(groups), random.pick([1, 2, 4, null]));
            } else if (verb === "pause_group" && random.chance(0.2)) {
              await connection`
              select scheduler.pause_group(${random.pick(groups)}, 'why', 'who', ${
                t.after(1, now)
              }, ${now})`;
            } else if (verb === "resume_group") {
              await connection`select scheduler.resume_group(${
                random.pick(groups)
              }, 'ann', ${now})`;
            } else if (verb === "close_breaker") {
              await connection`select scheduler.close_breaker(${name}, 'why', 'who', ${now})`;
            } else if (verb === "start_incident" && random.chance(0.2)) {
              await connection`select scheduler.start_incident('why', 'who', ${
                random.chance(0.5)
              }, ${now})`;
            } else if (verb === "end_incident") {
              await connection`select scheduler.end_incident('ann', ${
                random.pick([0, 5])
              }, ${now})`;
            }
            done.set(verb, (done.get(verb) ?? 0) + 1);
          } catch (error) {
            // Somebody is at work, or what was to be cancelled or retried is over. Anything else is a fault.
            assert.ok(error instanceof postgres.PostgresError, String(error));
            assert.ok(
              ["SD101", "SD104", "SD105", "SD201"].includes(error.code),
              `${verb}: ${error.code} ${error.message} ${error.detail ?? ""}`,
            );
          }
        }
      };
      const seeds = seededRandom(20260302);
      await Promise.all(
        Array.from({ length: CONNECTIONS }, () =>
          work(
            db.connect(),
            seededRandom(seeds.whole(1, 1e9)),
          )),
      );
      await t.assertInvariants(db.sql);
      const slots = await db.sql`
        select runs.id, slots.run_id from scheduler.group_slots as slots
        full join (
          select id from scheduler_runs join scheduler_jobs on name = job_name
            join scheduler_groups as groups on groups.name = group_name
          where status in ('dispatched', 'running') and groups.parallel_limit is not null) as runs on runs.id = run_id
        where runs.id is distinct from slots.run_id`;
      assert.deepEqual(
        [...slots],
        [],
        "each run under way in a group with a limit has its slot, and no other run",
      );
      if (jobCount > 1) {
        const [state] = await db.sql`select in_force from scheduler.parallel_states`;
        assert.ok(state!.in_force >= 1 && state!.in_force <= 3);
      }
      const [seen] = await db.sql`
      select count(*) filter (where status = 'completed')::int as completed,
        count(*) filter (where trigger = 'retry')::int as retries, count(*)::int as runs from scheduler_runs`;
      assert.ok(seen!.completed > 0 && seen!.retries > 0 && seen!.runs > 50, JSON.stringify(seen));
    },
  );
}

t.ledgerTest(
  "a receipt and a pulse that reads the same job's answers do not deadlock",
  async (db) => {
    await t.register(db.sql, "job", { overlap_policy: "allow" });
    const [a, b] = [
      (await t.dispatch(db.sql, "job"))!,
      (await t.dispatch(db.sql, "job", t.after(1)))!,
    ];
    await t.begin(db.sql, a, t.after(1));
    await t.answer(db.sql, a, { status: 202 }, t.after(1));
    await t.answer(db.sql, b, { status: 404 }, t.after(1));
    const other = t.impatient(db);
    const receipt = await db.sql.reserve();
    await receipt`begin`;
    // What finish does first; the pulse must not wait for it with a run of this job in its hands.
    await receipt`select from scheduler_jobs where name = 'job' for no key update`;
    assert.equal((await t.pulse(other, t.after(1.1))).beat, true);
    assert.deepEqual(await t.finish(receipt, a, "completed", t.after(1.1)), { finished: true });
    await receipt`commit`;
    receipt.release();
    await t.pulse(other, t.after(1.2));
    assert.deepEqual(await t.summary(db.sql, "job"), [
      "completed cron 1 ok",
      "failed cron 1 not_found",
      "queued retry 2",
    ]);
  },
);

t.ledgerTest("taking over an expired lock waits for a receipt that is on its way", async (db) => {
  await t.register(db.sql, "job");
  const id = (await t.dispatch(db.sql, "job"))!;
  await db.sql`update scheduler_locks set expires_at = ${t.after(1)}`;
  const receipt = await db.sql.reserve();
  const other = t.impatient(db);
  await receipt`begin`;
  await receipt`select from scheduler_runs where id = ${id} for no key update`;
  const [{ pid }] = await other`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
  const second = t.dispatch(other, "job", t.after(1));
  await t.untilBlocked(db.sql, pid);
  await t.begin(receipt, id, t.after(1));
  await receipt`commit`;
  receipt.release();
  assert.ok(await second);
  assert.deepEqual(await t.summary(db.sql, "job"), ["running cron 1", "queued cron 1"]);
  await t.assertInvariants(db.sql);
});

t.ledgerTest(
  "after a crash, a verb on a run and a dispatch of its job do not deadlock",
  async (db) => {
    await t.register(db.sql, "job");
    const id = await t.dispatch(db.sql, "job");
    // As a crash leaves it: the first to send or to read an answer writes that row again.
    await db.sql`delete from scheduler.request_epoch`;
    const other = t.impatient(db);
    const [{ pid }] = await other`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select from scheduler_jobs where name = 'job' for no key update`;
    const cancelled = t.value(other, "scheduler.cancel_run($1, 'why', 'who', $2)", [
      id,
      t.after(1),
    ]);
    await t.untilBlocked(db.sql, pid);
    await t.dispatch(holder, "job", t.after(1));
    await holder`commit`;
    holder.release();
    assert.match(await cancelled, /is cancelled/);
  },
);
