import assert from "node:assert/strict";
import { formatFigure } from "../../../supabase/functions/system-health/format.ts";
import { withDatabase } from "../../support/database.ts";
import { judge, readDefinitions } from "../../support/system-health.ts";

const page = await Deno.readTextFile(
  new URL("../../../docs/jobs/system-health.md", import.meta.url),
);

Deno.test("docs/jobs/system-health.md has every component with its weight, every figure with its thresholds", () =>
  withDatabase(async ({ sql }) => {
    const definitions = await readDefinitions(sql);
    const sections = page.split("\n### ").slice(1);
    assert.equal(sections.length, definitions.length);
    definitions.forEach(({ component, label, weight, figures }, index) => {
      const [heading, ...lines] = sections[index]?.split("\n") ?? [];
      assert.equal(heading, `${component} (${label}, ${weight} points)`);
      const rows = lines.filter((line) => line.startsWith("| `")).map((line) =>
        line.split("|").slice(1, -1).map((cell) => cell.trim())
      );
      const expected = figures.map((figure) => {
        const word = figure.worse === "higher" ? "from" : "below";
        const threshold = (value: number | null) =>
          value === null ? "never" : `${word} ${formatFigure(value, figure.unit)}`;
        return [`\`${figure.figure}\``, threshold(figure.degraded), threshold(figure.critical)];
      });
      assert.deepEqual(rows.map((cells) => cells.slice(0, 3)), expected);
      assert.ok(
        rows.every((cells) => (cells[3]?.length ?? 0) > 10),
        `${component}: a figure is not explained`,
      );
    });
  }));

Deno.test("docs/jobs/system-health.md says which pack each component is of", () =>
  withDatabase(async ({ sql }) => {
    const packs = await sql`
      select pack, string_agg(component, ', ' order by place) as components from scheduler.health_components
      group by pack order by min(place)`;
    const [heading, ...rows] = page.split("\n").filter((line) =>
      /^\| [a-z-]+ +\| [a-z_, ]+\|$/.test(line)
    ).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
    assert.deepEqual(heading, ["pack", "components"]);
    assert.deepEqual(rows, packs.map(({ pack, components }) => [pack, components]));
  }));

Deno.test("each statement of docs/jobs/system-health.md runs: its thresholds hold, and its own component is judged", () =>
  withDatabase(async ({ sql }) => {
    const blocks = [...page.matchAll(/^```sql\n([^]*?)^```/gm)].map((match) => match[1]!);
    assert.ok(blocks.length >= 3);
    for (const block of blocks) {
      await sql.begin(async (transaction) => {
        await transaction.unsafe(block).catch((error) =>
          assert.fail(`${error.message} in ${block}`)
        );
      });
    }
    const { length } = await sql`
      select from scheduler.health_figures
      where (component, figure, degraded, critical) = ('database', 'size_bytes', 6000000000, 7500000000)`;
    assert.equal(length, 1);
    const { status, figures } = await judge(
      sql,
      "shop",
      "insert into shop.orders values ('A1', now() - interval '1 day', false), ('A2', now(), true)",
    );
    assert.deepEqual([status, figures.unpaid_seconds?.culprit], ["degraded", "A1"]);
  }));
