import assert from "node:assert/strict";
import type { Entry } from "../../../cli/audit/entry.ts";
import { readFunctionLog } from "../../../cli/audit/function-log.ts";
import { readEntries } from "../../support/audit.ts";

const inBrief = ({ name, schedule, zone, engine, where, active, work }: Entry) => [
  name,
  schedule,
  zone,
  engine,
  where,
  active,
  work.label,
];

Deno.test("a crontab is read with its zones, comments, nicknames and commands", () => {
  const { entries, unknown } = readEntries(
    "crontab",
    `MAILTO=ops@example.com
CRON_TZ="America/New_York"
# every night,
# in New York
0 3 * * 1-5   /usr/bin/backup --all > /var/log/backup.log 2>&1

CRON_TZ=UTC
@daily curl -fsS https://abc.supabase.co/functions/v1/digest
`,
  );
  assert.deepEqual(entries.map(inBrief), [
    [
      "/usr/bin/backup --all",
      "0 3 * * 1-5",
      "America/New_York",
      "crontab",
      "crontab:5",
      true,
      "/usr/bin/backup --all",
    ],
    ["digest", "@daily", "UTC", "crontab", "crontab:8", true, "function digest"],
  ]);
  assert.deepEqual(entries.map(({ comment }) => comment), ["every night, in New York", undefined]);
  assert.deepEqual(unknown, []);
});

Deno.test("a crontab's user field is read in /etc/crontab and cron.d alone", () => {
  const line = "0 3 * * * root /usr/bin/backup\n";
  const [system] = readEntries("/etc/cron.d/backup", line).entries;
  assert.deepEqual([system!.command, system!.username], ["/usr/bin/backup", "root"]);
  const [own] = readEntries("mine", line).entries;
  assert.deepEqual([own!.command, own!.username], ["root /usr/bin/backup", undefined]);
});

Deno.test("a zone that a crontab does not name, or names by TZ, is not knowable here", () => {
  const bare = readEntries("c", "0 3 * * * x\n0 4 * * * y\n");
  assert.equal(bare.unknown.length, 1);
  assert.match(bare.unknown[0]!, /^c: the zone of the machine.*Taken as UTC/);
  const told = readEntries("c", "0 3 * * * x\n", "Europe/Berlin");
  assert.deepEqual([told.unknown, told.entries[0]!.zone], [[], "Europe/Berlin"]);
  const byTz = readEntries("c", "TZ=Europe/Berlin\n0 3 * * * x\n");
  assert.equal(byTz.entries[0]!.zone, "Europe/Berlin");
  assert.match(byTz.unknown[0]!, /^c:1: whether TZ=Europe\/Berlin moves the schedules/);
});

Deno.test("a vercel.json is read with its lines", () => {
  const { entries } = readEntries(
    "vercel.json",
    `{
  "crons": [
    { "path": "/api/nightly", "schedule": "0 3 * * *" },
    { "path": "/api/nightly", "schedule": "0 4 * * *" }
  ]
}`,
  );
  assert.deepEqual(entries.map(inBrief), [
    ["/api/nightly (line 3)", "0 3 * * *", "UTC", "vercel", "vercel.json:3", true, "/api/nightly"],
    ["/api/nightly (line 4)", "0 4 * * *", "UTC", "vercel", "vercel.json:4", true, "/api/nightly"],
  ]);
});

Deno.test("a manifest of Kubernetes is read: several documents, lists, zones, suspended jobs", () => {
  const { entries, unknown } = readEntries(
    "jobs.yaml",
    `apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
spec:
  schedule: "0 3 * * *"
  timeZone: America/New_York
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: shop/batch:1
              args: ["--all"]
---
apiVersion: v1
kind: List
items:
  - kind: CronJob
    metadata: { name: old }
    spec: { schedule: "CRON_TZ=Europe/Berlin 0 4 * * *", suspend: true, jobTemplate: {} }
  - kind: CronJob
    metadata: { name: bare }
    spec: { schedule: "@hourly", jobTemplate: {} }
`,
  );
  assert.deepEqual(entries.map(inBrief), [
    [
      "nightly",
      "0 3 * * *",
      "America/New_York",
      "kubernetes",
      "jobs.yaml:5",
      true,
      "shop/batch:1 --all",
    ],
    ["old", "0 4 * * *", "Europe/Berlin", "kubernetes", "jobs.yaml:24", false, "old"],
    ["bare", "@hourly", "UTC", "kubernetes", "jobs.yaml:27", true, "bare"],
  ]);
  assert.deepEqual(unknown.length, 1);
  assert.match(unknown[0]!, /^jobs.yaml:27: the zone of the cluster, as bare has no timeZone/);
});

Deno.test("the kind of a list on standard input is seen in its text", () => {
  const kinds = [
    ["a\t0 3 * * *\tUTC\twork\n", "list"],
    ["# by hand\n0 3 * * * /usr/bin/x\n", "crontab"],
    ['{"crons": [{"path": "/x", "schedule": "0 3 * * *"}]}', "vercel"],
    ['{"core": [{"name": "x", "schedule": "0 3 * * *", "description": "y"}]}', "daybook"],
    [
      '{"kind": "CronJob", "metadata": {"name": "x"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {}}}',
      "kubernetes",
    ],
  ] as const;
  for (const [text, engine] of kinds) {
    assert.deepEqual(readEntries("stdin", text).entries.map(({ engine }) => engine), [engine]);
  }
});

Deno.test("what cannot be read is said with its line, and nothing of its text", () => {
  const secret = "hunter2hunter2";
  for (
    const [text, message] of [
      ["0 3 * *\n", "Cannot read x:1: it must be a schedule and a command"],
      [`{"crons": [{"path": "${secret}"`, "Cannot read x: it is no JSON"],
      [`{"crons": [{"path": "${secret}"}]}`, "Cannot read x: crons.0.schedule is missing or wrong"],
      [`kind: CronJob\nmetadata: {name: "${secret}\n`, /^Cannot read x:\d+: [A-Z_]+$/],
      ["kind: CronJob\nmetadata: {name: x}\n", /^Cannot read x:1: spec: /],
      ["a\t0 3 * * *\tMars/Olympus\twork\n", "Cannot read x:1: there is no time zone Mars/Olympus"],
      ["# nothing\n", "Cannot find an entry in x"],
      [
        "# name\tinterval seconds\tbudget\tcalls\na\t60\tmany\t1\n",
        "Cannot read x:2: a budget must be like mentions 10/15min, then its calls",
      ],
    ] as const
  ) {
    assert.throws(() => readEntries("x", text), (error: Error) => {
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.ok(!error.message.includes(secret));
      return true;
    });
  }
});

Deno.test("a functions' log is read from the log explorer's export and from plain lines", () => {
  const exported = JSON.stringify([{
    event_message: "POST | 500 | https://abc.supabase.co/functions/v1/nightly?x=1",
    timestamp: 1768446000000000,
    metadata: [{ execution_time_ms: 1234, response: [{ status_code: 500 }] }],
  }, { event_message: "booted", timestamp: 1768446000000000 }]);
  const lines =
    '{"function": "nightly", "timestamp": "2026-01-15T03:00:00Z", "duration_ms": 1234, "status": 500}\n';
  for (const text of [exported, lines]) {
    assert.deepEqual(readFunctionLog("log", text), [{
      functionName: "nightly",
      startedAt: new Date("2026-01-15T03:00:00Z"),
      durationMs: 1234,
      statusCode: 500,
    }]);
  }
  assert.throws(
    () => readFunctionLog("log", "[]"),
    /^Error: Cannot find a call of a function in log$/,
  );
  assert.throws(() => readFunctionLog("log", "a,b\n"), /^Error: Cannot read log: it must be JSON/);
});
