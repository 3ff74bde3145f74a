import assert from "node:assert/strict";
import { definitions, score } from "../../../supabase/functions/ecosystem-monitor/scores.ts";
import { activity, figures, fleet } from "../../support/ecosystem-figures.ts";

Deno.test("the parts of each score add up to 100", () => {
  for (const parts of Object.values(definitions)) {
    assert.equal(Object.values(parts).reduce((sum, { of }) => sum + of, 0), 100);
  }
});

Deno.test("the best figures are 100 points, zeros are 0", () => {
  assert.equal(score(figures(activity(2, 10), fleet)).overall, 100);
  const nothing = score(figures(activity(2, 0), {
    ...fleet,
    active_devices: 0,
    charging_efficiency_percent: 40,
    pop_validated: 0,
    commands_completed: 0,
    commands_failed: 3,
    hours_active: 0,
    devices: { in_service: 10, online: 0, at: "2026-02-21T11:35:00+00:00" },
  }));
  assert.deepEqual([nothing.overall, nothing.activity.score, nothing.infrastructure.score], [
    0,
    0,
    0,
  ]);
});

Deno.test("a part earns its points in a straight line between nothing and all", () => {
  const { parts } = score(figures(activity(3, 2), fleet)).activity;
  const { commits, pull_requests_merged, releases } = parts;
  assert.deepEqual(commits, {
    label: "commits",
    value: 2,
    points: 7,
    of: 35,
    why: "in 3 repositories",
  });
  assert.deepEqual([pull_requests_merged?.points, releases?.points], [13.3, 10]);
});

Deno.test("an unknown part is left out of the score, with the reason", () => {
  const known = score(figures(activity(2, 10), fleet));
  const partly = activity(2, 10);
  partly.figures!.commits = { total: null, known: 0, at_least: false };
  partly.figures!.releases = { total: 0, known: 1, at_least: false };
  const scores = score(figures(partly, fleet));
  assert.equal(scores.activity.score, Math.round(100 * 55 / 65));
  assert.deepEqual(scores.activity.parts.commits, {
    label: "commits",
    value: null,
    points: null,
    of: 35,
    why: "known of none of 2 repositories",
  });
  assert.equal(scores.activity.parts.releases?.why, "in 1 of 2 repositories");
  assert.equal(scores.infrastructure.score, known.infrastructure.score);
});

Deno.test("the overall score is that of the known score, and unknown when none is", () => {
  const noGithub = score(figures({}, fleet));
  assert.deepEqual([noGithub.overall, noGithub.activity.score], [100, null]);
  assert.equal(noGithub.activity.parts.commits?.why, "no repository is watched");
  const nothing = score(figures());
  assert.equal(nothing.overall, null);
  assert.equal(
    nothing.infrastructure.parts.online_percent?.why,
    "devices are known only for the last day",
  );
  assert.equal(
    nothing.infrastructure.parts.pop_validated_percent?.why,
    "the day's device metrics are not computed",
  );
});

Deno.test("a quiet fleet has no bad score: shares of nothing are unknown", () => {
  const { parts, score: points } = score(figures({}, {
    ...fleet,
    charging_efficiency_percent: null,
    pop_validated: 0,
    pop_rejected: 0,
    commands_completed: 0,
    commands_failed: 0,
    commands_expired: 0,
  })).infrastructure;
  assert.equal(points, 100);
  assert.deepEqual(
    ["charging_efficiency_percent", "pop_validated_percent", "commands_completed_percent"].map((
      name,
    ) => parts[name]?.why),
    ["no charge was measured", "no event was decided", "no command ended"],
  );
});

Deno.test("more active devices than in service count as all", () => {
  const { parts } = score(figures({}, { ...fleet, active_devices: 12 })).infrastructure;
  assert.deepEqual([parts.active_percent?.value, parts.active_percent?.points], [100, 30]);
});
