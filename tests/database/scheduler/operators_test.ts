import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const ann = "a0000000-0000-4000-8000-000000000001";
const bob = "b0000000-0000-4000-8000-000000000002";

type Query = Parameters<typeof t.value>[0];
const add = (
  sql: Query,
  user: string | null,
  role: string | null,
  name: string | null,
  author: string | null = "carl",
) =>
  t.value(sql, "scheduler.add_operator($1, $2, $3, 'on duty', $4, $5)", [
    user,
    role,
    name,
    author,
    t.NOON,
  ]);
const remove = (sql: Query, user: string) =>
  t.value(sql, "scheduler.remove_operator($1, 'left', 'carl', $2)", [user, t.NOON]);
const ask = (
  sql: Query,
  user: string | null,
  acts: boolean | null,
  door: string,
  args: object = {},
) => t.value(sql, "scheduler_api_as_user($1, $2, $3, $4)", [user, acts, door, args]);
const pause = (job: string, more: object = {}) => ({
  p_verb: "pause",
  p_subject: job,
  p_reason: "a release",
  ...more,
});

t.ledgerTest(
  "an operator is added, changed and removed, each with a row in the audit log",
  async ({ sql }) => {
    assert.equal(
      await add(sql, ann, "viewer", " ann@example.com "),
      "ann@example.com is a viewer.",
    );
    assert.equal(await add(sql, ann, "operator", "ann"), "ann is an operator.");
    const rows = await sql`select user_id, name, role, created_by from scheduler_operators`;
    assert.deepEqual(rows.map((row) => ({ ...row })), [
      { user_id: ann, name: "ann", role: "operator", created_by: "carl" },
    ]);
    assert.equal(await remove(sql, ann), "ann may not ask any more.");
    const log = await sql`
    select verb, subject, reason, author, before ->> 'role' as before, after ->> 'role' as after
    from scheduler_audit where subject_type = 'operator' order by id`;
    assert.deepEqual(log.map((row) => Object.values(row).join(" | ")), [
      "add_operator | ann@example.com | on duty | carl |  | viewer",
      "add_operator | ann | on duty | carl | viewer | operator",
      "remove_operator | ann | left | carl | operator | ",
    ]);
  },
);

t.ledgerTest(
  "no operator without an id, a known role, a name of their own, a reason and an author",
  async ({ sql }) => {
    await add(sql, bob, "viewer", "bob");
    const cases: [string | null, string | null, string | null, string | null, RegExp][] = [
      [null, "viewer", "ann", "carl", /id must be given/],
      [ann, "admin", "ann", "carl", /role must be viewer or operator/],
      [ann, null, "ann", "carl", /role must be viewer or operator/],
      [ann, "viewer", " ", "carl", /name, reason and author must be given/],
      [ann, "viewer", null, "carl", /name, reason and author must be given/],
      [ann, "viewer", "x".repeat(201), "carl", /at most 200/],
      [ann, "viewer", "bob ", "carl", /bob is the name of another one/],
      [ann, "viewer", "ann", " ", /name, reason and author must be given/],
    ];
    for (const [user, role, name, author, words] of cases) {
      const error = await refusal(add(sql, user, role, name, author));
      assert.equal(error.code, "22023");
      assert.match(error.message, words);
    }
    assert.equal((await refusal(remove(sql, ann))).code, "SD016");
  },
);

t.ledgerTest(
  "a listed user reads what the door answers, with the arguments as PostgREST reads them",
  async ({ sql }) => {
    await add(sql, ann, "viewer", "ann");
    await t.register(sql, "job");
    const run = await t.start(sql, "job");
    assert.deepEqual(
      Object.keys(await ask(sql, ann, false, "scheduler_api_health")).sort(),
      Object.keys(await t.value(sql, "scheduler_api_health()")).sort(),
    );
    assert.equal(
      (await ask(sql, ann, false, "scheduler_api_run", { p_run_id: run })).run.run_id,
      run,
    );
    const between = { p_job: "job", p_from: "2020-01-01T00:00:00Z", p_to: null };
    assert.equal((await ask(sql, ann, false, "scheduler_api_history", between)).runs.length, 1);
    const later = { p_from: "9999-01-01T00:00:00Z" };
    assert.equal((await ask(sql, ann, false, "scheduler_api_history", later)).runs.length, 0);
    for (
      const door of [
        "scheduler_api_status",
        "scheduler_api_audit_log",
        "scheduler_api_verify",
        "scheduler_api_timeline",
      ]
    ) {
      assert.equal(typeof await ask(sql, ann, false, door), "object", door);
    }
    assert.equal(
      (await refusal(ask(sql, ann, false, "scheduler_api_run", { p_run_id: bob }))).code,
      "SD002",
    );
    assert.deepEqual(await t.value(sql, "scheduler_api_operator($1)", [ann]), {
      name: "ann",
      role: "viewer",
    });
  },
);

t.ledgerTest("what an operator does has their name as author", async ({ sql }) => {
  await add(sql, ann, "operator", "ann");
  await t.register(sql, "job");
  await ask(sql, ann, true, "scheduler_api_act", pause("job"));
  await ask(sql, ann, true, "scheduler_api_act", {
    ...pause("job", { p_author: "ann" }),
    p_verb: "resume",
    p_input: {},
  });
  const error = await refusal(
    ask(sql, ann, true, "scheduler_api_act", pause("job", { p_author: "bob" })),
  );
  assert.equal(error.code, "22023");
  assert.match(error.message, /author must be who is signed in, ann/);
  const log =
    await sql`select verb, author, reason from scheduler_audit where verb in ('pause', 'resume') order by id`;
  assert.deepEqual(log.map((row) => Object.values(row)), [
    ["pause", "ann", "a release"],
    ["resume", "ann", "a release"],
  ]);
  assert.equal((await ask(sql, ann, true, "scheduler_api_tick")).beat, true);
});

t.ledgerTest(
  "a viewer does not act, and it makes no difference what the caller calls it",
  async ({ sql }) => {
    await add(sql, ann, "viewer", "ann");
    await t.register(sql, "job");
    const cases: [boolean | null, string, object][] = [
      [true, "scheduler_api_act", pause("job")],
      [false, "scheduler_api_act", pause("job")],
      [null, "scheduler_api_act", pause("job")],
      [true, "scheduler_api_tick", {}],
      [null, "scheduler_api_status", {}],
    ];
    for (const [acts, door, args] of cases) {
      const error = await refusal(ask(sql, ann, acts, door, args));
      assert.equal(error.code, "SD207", `${acts} ${door}`);
      assert.match(error.hint!, /add_operator\('a0000000-[-0-9]+', 'operator', 'ann', /);
    }
    assert.equal((await sql`select paused_at from scheduler_jobs`)[0]!.paused_at, null);
  },
);

t.ledgerTest("who is not listed, or not any more, is told how to be", async ({ sql }) => {
  await add(sql, ann, "operator", "ann");
  await remove(sql, ann);
  for (const user of [ann, bob, null]) {
    for (
      const call of [
        () => ask(sql, user, false, "scheduler_api_status"),
        () => ask(sql, user, true, "scheduler_api_act", pause("job")),
        () => ask(sql, user, false, "nothing"),
        () => t.value(sql, "scheduler_api_operator($1)", [user]),
      ]
    ) {
      const error = await refusal(call());
      assert.equal(error.code, "SD016");
      assert.match(error.hint!, /select scheduler\.add_operator\(/);
    }
  }
});

t.ledgerTest("no other function is reached by way of the API", async ({ sql }) => {
  await add(sql, ann, "operator", "ann");
  const cases: [string | null, object][] = [
    ["scheduler_begin_run", {}],
    ["scheduler_api_as_user", { p_user_id: ann, p_acts: true, p_door: "scheduler_api_tick" }],
    ["scheduler_api_operator", { p_user_id: ann }],
    ["schedulerXapiXtick", {}],
    ["scheduler_api_tick(); select 1 --", {}],
    [null, {}],
    ["scheduler_api_status", { p_now: "2100-01-01T00:00:00Z" }],
    ["scheduler_api_status", { "p_cursor => null); drop table public.scheduler_jobs; --": 1 }],
  ];
  for (const [door, args] of cases) {
    const error = await refusal(ask(sql, ann, true, door as string, args));
    assert.equal(error.code, "22023", String(door));
    assert.match(error.message, /the API has no/);
  }
});

t.ledgerTest(
  "a function of another role does not get the rights of the owner by its name",
  async ({ sql }) => {
    await add(sql, ann, "viewer", "ann");
    await sql.unsafe(`
    grant create on schema public to service_role;
    set role service_role;
    create function public.scheduler_api_mine() returns jsonb
      language sql as $$ select to_jsonb(current_user::text) $$;
    reset role`);
    const error = await refusal(ask(sql, ann, false, "scheduler_api_mine"));
    assert.equal(error.code, "22023");
    assert.match(error.message, /the API has no scheduler_api_mine/);
  },
);

t.ledgerTest("each door of the API can be asked by way of a user", async ({ sql }) => {
  await add(sql, ann, "operator", "ann");
  const doors = await sql`
    select proname as door, coalesce(proargnames, '{}')::text as arguments from pg_proc
    where pronamespace = 'public'::regnamespace and proname like 'scheduler\\_api\\_%'
      and not coalesce(proargnames @> '{p_user_id}', false)`;
  assert.ok(doors.length > 10);
  for (const { door, arguments: names } of doors) {
    const known = await t.value(sql, "scheduler.api_arguments($1)", [door]);
    assert.deepEqual(
      Object.keys(known).sort(),
      names.slice(1, -1).split(",").filter(Boolean).sort(),
      door,
    );
    const call = await t.value(sql, "scheduler.api_call($1, $2, $2)", [door, known]);
    const given = Object.keys(known).length > 0 ? "(jsonb)" : "";
    await sql.unsafe(`prepare asked${given} as ${call}; deallocate asked`);
  }
});
