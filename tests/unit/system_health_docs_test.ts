import assert from "node:assert/strict";
import { componentNames, definitions } from "../../supabase/functions/system-health/components.ts";
import { formatFigure } from "../../supabase/functions/system-health/format.ts";

const page = await Deno.readTextFile(
  new URL("../../docs/jobs/system-health.md", import.meta.url),
);

Deno.test("docs/jobs/system-health.md has every component with its weight, every figure with its thresholds", () => {
  const sections = page.split("\n### ").slice(1);
  assert.equal(sections.length, componentNames.length);
  componentNames.forEach((name, index) => {
    const { label, weight, figures } = definitions[name];
    const [heading, ...lines] = sections[index]?.split("\n") ?? [];
    assert.equal(heading, `${name} (${label}, ${weight} points)`);
    const rows = lines.filter((line) => line.startsWith("| `")).map((line) =>
      line.split("|").slice(1, -1).map((cell) => cell.trim())
    );
    const expected = Object.entries(figures).map(([figureName, figure]) => {
      const word = figure.worse === "higher" ? "from" : "below";
      const threshold = (value: number | null) =>
        value === null ? "never" : `${word} ${formatFigure(value, figure.unit)}`;
      return [`\`${figureName}\``, threshold(figure.degraded), threshold(figure.critical)];
    });
    assert.deepEqual(rows.map((cells) => cells.slice(0, 3)), expected);
    assert.ok(
      rows.every((cells) => (cells[3]?.length ?? 0) > 10),
      `${name}: a figure is not explained`,
    );
  });
});
