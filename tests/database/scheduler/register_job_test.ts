// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "registering a job gives pg_cron the smallest UTC entry that covers it",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', '30 14 * * *', 'Europe/Berlin')`;
    const [entry] = await sql`select * from cron.job where jobname = 'job'`;
    assert.equal(entry!.schedule, "30 12,13 * * *");
    assert.equal(entry!.command, "select scheduler.dispatch('job')");
    assert.equal(entry!.active, true);
    const [job] = await sql`select * from scheduler_jobs`;
    assert.equal(job!.cron_entry, "30 12,13 * * *");
    assert.ok(job!.next_run_at > new Date());
  },
);

/** The arguments that are numbers, with their ranges. */
const ranges: [name: string, least: number, most: number][] = [
  ["timeout_seconds", 1, 86_400],
  ["max_attempts", 1, 20],
  ["backoff_base_seconds", 1, 86_400],
  ["backoff_cap_seconds", 1, 86_400],
  ["misfire_grace_seconds", 0, 86_400],
  ["misfire_cap", 1, 1000],
  ["parallel_limit", 1, 1000],
];

const wrong: [Record<string, unknown>, RegExp][] = [
  [{ name: null }, /name must be .* got null/],
  [{ name: "" }, /name must be/],
  [{ name: "Not A Name" }, /name must be .*'Not A Name'/],
  [{ name: "a\n" }, /name must be/],
  [{ name: "x".repeat(64) }, /name must be/],
  [{ name: "x'; drop table scheduler_jobs; --" }, /name must be/],
  [{ name: "scheduler-pulse" }, /the job scheduler-pulse: that name is the scheduler's own pulse$/],
  [{ schedule: "61 * * * *" }, /minute must be 0 to 59, got "61"/],
  [{ schedule: "" }, /./],
  [{ schedule: null, run_if: "scheduler.duration_text" }, /run_if must name/],
  [{ schedule: null, time_zone: "Europe/Atlantis" }, /Europe\/Atlantis/],
  [{ schedule: "* * *" }, /./],
  [{ schedule: "0 0 30 2 *" }, /never occurs/],
  [{ time_zone: "Europe/Atlantis" }, /Europe\/Atlantis/],
  [{ time_zone: "" }, /zone/],
  [{ time_zone: null }, /zone/],
  [{ target: "http://plain.test/" }, /target must be .*http:\/\/plain\.test/],
  [{ target: "ftp://plain.test/" }, /target must be/],
  [{ target: "https://" }, /target must be/],
  [{ target: "two words" }, /target must be/],
  [{ target: "" }, /target must be/],
  [{ target: "https://user:word@a.test/" }, /target must be .*without user and password/],
  [{ target: "https://a.test/ b\r\nx-evil: 1" }, /target must be/],
  [{ target: "https://a.test/", receipt: "function" }, /receipt must be 'response'/],
  [{ receipt: "telepathy" }, /job: receipt must be 'function' or 'response', got 'telepathy'$/],
  [{ secret_name: " " }, /job: secret_name must name a secret in Vault, got a blank one$/],
  [{ description: null }, /job: description must be a text, got null$/],
  [{ enabled: null }, /job: enabled must be true or false, got null$/],
  [
    { target: "https://a.test/", timeout_seconds: 51 },
    /timeout_seconds of a URL must be at most 50, got 51/,
  ],
  ...[[], 1, "text", null].map((payload) =>
    [{ payload }, /job: payload must be a JSON object, got ./] as [Record<string, unknown>, RegExp]
  ),
  ...ranges.flatMap(([name, least, most]) =>
    [least - 1, most + 1, null, -2147483648, 2147483647]
      .filter((value) => value !== null || !["timeout_seconds", "parallel_limit"].includes(name))
      .map((value) =>
        [
          { overlap_policy: "allow", [name]: value },
          new RegExp(
            `^cannot register the job job: ${name} must be from ${least} to ${most}, got ${value}$`,
          ),
        ] as [Record<string, unknown>, RegExp]
      )
  ),
  ...["maybe", "", "SKIP", "skip, allow", "' or '", null].flatMap((value) =>
    [
      [{ overlap_policy: value }, /job: overlap_policy must be 'skip', 'queue' or 'allow', got ./],
      [{ misfire_policy: value }, /job: misfire_policy must be 'skip', 'once' or 'all', got ./],
    ] as [Record<string, unknown>, RegExp][]
  ),
  [{ parallel_limit: 2, overlap_policy: "queue" }, /parallel_limit needs .*, got 'queue'$/],
];

t.ledgerTest("every wrong argument is refused by name and leaves nothing", async ({ sql }) => {
  for (const [values, message] of wrong) {
    const error = await refusal(t.register(sql, "job", values));
    assert.match(error.message, message, JSON.stringify(values));
    assert.equal(error.code, "22023", JSON.stringify(values));
  }
  assert.deepEqual([...await sql`select * from scheduler_jobs`], []);
  assert.deepEqual([...await sql`select * from cron.job where jobname <> 'scheduler-pulse'`], []);
});

t.ledgerTest(
  "the table takes what register_job takes, and refuses what it refuses",
  async ({ sql }) => {
    for (const [name, least, most] of ranges) {
      for (const value of [least, most]) {
        await t.register(sql, "job", { overlap_policy: "allow", [name]: value });
      }
      for (const value of [least - 1, most + 1]) {
        const error = await refusal(sql`update scheduler_jobs set ${sql({ [name]: value })}`);
        assert.equal(error.code, "23514", name);
      }
    }
  },
);

t.ledgerTest("a function's slug may have capitals, as the platform has them", async ({ sql }) => {
  await t.register(sql, "job", { target: "sendInvoices" });
  await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.NOON]);
  const [request] = await sql`select url from net.http_request_queue`;
  assert.match(request!.url, /\/functions\/v1\/sendInvoices$/);
});

t.ledgerTest(
  "registering again with the same values changes no row, also of a disabled job",
  async ({ sql }) => {
    const snapshot = async () => [
      ...await sql`select xmin::text, * from scheduler_jobs order by name`,
      ...await sql`select xmin::text, * from cron.job order by jobid`,
    ];
    const register = () =>
      sql`select scheduler.register_job('job', '*/5 * * * *'),
      scheduler.register_job('off', '*/5 * * * *', enabled => false),
      scheduler.register_job('hook', '0 2 * * *', 'Europe/Berlin', target => 'https://example.test/')`;
    await register();
    // A disabled job's cursor stays behind; that is no reason to touch its row.
    await sql`update scheduler_jobs set next_run_at = next_run_at - interval '1 day'`;
    const before = await snapshot();
    await register();
    assert.deepEqual(await snapshot(), before);
  },
);

t.ledgerTest(
  "registering again with other values changes the job and its entry, and keeps the pause",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 * * * *", payload: { a: 1 } });
    await sql`select scheduler.pause('job', 'r', 'a')`;
    await sql`select scheduler.register_job('job', '15 * * * *', payload => '{"b": 2}', max_attempts => 7)`;
    const [job] = await sql`select * from scheduler_jobs`;
    assert.deepEqual(
      [
        job!.schedule,
        job!.payload,
        job!.max_attempts,
        job!.pause_reason,
        job!.next_run_at.getUTCMinutes(),
      ],
      ["15 * * * *", { b: 2 }, 7, "r", 15],
    );
    const entries = await sql`select schedule from cron.job where jobname = 'job'`;
    assert.deepEqual(entries.map((entry) => entry.schedule), ["15 * * * *"]);
  },
);

t.ledgerTest("the entry is compiled again only for another schedule or zone", async ({ sql }) => {
  const entry = async () => (await sql`select cron_entry from scheduler_jobs`)[0]!.cron_entry;
  await t.register(sql, "job", { schedule: "0 12 * * *", time_zone: "Asia/Tokyo" });
  // One that also covers the times: who compiles it again is seen.
  await sql`update scheduler_jobs set cron_entry = '0 * * * *'`;
  const values = { schedule: "0 12 * * *", time_zone: "Asia/Tokyo", max_attempts: 7 };
  await t.register(sql, "job", values);
  assert.equal(await entry(), "0 * * * *");
  await t.register(sql, "job", { ...values, time_zone: "UTC" });
  assert.equal(await entry(), "0 12 * * *");
  await t.register(sql, "job", { ...values, time_zone: "UTC", schedule: "0 13 * * *" });
  assert.equal(await entry(), "0 13 * * *");
});

t.ledgerTest("other values that leave the times alone leave the cursor alone", async ({ sql }) => {
  await t.register(sql, "job");
  await sql`select scheduler.register_job('job', '* * * * *', max_attempts => 7)`;
  const [job] = await sql`select * from scheduler_jobs`;
  assert.deepEqual([job!.next_run_at, job!.max_attempts], [t.NOON, 7]);
});

t.ledgerTest(
  "registering again with another payload that holds the old one changes it",
  async ({ sql }) => {
    const payload = async () => (await sql`select payload from scheduler_jobs`)[0]!.payload;
    for (const value of [{ a: 1, b: { c: 2 } }, { a: 1, b: {} }, {}, { a: 1 }]) {
      await t.register(sql, "job", { payload: value });
      assert.deepEqual(await payload(), value);
    }
  },
);

t.ledgerTest("registering again makes an inactive pg_cron entry active", async ({ sql }) => {
  // Due now: what came due before would get its rows first.
  await t.register(sql, "job", {}, new Date());
  await sql`select cron.alter_job(jobid, active => false) from cron.job where jobname = 'job'`;
  await t.register(sql, "job", { schedule: "*/2 * * * *" });
  const [entry] = await sql`select schedule, active from cron.job where jobname = 'job'`;
  assert.deepEqual(entry, { schedule: "*/2 * * * *", active: true });
});

t.ledgerTest(
  "a name that is another user's pg_cron entry is refused, and the entry stays as it is",
  async ({ sql }) => {
    await sql`select cron.schedule('job', '0 0 * * *', 'select 1')`;
    const error = await refusal(t.register(sql, "job"));
    assert.equal(error.code, "42710");
    assert.match(error.message, /pg_cron has an entry of that name which is not Daybook's/);
    assert.deepEqual([...await sql`select * from scheduler_jobs`], []);
    const [entry] = await sql`select schedule, command from cron.job where jobname = 'job'`;
    assert.deepEqual(entry, { schedule: "0 0 * * *", command: "select 1" });
  },
);

t.ledgerTest("a disabled job has no pg_cron entry, enabling it puts it back", async ({ sql }) => {
  const entries = async () => (await sql`select from cron.job where jobname = 'job'`).length;
  for (const [enabled, expected] of [[true, 1], [false, 0], [false, 0], [true, 1]] as const) {
    await t.register(sql, "job", { enabled });
    assert.equal(await entries(), expected);
  }
});

t.ledgerTest("ten registrations of one job at once leave one job and one entry", async (db) => {
  const connections = Array.from({ length: 10 }, () => db.connect());
  await Promise.all(
    connections.map((connection) => connection`select scheduler.register_job('job', '0 3 * * *')`),
  );
  assert.equal((await db.sql`select from scheduler_jobs`).length, 1);
  assert.equal((await db.sql`select from cron.job where jobname = 'job'`).length, 1);
});

t.ledgerTest(
  "unregister_job takes out the job and its entry, keeps its runs, and lets what runs finish",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await sql`select scheduler.unregister_job('job')`;
    assert.deepEqual([...await sql`select from cron.job where jobname = 'job'`], []);
    assert.deepEqual(await t.finish(sql, id, "failed", t.NOON), { finished: true });
    assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error"]);
    assert.deepEqual([...await sql`select * from scheduler_locks`], []);
    const error = await refusal(sql`select scheduler.unregister_job('job')`);
    assert.equal(error.code, "SD001");
  },
);

for (const way of ["disabled", "taken out"] as const) {
  t.ledgerTest(
    `what waits for a time is cancelled with the pulse after its job was ${way}`,
    async ({ sql }) => {
      const daily = {
        schedule: "0 12 * * *",
        backoff_base_seconds: 86_400,
        backoff_cap_seconds: 86_400,
      };
      await t.register(sql, "job", daily);
      const id = (await t.dispatch(sql, "job"))!;
      await t.begin(sql, id, t.NOON);
      await t.finish(sql, id, "failed", t.NOON);
      // The pulse looks at all that waits once a minute: not in the next one.
      await t.pulse(sql, t.after(0.1));
      assert.equal((await t.summary(sql, "job"))[1], "queued retry 2");
      if (way === "disabled") {
        await t.register(sql, "job", { ...daily, enabled: false }, t.after(24 * 60));
      } else await sql`select scheduler.unregister_job('job')`;
      await t.pulse(sql, t.after(0.3));
      assert.equal((await t.summary(sql, "job"))[1], "cancelled retry 2");
      assert.deepEqual([...await sql`select * from scheduler.wakes`], [], "and that is all");
    },
  );
}

t.ledgerTest(
  "registering leaves a row in the audit log when something changes",
  async ({ sql }) => {
    const register = (values: string) =>
      sql.unsafe(`select scheduler.register_job('job', ${values})`);
    await register("'0 * * * *', target => 'x'");
    await t.dispatch(sql, "job", t.after(0));
    await sql`update scheduler_jobs set next_run_at = ${t.after(60)}`;
    await register("'0 * * * *', target => 'x'");
    await sql`select scheduler.pause('job', 'why', 'ann')`;
    await register("'0 * * * *', target => 'x', timeout_seconds => 30, priority => 2");
    await sql`select scheduler.unregister_job('job')`;
    const rows = await sql`
    select verb, author = session_user as is_connected, subject_type, subject, before, after from scheduler_audit
    where verb like '%register_job' order by id`;
    assert.deepEqual(
      rows.map((row) => [row.verb, row.is_connected, row.subject_type, row.subject]),
      [
        ["register_job", true, "job", "job"],
        ["register_job", true, "job", "job"],
        ["unregister_job", true, "job", "job"],
      ],
    );
    assert.equal(rows[0]!.before, null);
    assert.equal(rows[0]!.after.schedule, "0 * * * *");
    assert.deepEqual([rows[1]!.before, rows[1]!.after], [
      { timeout_seconds: 120, priority: 0 },
      { timeout_seconds: 30, priority: 2 },
    ]);
    assert.deepEqual([rows[2]!.before.priority, rows[2]!.after], [2, null]);
  },
);

t.ledgerTest("so do groups, calendars and budgets", async ({ sql }) => {
  for (let n = 0; n < 2; n++) {
    await sql`select scheduler.register_group('g', parallel_limit => 2)`;
    await sql`select scheduler.register_calendar('c')`;
    await sql`select scheduler.register_budget('b', 10, '1 hour')`;
  }
  await sql`select scheduler.register_group('g', parallel_limit => 3)`;
  await sql`select scheduler.register_calendar('c', 'Days off')`;
  await sql`select scheduler.register_budget('b', 20, '1 hour')`;
  await sql`select scheduler.unregister_group('g')`;
  await sql`select scheduler.unregister_calendar('c')`;
  await sql`select scheduler.unregister_budget('b')`;
  const rows = await sql`
    select subject_type, verb, case when before is not null and after is not null then before || jsonb_build_object('now', after)
      end as change from scheduler_audit order by id`;
  assert.deepEqual(rows.map((row) => [row.subject_type, row.verb, row.change]), [
    ["group", "register_group", null],
    ["calendar", "register_calendar", null],
    ["budget", "register_budget", null],
    ["group", "register_group", { parallel_limit: 2, now: { parallel_limit: 3 } }],
    ["calendar", "register_calendar", { description: "", now: { description: "Days off" } }],
    ["budget", "register_budget", { tokens: 10, now: { tokens: 20 } }],
    ["group", "unregister_group", null],
    ["calendar", "unregister_calendar", null],
    ["budget", "unregister_budget", null],
  ]);
});
