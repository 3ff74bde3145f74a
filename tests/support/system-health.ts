/** What the tests of system-health share: asking a component as `service_role`, and a client over plain SQL. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { JsonObject } from "../../shared/job/define-job.ts";
import type { CheckResult } from "../../supabase/functions/system-health/check.ts";
import {
  type ComponentDefinition,
  componentDefinitions,
  type FigureDefinition,
} from "../../supabase/functions/system-health/components.ts";
import {
  type ComponentVerdict,
  evaluateComponent,
  type Status,
} from "../../supabase/functions/system-health/evaluate.ts";
import {
  type HealthDatabase,
  readComponent,
  type ReadingOutcome,
} from "../../supabase/functions/system-health/reading.ts";
import { withDatabase } from "./database.ts";
import { value } from "./scheduler.ts";

const never = new AbortController().signal;

/** Calls functions as PostgREST would, with named arguments, and gives its errors back as supabase-js does. */
export function healthDatabase(sql: Pick<Sql, "unsafe">): HealthDatabase {
  return {
    rpc: (name, args) => ({
      async abortSignal() {
        const names = Object.keys(args);
        const list = names.map((key, index) => `${key} => $${index + 1}`).join(", ");
        try {
          const values = names.map((key) => args[key] as never);
          const [row] = await sql.unsafe(`select public.${name}(${list}) as data`, values);
          return { data: row?.data, error: null };
        } catch (error) {
          return { data: null, error };
        }
      },
    }),
  };
}

/** What there is to look at in this database. */
export async function readDefinitions(sql: Sql): Promise<ComponentDefinition[]> {
  return componentDefinitions.parse(await value(sql, "public.scheduler_health_components()"));
}

/** As after an installation a moment ago: no pulse yet, and nothing due. */
export async function installedJustNow(sql: Sql) {
  await sql`
    update scheduler_jobs set created_at = now(),
      next_run_at = case when schedule is not null then now() + interval '1 hour' end`;
}

/** This component could not be read, for that reason; every other one was, and the report was kept. */
export function assertOnlyUnreadable(result: CheckResult, component: string, reason: RegExp) {
  const unread = Object.entries(result.components).filter(([, one]) => one.unreadable !== null);
  assert.deepEqual(unread.map(([name]) => name), [component], result.report);
  const [[, { unreadable, status, points }]] = unread as [[string, ComponentVerdict]];
  assert.match(unreadable!, reason);
  assert.equal(status, "critical");
  assert.equal(points, 0);
  assert.equal(result.status, "critical");
  assert.ok(result.historyId !== null);
  assert.match(result.report, /^CRITICAL .*cannot be read: /m);
}

/** A definition for a test that needs no database; figures are counts, degraded from 1, unless told otherwise. */
export function defined(
  component: string,
  label: string,
  weight: number,
  figures: Record<string, Partial<FigureDefinition>>,
): ComponentDefinition {
  return {
    component,
    label,
    weight,
    figures: Object.entries(figures).map(([figure, values]) => ({
      figure,
      label: figure.replaceAll("_", " "),
      unit: "count",
      worse: "higher",
      degraded: 1,
      critical: null,
      culprit: null,
      ...values,
    })),
  };
}

/** A reading in which every figure is unknown but those given. */
export function readingOf(
  { figures }: ComponentDefinition,
  known: Record<string, number | null> = {},
  more: { watched?: number; details?: JsonObject } = {},
): ReadingOutcome {
  const unknown = Object.fromEntries(figures.map(({ figure }) => [figure, null]));
  return {
    reading: { watched: 1, details: {}, notes: [], figures: { ...unknown, ...known }, ...more },
  };
}

/** What a log needs of a report: ASCII, 80 columns, and every text in the column of its heading. */
export function assertReadable(report: string) {
  const lines = report.split("\n");
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
      /^(?:(?:healthy|DEGRADED|CRITICAL) +\S.* +\d+\/\d+ +| +)$/,
    );
  }
}

class Undo extends Error {}

/**
 * What system-health says of a component after `arrange` (SQL), asked as `service_role`. All in one transaction, so that
 * `now()` is the same moment in both; nothing of it stays.
 */
export async function judge(
  sql: Sql,
  component: string,
  arrange: string,
): Promise<ComponentVerdict> {
  const definition = (await readDefinitions(sql)).find((one) => one.component === component);
  if (definition === undefined) throw new Error(`There is no component ${component}`);
  let verdict: ComponentVerdict | undefined;
  await sql.begin(async (transaction) => {
    await transaction.unsafe(arrange);
    await transaction.unsafe("set local role service_role");
    const outcome = await readComponent(
      healthDatabase(transaction as unknown as Sql),
      definition,
      never,
    );
    verdict = evaluateComponent(definition, outcome);
    throw new Undo();
  }).catch((error) => {
    if (!(error instanceof Undo)) throw error;
  });
  if (verdict === undefined) throw new Error("the component was not asked");
  return verdict;
}

/** The values of the figures that have one. */
export function valuesOf(verdict: ComponentVerdict): Record<string, number> {
  return Object.fromEntries(
    Object.entries(verdict.figures).flatMap(([name, { value }]) =>
      value === null ? [] : [[name, value]]
    ),
  );
}

/** What is so; the rows that make it so; the status; figures that say so (NaN: there must be none). */
export type Case = [string, string, Status, Record<string, number>];

/** A test for each case, and one for an empty database (`empty`: SQL that makes it so). */
export function componentTests(
  component: string,
  cases: Case[],
  empty = "select 1",
): void {
  Deno.test(`the component ${component}`, async (test) => {
    await withDatabase(async ({ sql }) => {
      for (const [name, arrange, status, figures] of cases) {
        await test.step(`is ${status} when ${name}`, async () => {
          const verdict = await judge(sql, component, arrange);
          const values = valuesOf(verdict);
          for (const [figure, value] of Object.entries(figures)) {
            assert.equal(values[figure], Number.isNaN(value) ? undefined : value, figure);
          }
          assert.equal(verdict.status, status, JSON.stringify(verdict));
        });
      }
      await test.step("is healthy when there is nothing to watch", async () => {
        const verdict = await judge(sql, component, empty);
        assert.equal(verdict.status, "healthy", JSON.stringify(verdict));
        assert.equal(verdict.watched, 0);
      });
    });
  });
}

/** A row for each of `count`; `insert` is an `insert … select` without its end. */
export function repeat(count: number, insert: string): string {
  return `${insert} from generate_series(1, ${count}) as n;\n`;
}

export const deviceId = "'00000000-0000-0000-0000-0000000000d1'";

/** SQL that adds the device whose rows a test adds. */
export const device = `insert into devices (id, device_fingerprint, status, last_seen_at)
  values (${deviceId}, 'd1', 'online', now());\n`;
