import assert from "node:assert/strict";
import { saysDiskIsFull } from "../../../local/postgres.ts";

Deno.test("saysDiskIsFull() knows what Postgres writes when it finds no space, and no text of a query", () => {
  const at = "2026-11-29 19:47:39.784 UTC [22712]";
  for (
    const line of [
      `${at} ERROR:  could not extend file "base/5/16627": No space left on device`,
      `${at} FATAL:  could not write to file "pg_wal/xlogtemp.22712": No space left on device`,
      `${at} PANIC:  could not write to file "pg_wal/xlogtemp.31": No space left on device`,
      `${at} LOG:  could not write temporary statistics file "x": No space left on device`,
    ]
  ) assert.ok(saysDiskIsFull(line), line);
  for (
    const line of [
      `${at} ERROR:  could not open file "base/5/1": No such file or directory`,
      `${at} STATEMENT:  select 'could not write: No space left on device'`,
      `${at} ERROR:  No space left on device`,
      `${at} HINT:  Check free disk space.`,
    ]
  ) assert.ok(!saysDiskIsFull(line), line);
});
