/** What the tests of system-health share: asking a component as `service_role`, and a client over plain SQL. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import {
  type ComponentName,
  definitions,
} from "../../supabase/functions/system-health/components.ts";
import {
  type ComponentVerdict,
  evaluateComponent,
  type Status,
} from "../../supabase/functions/system-health/evaluate.ts";
import {
  type HealthDatabase,
  readComponent,
} from "../../supabase/functions/system-health/reading.ts";
import { withDatabase } from "./database.ts";

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

class Undo extends Error {}

/**
 * What system-health says of a component after `arrange` (SQL), asked as `service_role`. All in one transaction, so that
 * `now()` is the same moment in both; nothing of it stays.
 */
export async function judge(
  sql: Sql,
  component: ComponentName,
  arrange: string,
): Promise<ComponentVerdict> {
  let verdict: ComponentVerdict | undefined;
  await sql.begin(async (transaction) => {
    await transaction.unsafe(arrange);
    await transaction.unsafe("set local role service_role");
    const outcome = await readComponent(
      healthDatabase(transaction as unknown as Sql),
      component,
      never,
    );
    verdict = evaluateComponent(definitions[component], outcome);
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
  component: ComponentName,
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
