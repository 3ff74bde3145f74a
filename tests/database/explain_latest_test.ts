import assert from "node:assert/strict";
import * as t from "../support/scheduler.ts";

t.ledgerTest(
  "explain without a time speaks of the latest run, whatever it was",
  async ({ sql }) => {
    const explain = () => t.value(sql, "scheduler.explain('job', null, $1)", [t.after(10)]);
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    assert.match(await explain(), /^job was not due at 2026-03-02 12:10 UTC/);
    await sql`select scheduler.dispatch('job', ${t.NOON})`;
    assert.match(await explain(), /^job was sent for 2026-03-02 12:00 UTC/);
    await sql`update scheduler_runs set created_at = created_at - interval '1 minute'`;
    await sql`select scheduler.release_lock('job', 'make room', ${t.after(1)})`;
    await sql`select scheduler.run_now('job', null, ${t.after(5)})`;
    assert.match(await explain(), /^job was sent for 2026-03-02 12:05 UTC/);
  },
);
