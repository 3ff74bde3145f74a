import assert from "node:assert/strict";
import { readRules } from "../../support/alert-rules.ts";

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  datasource?: { uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; datasource: { uid: string } }[];
  fieldConfig?: {
    defaults: { unit?: string };
    overrides: {
      matcher: { id: string; options: string };
      properties: { id: string; value: unknown }[];
    }[];
  };
}

const dashboard = JSON.parse(
  await Deno.readTextFile(new URL("../../../grafana/dashboard.json", import.meta.url)),
);
const panels: Panel[] = dashboard.panels;
const drawn = panels.filter((panel) => panel.type !== "row");

Deno.test("the dashboard can be imported anywhere: its data source is a variable, and it has no id", () => {
  assert.equal(dashboard.id, undefined);
  const variables = dashboard.templating.list.map((
    { name, type }: { name: string; type: string },
  ) => `${name}: ${type}`);
  assert.deepEqual(variables, ["datasource: datasource", "instance: query", "job_name: query"]);
  for (const panel of drawn) {
    assert.equal(panel.datasource?.uid, "${datasource}", panel.title);
    for (const target of panel.targets ?? []) assert.equal(target.datasource.uid, "${datasource}");
  }
});

Deno.test("the import of the dashboard needs no input, as the page says: neither an input nor a name to fill in", async () => {
  assert.equal(dashboard.__inputs, undefined);
  const named = JSON.stringify(dashboard).matchAll(/\$\{(\w+)\}/g);
  const variables = dashboard.templating.list.map(({ name }: { name: string }) => name);
  for (const [, name] of named) assert.ok(variables.includes(name), name);
  const page = await Deno.readTextFile(
    new URL("../../../docs/jobs/prometheus-metrics.md", import.meta.url),
  );
  assert.match(page, /Import, which needs no further input/);
});

Deno.test("each alert that fires is an annotation", async () => {
  const alerts = [...(await readRules()).matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
  assert.ok(alerts.length > 10);
  const [{ expr }] = dashboard.annotations.list;
  const [, pattern] = /alertname=~"([^"]+)"/.exec(expr)!;
  for (const name of alerts) assert.match(name, new RegExp(`^(?:${pattern})$`));
});

Deno.test("every panel has an id of its own, a description, a unit and a query", () => {
  assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length);
  for (const panel of drawn) {
    assert.ok((panel.description?.length ?? 0) > 20, panel.title);
    assert.ok(panel.fieldConfig?.defaults.unit, panel.title);
    assert.ok((panel.targets?.length ?? 0) > 0, panel.title);
  }
});

Deno.test("idle runs, which may be thousands, do not flatten the limits beside them", () => {
  const panel = drawn.find(({ targets = [] }) =>
    targets.some(({ expr }) => expr.includes("scheduler_idle_in_row"))
  )!;
  const right = panel.fieldConfig!.overrides.filter(({ properties }) =>
    properties.some(({ id, value }) => id === "custom.axisPlacement" && value === "right")
  );
  assert.deepEqual(right.map(({ matcher }) => matcher), [
    { id: "byRegexp", options: "/found nothing$/" },
  ]);
});

Deno.test("no two panels overlap, and none leaves the grid", () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert.ok(x >= 0 && w > 0 && h > 0 && x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const place = `${column},${line}`;
        assert.equal(taken.get(place), undefined, `${title} covers ${taken.get(place)}`);
        taken.set(place, title);
      }
    }
  }
});

Deno.test("counters are only shown as rates and increases, but for the count of devices", () => {
  for (const { title, targets = [] } of drawn) {
    for (const { expr } of targets) {
      for (const match of expr.matchAll(/(\w*\()?((?:xmrt|scheduler)_\w+_total)\b/g)) {
        if (match[2] === "xmrt_devices_total") continue;
        assert.match(match[1] ?? "", /^(rate|increase)\($/, `${title}: ${expr}`);
      }
    }
  }
});
