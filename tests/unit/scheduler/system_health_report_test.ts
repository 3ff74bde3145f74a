import assert from "node:assert/strict";
import type { ComponentDefinition } from "../../../supabase/functions/system-health/components.ts";
import { evaluate } from "../../../supabase/functions/system-health/evaluate.ts";
import type { ReadingOutcome } from "../../../supabase/functions/system-health/reading.ts";
import { renderReport } from "../../../supabase/functions/system-health/report.ts";
import { assertReadable, defined, readingOf } from "../../support/system-health.ts";

const checkedAt = new Date("2026-03-29T06:20:01.234Z");

const percent = { unit: "percent" } as const;
const seconds = { unit: "seconds" } as const;

const database = defined("database", "Database", 18, {
  connections_percent: { ...percent, label: "connections in use", degraded: 70, critical: 90 },
  cache_hit_percent: { ...percent, label: "cache hit", worse: "lower", degraded: 95, critical: 80 },
  oldest_transaction_seconds: { ...seconds, label: "oldest transaction", degraded: 300 },
  dead_rows_percent: {
    ...percent,
    label: "dead rows in a table",
    degraded: 40,
    critical: 75,
    culprit: "most_dead_rows_in",
  },
  size_bytes: { unit: "bytes", label: "size", degraded: null },
});
const scheduler = defined("scheduler", "Scheduler", 18, { stuck_runs: { label: "stuck runs" } });
const devices = defined("devices", "Devices", 10, {
  seen_percent: {
    ...percent,
    label: "seen in 24 h of those in 7 days",
    worse: "lower",
    degraded: 50,
    critical: 20,
  },
  silent_sessions_percent: {
    ...percent,
    label: "sessions without heartbeat",
    degraded: 10,
    critical: 50,
  },
});
const charging = defined("charging", "Charging", 6, {
  efficiency_percent: {
    ...percent,
    label: "efficiency",
    worse: "lower",
    degraded: 70,
    critical: 50,
  },
  interrupted_percent: { ...percent, label: "interrupted", degraded: 20, critical: 50 },
});
const tasks = defined("tasks", "Tasks", 6, {
  stuck_tasks: { label: "stuck tasks", critical: 10 },
  oldest_pending_seconds: {
    ...seconds,
    label: "oldest pending task",
    degraded: 86_400,
    critical: 604_800,
  },
});
const python = defined("python", "Python executions", 4, { stuck_executions: {} });
const apiKeys = defined("api_keys", "API keys", 8, {
  unusable_keys: {
    label: "invalid or expired keys",
    degraded: null,
    critical: 1,
    culprit: "unusable_at",
  },
  expires_in_seconds: {
    ...seconds,
    label: "next expiry in",
    worse: "lower",
    degraded: 1_209_600,
    critical: 259_200,
    culprit: "expires_first",
  },
});
const all = [database, scheduler, devices, charging, tasks, python, apiKeys];

/** The report of these components; where there is no outcome, there is nothing to watch. */
function report(
  outcomes: Record<string, ReadingOutcome>,
  notes: string[] = [],
  definitions: ComponentDefinition[] = all,
): string {
  const health = evaluate(
    definitions.map((definition) => ({
      definition,
      outcome: outcomes[definition.component] ?? readingOf(definition, {}, { watched: 0 }),
    })),
  );
  return renderReport(health, notes, checkedAt);
}

const ofEach = (outcome: (definition: ComponentDefinition) => ReadingOutcome) =>
  Object.fromEntries(all.map((definition) => [definition.component, outcome(definition)]));

Deno.test("the report of a system in trouble, as a log shows it", () => {
  const text = report({
    database: readingOf(database, {
      connections_percent: 12.4,
      oldest_transaction_seconds: 0,
      cache_hit_percent: 99.8,
    }),
    scheduler: { unreadable: "permission is missing: permission denied for table scheduler_runs" },
    devices: readingOf(devices, { seen_percent: 87.5, silent_sessions_percent: 12.5 }),
    charging: readingOf(charging, { efficiency_percent: 69.9, interrupted_percent: 55 }),
    tasks: readingOf(tasks, { stuck_tasks: 3, oldest_pending_seconds: 700_000 }),
    api_keys: readingOf(apiKeys, { unusable_keys: 1, expires_in_seconds: 4 * 86_400 }, {
      details: { unusable_at: "deepseek", expires_first: 7 },
    }),
  }, [
    "Database: sessions of others are hidden from postgres; as a superuser: grant pg_monitor to postgres",
  ]);
  assertReadable(text);
  assert.equal(
    text,
    `SYSTEM HEALTH                                               2026-03-29 06:20 UTC
Score 38 of 100, critical: 4 critical, 1 degraded, 2 healthy
================================================================================
STATUS    COMPONENT          POINTS  WHAT SAYS SO
--------------------------------------------------------------------------------
CRITICAL  Scheduler            0/18  cannot be read: permission is missing:
                                       permission denied for table
                                       scheduler_runs
CRITICAL  Charging              0/6  interrupted 55 % (critical from 50 %)
                                     efficiency 69.9 % (degraded below 70 %)
CRITICAL  Tasks                 0/6  oldest pending task 8 days 2 h
                                       (critical from 7 days)
                                     stuck tasks 3 (degraded from 1)
CRITICAL  API keys              0/8  invalid or expired keys 1
                                       (critical from 1): deepseek
                                     next expiry in 4 days
                                       (degraded below 14 days)
DEGRADED  Devices              5/10  sessions without heartbeat 12.5 %
                                       (degraded from 10 %)
healthy   Database            18/18  connections in use 12.4 %, cache hit 99.8 %
healthy   Python executions     4/4  nothing to watch
--------------------------------------------------------------------------------
NOTES
- Database: sessions of others are hidden from postgres; as a superuser: grant
    pg_monitor to postgres
================================================================================`,
  );
});

Deno.test("the report of an empty young system has nothing to complain of", () => {
  const text = report({});
  assertReadable(text);
  assert.match(text, /^Score 100 of 100, healthy: 0 critical, 0 degraded, 7 healthy$/m);
  assert.equal(text.match(/nothing to watch/g)?.length, 7);
  assert.doesNotMatch(text, /NOTES/);
});

Deno.test("a component with things to watch and no figure yet is not called empty", () => {
  const text = report({ devices: readingOf(devices) });
  assert.match(text, /Devices .*too little to tell/);
});

Deno.test("the worst come first", () => {
  const text = report({
    python: { unreadable: "gone" },
    devices: readingOf(devices, { seen_percent: 49 }),
  });
  const order = [...text.matchAll(/^(CRITICAL|DEGRADED|healthy)/gm)].map((match) => match[1]);
  assert.deepEqual(order.slice(0, 3), ["CRITICAL", "DEGRADED", "healthy"]);
});

for (const value of [0, 1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e100, 1e308]) {
  Deno.test(`the report stays readable with figures of ${value}`, () => {
    assertReadable(report(ofEach((definition) =>
      readingOf(
        definition,
        Object.fromEntries(definition.figures.map(({ figure }) => [figure, value])),
      )
    )));
  });
}

const nasty = [
  "x".repeat(1000),
  "word ".repeat(300),
  "line\nbreaks\r\nand\ttabs and \x1b[31mcolour\x1b[0m and a bell \x07",
  'relation "Geräte_ß_😀" does not exist — «fehlt»',
  "",
  " ",
];

for (const reason of nasty) {
  Deno.test(`the report stays readable with the reason ${JSON.stringify(reason.slice(0, 30))}`, () => {
    const outcomes = ofEach(() => ({ unreadable: reason }));
    assertReadable(report(outcomes, Array.from({ length: 40 }, () => reason)));
  });
}

Deno.test("a figure that is longer than its column is broken between words", () => {
  const text = report({ devices: readingOf(devices, { seen_percent: 987_654_321.9 }) });
  assert.match(
    text.replaceAll(/\s+/g, " "),
    / seen in 24 h of those in 7 days 987,654,321.9 % /,
  );
});

for (const culprit of nasty) {
  Deno.test(`the report stays readable with the culprit ${JSON.stringify(culprit.slice(0, 30))}`, () => {
    const text = report({
      database: readingOf(database, { dead_rows_percent: 90 }, {
        details: { most_dead_rows_in: culprit },
      }),
    });
    assertReadable(text);
    assert.match(text, /dead rows in a table 90 %/);
  });
}

for (const label of nasty.filter((text) => text.trim() !== "")) {
  Deno.test(`the report stays readable with a component and a figure named ${JSON.stringify(label.slice(0, 30))}`, () => {
    const component = defined("odd", label, 100, { odd: { label, degraded: 5, critical: 8 } });
    for (const value of [1, 5, 8]) {
      const text = report({ odd: readingOf(component, { odd: value }) }, [], [component, ...all]);
      assertReadable(text);
      assert.match(text, value === 1 ? / 100\/100 / : value === 5 ? / 50\/100 / : / 0\/100 /);
    }
  });
}

Deno.test("the first of very many notes are shown and the rest are counted", () => {
  const text = report({}, Array.from({ length: 40 }, (_, index) => `note ${index}`));
  assert.match(text, /^- note 11$/m);
  assert.doesNotMatch(text, /^- note 12$/m);
  assert.match(text, /^- and 28 more$/m);
});
