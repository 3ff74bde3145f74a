import assert from "node:assert/strict";
import { definitions } from "../../supabase/functions/system-health/components.ts";
import { applySettings } from "../../supabase/functions/system-health/thresholds.ts";

const apply = (settings: Record<string, unknown>) => applySettings(definitions, settings);

Deno.test("a setting changes the thresholds of its figure and of no other", () => {
  const { components, notes } = apply({
    "system_health.database.connections_percent": { degraded: 50, critical: 60 },
  });
  assert.deepEqual(notes, []);
  const changed = components.database.figures.connections_percent;
  assert.equal(changed?.degraded, 50);
  assert.equal(changed?.critical, 60);
  const untouched = structuredClone(components);
  untouched.database.figures = { ...definitions.database.figures };
  assert.deepEqual(untouched, structuredClone(definitions));
});

Deno.test("a setting leaves the defaults themselves alone", () => {
  const before = structuredClone(definitions);
  apply({ "system_health.tasks.stuck_tasks": { degraded: 7 } });
  assert.deepEqual(definitions, before);
});

Deno.test("a setting may give one threshold and keep the other", () => {
  const { components } = apply({ "system_health.tasks.stuck_tasks": { critical: 3 } });
  assert.equal(components.tasks.figures.stuck_tasks?.degraded, 1);
  assert.equal(components.tasks.figures.stuck_tasks?.critical, 3);
});

Deno.test("null switches a threshold off, and a figure without a default can be given one", () => {
  const { components, notes } = apply({
    "system_health.scheduler.paused_jobs": { degraded: null },
    "system_health.database.size_bytes": { degraded: 400_000_000, critical: 500_000_000 },
  });
  assert.deepEqual(notes, []);
  assert.equal(components.scheduler.figures.paused_jobs?.degraded, null);
  assert.equal(components.database.figures.size_bytes?.critical, 500_000_000);
});

const refused: [string, unknown, RegExp][] = [
  ["system_health.database.connections_percent", "70", /must be like/],
  ["system_health.database.connections_percent", 70, /must be like/],
  ["system_health.database.connections_percent", null, /must be like/],
  ["system_health.database.connections_percent", [], /must be like/],
  ["system_health.database.connections_percent", { degraded: "70" }, /must be like/],
  ["system_health.database.connections_percent", { warn: 70 }, /must be like/],
  [
    "system_health.database.connections_percent",
    { degraded: 95, critical: 90 },
    /degraded \(95\) must be at most critical \(90\)/,
  ],
  ["system_health.database.connections_percent", { degraded: 91 }, /at most critical \(90\)/],
  ["system_health.charging.efficiency_percent", { degraded: 40 }, /at least critical \(50\)/],
  ["system_health.database.nonsense", { degraded: 1 }, /no such figure; database has connections_/],
  ["system_health.database.toString", { degraded: 1 }, /no such figure/],
  ["system_health.database", { degraded: 1 }, /no such figure/],
  ["system_health.database.size_bytes.more", { degraded: 1 }, /no such figure/],
  ["system_health.constructor.name", { degraded: 1 }, /no such component; there are database, /],
  ["system_health.", {}, /no such component/],
];

for (const [key, value, problem] of refused) {
  Deno.test(`the setting ${key} = ${JSON.stringify(value)} is ignored and said to be`, () => {
    const { components, notes } = apply({ [key]: value });
    assert.deepEqual(components, structuredClone(definitions));
    assert.equal(notes.length, 1);
    assert.ok(notes[0]?.startsWith(`setting ${key} is ignored: `), notes[0]);
    assert.match(notes[0] ?? "", problem);
  });
}

Deno.test("a setting that makes no sense does not keep the others from being used", () => {
  const { components, notes } = apply({
    "system_health.database.size_bytes": "big",
    "system_health.tasks.stuck_tasks": { degraded: 4 },
  });
  assert.equal(notes.length, 1);
  assert.equal(components.tasks.figures.stuck_tasks?.degraded, 4);
});

Deno.test("a very long value is quoted in part", () => {
  const { notes } = apply({ "system_health.database.size_bytes": "x".repeat(10_000) });
  assert.ok((notes[0]?.length ?? 0) < 250);
});

Deno.test("so is a very long key", () => {
  const { notes } = apply({ [`system_health.${"x".repeat(10_000)}`]: {} });
  assert.ok((notes[0]?.length ?? 0) < 300, notes[0]);
});

Deno.test("of very many wrong settings the first are named and the others counted", () => {
  const wrong = Array.from({ length: 300 }, (_, index) => [`system_health.x${index}.y`, {}]);
  const { notes } = apply(Object.fromEntries(wrong));
  assert.equal(notes.length, 51);
  assert.match(notes[49] ?? "", /^setting system_health\.x49\.y is ignored/);
  assert.equal(notes[50], "250 more settings are ignored");
});
