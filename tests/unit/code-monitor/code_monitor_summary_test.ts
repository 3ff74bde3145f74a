import assert from "node:assert/strict";
import { summarize } from "../../../supabase/functions/code-monitor-daemon/summarize.ts";

const nothing = {
  failures: 0,
  causes: new Set<number>(),
  newCauses: new Set<number>(),
  reopenedCauses: new Set<number>(),
  more: false,
};
const none = {
  asked: 0,
  proposed: 0,
  failed: 0,
  underWay: 0,
  notConfigured: [],
  stopped: "done",
} as const;

Deno.test("summarize() tells the failures, the causes and the fixes", () => {
  const found = {
    ...nothing,
    failures: 1204,
    causes: new Set([1, 2, 3]),
    newCauses: new Set([1]),
  };
  const asked = { ...none, notConfigured: [], asked: 1, proposed: 1 };
  assert.equal(
    summarize(found, asked, "valid"),
    "1,204 failures, 3 causes, 1 new, 1 fix proposed",
  );
  assert.equal(
    summarize(
      { ...found, reopenedCauses: new Set([2]), more: true },
      { ...asked, proposed: 2, failed: 1, underWay: 1, stopped: "time" },
      "rate_limited",
    ),
    "1,204 failures, 3 causes, 1 new, 1 reopened, more to look at, 2 fixes proposed, 1 fix failed, " +
      "1 fix under way, no time for more fixes, GitHub token rate limited",
  );
});

Deno.test("summarize() names the problems that a person has to mend", () => {
  const say = (stopped: Parameters<typeof summarize>[1]["stopped"], token: string | null) =>
    summarize(nothing, { ...none, notConfigured: [], stopped }, token);
  assert.equal(say("done", "valid"), "no new failures");
  assert.equal(say("limit", "expiring"), "no new failures, GitHub token expiring");
  assert.equal(
    say("not_configured", "not_configured"),
    "no new failures, no fixes asked, no model is configured, GitHub token not configured",
  );
  assert.equal(say("daily_cap", "valid"), "no new failures, the day's cap of fixes is reached");
  assert.equal(say("unauthorized", "valid"), "no new failures, the model's key was refused");
  assert.equal(
    say("not_deployed", null),
    "no new failures, autonomous-code-fixer is not deployed, GitHub token never checked",
  );
});
