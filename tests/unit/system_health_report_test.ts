import assert from "node:assert/strict";
import type { JsonObject } from "../../shared/define-job.ts";
import {
  type ComponentName,
  componentNames,
  definitions,
} from "../../supabase/functions/system-health/components.ts";
import { evaluate } from "../../supabase/functions/system-health/evaluate.ts";
import type { ReadingOutcome } from "../../supabase/functions/system-health/reading.ts";
import { renderReport } from "../../supabase/functions/system-health/report.ts";

const checkedAt = new Date("2026-03-29T06:20:01.234Z");

function report(
  outcomes: Partial<Record<ComponentName, ReadingOutcome>>,
  notes: string[] = [],
): string {
  const all = componentNames.map((name) => [
    name,
    outcomes[name] ?? {
      reading: {
        watched: 0,
        figures: Object.fromEntries(
          Object.keys(definitions[name].figures).map((key) => [key, null]),
        ),
        details: {},
        notes: [],
      },
    },
  ]);
  const health = evaluate(definitions, Object.fromEntries(all));
  return renderReport(health, notes, checkedAt);
}

function reading(figures: Record<string, number | null>, details: JsonObject = {}): ReadingOutcome {
  return { reading: { watched: 3, figures, details, notes: [] } };
}

/** What a log needs: ASCII, 80 columns, and every text in the column of its heading. */
function assertReadable(text: string) {
  const lines = text.split("\n");
  for (const line of lines) {
    assert.match(line, /^[\x20-\x7e]{0,80}$/);
    assert.equal(line, line.trimEnd());
  }
  const heading = lines.find((line) => line.startsWith("STATUS")) ?? assert.fail("no heading");
  const column = heading.indexOf("WHAT SAYS SO");
  const body = lines.slice(
    lines.indexOf(heading) + 2,
    lines.findLastIndex((line) => /^[-=]/.test(line)),
  );
  for (const line of body.slice(0, body.findIndex((one) => one.startsWith("---")) >>> 0)) {
    assert.equal(line[column - 1], " ", line);
    assert.match(
      line.slice(0, column),
      /^(?:(?:healthy|DEGRADED|CRITICAL) +[A-Z][A-Za-z ]+ +\d+\/\d+ +| +)$/,
    );
  }
}

Deno.test("the report of a system in trouble, as a log shows it", () => {
  const text = report({
    database: reading({
      connections_percent: 12.4,
      oldest_transaction_seconds: 0,
      cache_hit_percent: 99.8,
    }),
    scheduler: { unreadable: "permission is missing: permission denied for table scheduler_runs" },
    devices: reading({ seen_percent: 87.5, silent_sessions_percent: 12.5 }),
    charging: reading({ efficiency_percent: 69.9, interrupted_percent: 55 }),
    tasks: reading({ stuck_tasks: 3, oldest_pending_seconds: 700_000 }),
    api_keys: reading({ unusable_keys: 1, expires_in_seconds: 4 * 86_400 }, {
      unusable_at: "deepseek",
      expires_first: 7,
    }),
  }, [
    "setting system_health.tasks.stuk_tasks is ignored: no such figure; tasks has failed_percent, overdue_percent, stuck_tasks, oldest_pending_seconds",
  ]);
  assertReadable(text);
  assert.equal(
    text,
    `SYSTEM HEALTH                                               2026-03-29 06:20 UTC
Score 57 of 100, critical: 4 critical, 1 degraded, 9 healthy
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
healthy   PoP                   4/4  nothing to watch
healthy   Commands              4/4  nothing to watch
healthy   Scheduled actions     4/4  nothing to watch
healthy   Daily batch           6/6  nothing to watch
healthy   Agents                6/6  nothing to watch
healthy   Conversations         4/4  nothing to watch
healthy   Python executions     4/4  nothing to watch
healthy   Code failures         2/2  nothing to watch
--------------------------------------------------------------------------------
NOTES
- setting system_health.tasks.stuk_tasks is ignored: no such figure; tasks has
    failed_percent, overdue_percent, stuck_tasks, oldest_pending_seconds
================================================================================`,
  );
});

Deno.test("the report of an empty young system has nothing to complain of", () => {
  const text = report({});
  assertReadable(text);
  assert.match(text, /^Score 100 of 100, healthy: 0 critical, 0 degraded, 14 healthy$/m);
  assert.equal(text.match(/nothing to watch/g)?.length, 14);
  assert.doesNotMatch(text, /NOTES/);
});

Deno.test("a component with things to watch and no figure yet is not called empty", () => {
  const text = report({ agents: reading({ error_percent: null, silent_percent: null }) });
  assert.match(text, /Agents .*too little to tell/);
});

Deno.test("the worst come first", () => {
  const text = report({ python: { unreadable: "gone" }, pop: reading({ validated_percent: 79 }) });
  const order = [...text.matchAll(/^(CRITICAL|DEGRADED|healthy)/gm)].map((match) => match[1]);
  assert.deepEqual(order.slice(0, 3), ["CRITICAL", "DEGRADED", "healthy"]);
});

for (const value of [0, 1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e100, 1e308]) {
  Deno.test(`the report stays readable with figures of ${value}`, () => {
    const all = componentNames.map((name) => [
      name,
      reading(
        Object.fromEntries(Object.keys(definitions[name].figures).map((key) => [key, value])),
      ),
    ]);
    assertReadable(report(Object.fromEntries(all)));
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
    const all = componentNames.map((name) => [name, { unreadable: reason }]);
    assertReadable(report(Object.fromEntries(all), Array.from({ length: 40 }, () => reason)));
  });
}

Deno.test("a figure that is longer than its column is broken between words", () => {
  const text = report({ devices: reading({ seen_percent: 987_654_321.9 }) });
  assert.match(
    text.replaceAll(/\s+/g, " "),
    / seen in 24 h of those in 7 days 987,654,321.9 % /,
  );
});

for (const culprit of nasty) {
  Deno.test(`the report stays readable with the culprit ${JSON.stringify(culprit.slice(0, 30))}`, () => {
    const text = report({
      database: reading({ dead_rows_percent: 90 }, { most_dead_rows_in: culprit }),
    });
    assertReadable(text);
    assert.match(text, /dead rows in a table 90 %/);
  });
}

Deno.test("of very many notes the first are shown and the rest counted", () => {
  const text = report({}, Array.from({ length: 40 }, (_, index) => `note ${index}`));
  assert.match(text, /^- note 11$/m);
  assert.doesNotMatch(text, /^- note 12$/m);
  assert.match(text, /^- and 28 more$/m);
});
