import assert from "node:assert/strict";
import {
  type Facts,
  type FaultyJob,
  type JobFacts,
  planOf,
} from "../../../cli/daybook/schedules-compare.ts";
import type { WantedJob } from "../../../cli/daybook/schedules-file.ts";

/** A job that the file registered, and what becomes of it; without `becomes` it stays as it is. */
function facts(given: Partial<JobFacts> = {}): JobFacts {
  const values = { schedule: "@daily", continuous: false, timeout_seconds: 120, calendars: [] };
  return {
    job: "job",
    source: "own",
    was_source: "own",
    becomes: "unchanged",
    before: values,
    after: values,
    applied: values,
    last: { verb: "register_job", author: "bob", reason: null, at: "2026-03-02T12:00:00Z" },
    ...given,
  };
}
const values = facts().before!;

function wanted(job = "job", entry: WantedJob["entry"] = {}): WantedJob {
  return {
    job,
    source: "own",
    entry: { name: job, schedule: "@daily", ...entry },
    path: ["own", 0],
  };
}

const plan = (jobs: Facts["jobs"], list = [wanted()], others: Facts["others"] = []) =>
  planOf({ jobs, others }, list);

/** What the registry says, and what becomes of the job: its fields as `field now → then`, those by hand with `!`. */
const cases: [string, Partial<JobFacts>, JobFacts["becomes"], string[], boolean][] = [
  ["nothing is another", {}, "unchanged", [], false],
  [
    "a value of an object in another order",
    {
      before: { ...values, payload: { a: 1, b: 2 } },
      after: { ...values, payload: { b: 2, a: 1 } },
    },
    "unchanged",
    [],
    false,
  ],
  [
    "the file has another value",
    {
      after: { ...values, schedule: "@hourly" },
    },
    "changed",
    ["schedule @daily → @hourly"],
    false,
  ],
  [
    "the registry has another value than it was applied with",
    {
      before: { ...values, timeout_seconds: 60 },
    },
    "changed",
    ["!timeout_seconds 60 → 120"],
    true,
  ],
  [
    "both have another one",
    {
      before: { ...values, timeout_seconds: 60 },
      after: { ...values, timeout_seconds: 30, schedule: "@hourly" },
    },
    "changed",
    ["schedule @daily → @hourly", "!timeout_seconds 60 → 30"],
    true,
  ],
  [
    "both have the same other one",
    {
      before: { ...values, timeout_seconds: 60 },
      after: { ...values, timeout_seconds: 60 },
    },
    "unchanged",
    [],
    false,
  ],
  [
    "an argument that came after it was applied",
    {
      after: { ...values, added: 3 },
    },
    "changed",
    ["added null → 3"],
    false,
  ],
  [
    "an argument that came after it was applied has another value in the registry",
    {
      before: { ...values, added: 2 },
      after: { ...values, added: 3 },
    },
    "changed",
    ["added 2 → 3"],
    false,
  ],
  [
    "a list",
    {
      after: { ...values, calendars: ["holidays"] },
    },
    "changed",
    ['calendars [] → ["holidays"]'],
    false,
  ],
  [
    "a continuous job becomes a scheduled one",
    {
      before: { ...values, schedule: null, continuous: true },
      applied: { ...values, schedule: null, continuous: true },
    },
    "changed",
    ["schedule @continuous → @daily"],
    false,
  ],
  [
    "a new job",
    {
      before: null,
      was_source: null,
      applied: null,
      last: null,
    },
    "registered",
    ["schedule null → @daily"],
    false,
  ],
  [
    "a job that was taken out by hand",
    {
      before: null,
      was_source: null,
      applied: null,
      last: { verb: "unregister_job", author: "bob", reason: null, at: "2026-03-02T12:00:00Z" },
    },
    "registered",
    ["schedule null → @daily"],
    true,
  ],
  ["a job that is in the file no more", { after: null }, "unregistered", [], false],
  [
    "a job that SQL registered with the same values",
    {
      was_source: null,
      applied: null,
    },
    "taken_over",
    [],
    true,
  ],
  [
    "a job that SQL registered with other values",
    {
      was_source: null,
      applied: null,
      before: { ...values, timeout_seconds: 60 },
    },
    "taken_over",
    ["timeout_seconds 60 → 120"],
    true,
  ],
  ["an entry that moved to another section", { source: "other" }, "unchanged", [], false],
];

const shown = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value);

for (const [what, given, becomes, fields, isSaidWho] of cases) {
  Deno.test(`${what}: ${becomes}`, () => {
    const { changes, unchanged } = plan([facts({ ...given, becomes })]);
    if (becomes === "unchanged") {
      assert.deepEqual([changes, unchanged], [[], ["job"]]);
      return;
    }
    const [change, ...more] = changes;
    assert.deepEqual([more, unchanged], [[], []]);
    assert.equal(change!.becomes, becomes);
    assert.deepEqual(
      change!.fields.map(({ field, now, then, by_hand }) =>
        `${by_hand ? "!" : ""}${field} ${shown(now)} → ${shown(then)}`
      ),
      fields,
    );
    assert.equal(change!.last !== null, isSaidWho);
  });
}

Deno.test("jobs come in the order of the file, then those that are in it no more; faults are apart", () => {
  const faulty: FaultyJob = { job: "c", source: "own", fault: "it is wrong", hint: null };
  const changed = { becomes: "changed", after: { ...values, schedule: "@hourly" } } as const;
  const { changes, faults, left_alone } = plan(
    [
      facts({ job: "a", becomes: "unregistered", after: null }),
      facts({ job: "b", ...changed }),
      faulty,
      facts({ job: "d", ...changed }),
    ],
    [wanted("d"), wanted("c"), wanted("b")],
    [{ job: "e", source: null }],
  );
  assert.deepEqual(changes.map(({ job }) => job), ["d", "b", "a"]);
  assert.deepEqual(faults, [faulty]);
  assert.deepEqual(left_alone, [{ job: "e", source: null }]);
});

Deno.test("the fingerprint is that of the changes: whatever else the registry says does not matter to it", () => {
  const change = facts({ becomes: "changed", after: { ...values, schedule: "@hourly" } });
  const { fingerprint } = plan([change]);
  assert.match(fingerprint, /^[0-9a-f]{12}$/);
  const same: Facts["jobs"][] = [
    [change, facts({ job: "other" })],
    [{ ...change, last: null, next_after: { time_zone: "UTC", times: [] } }],
    [{ ...change, before: Object.fromEntries(Object.entries(values).toReversed()) }],
  ];
  for (const jobs of same) assert.equal(plan(jobs).fingerprint, fingerprint);
  const other: Facts["jobs"][] = [
    [],
    [facts({ ...change, job: "other" })],
    [facts({ ...change, after: { ...values, schedule: "@weekly" } })],
    [facts({ ...change, before: { ...values, timeout_seconds: 60 } })],
    [facts({ ...change, was_source: null })],
    [change, facts({ ...change, job: "other" })],
  ];
  const found = other.map((jobs) => plan(jobs).fingerprint);
  assert.equal(new Set([fingerprint, ...found]).size, other.length + 1);
});
