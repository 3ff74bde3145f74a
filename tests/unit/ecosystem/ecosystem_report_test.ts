import assert from "node:assert/strict";
import { headline, renderReport } from "../../../supabase/functions/ecosystem-monitor/report.ts";
import { score } from "../../../supabase/functions/ecosystem-monitor/scores.ts";
import { activity, figures, fleet, reportedDay } from "../../support/ecosystem-figures.ts";

Deno.test("the report of a day, as a log shows it", () => {
  const report = renderReport("2026-02-20", score(reportedDay), reportedDay, [
    "left out: octocat/linguist",
  ]);
  assert.equal(
    report,
    `ECOSYSTEM                                                             2026-02-20
Overall 89 of 100
================================================================================
ACTIVITY 78 of 100                    POINTS  WHY
  commits                        4     14/35  in 3 repositories
  pull requests merged           4     20/20  in 3 repositories
  issues closed                  4     15/15  in 3 repositories
  pull requests opened           4     10/10  in 3 repositories
  releases                       4     10/10  in 3 repositories
  issues opened                  4       5/5  in 3 repositories
  stars gained                   4       4/5  in 3 repositories
--------------------------------------------------------------------------------
INFRASTRUCTURE 100 of 100             POINTS  WHY
  devices active                90     30/30  9 of 10 in service
  devices online                80     20/20  8 of 10 in service
  charging efficiency         92.5     15/15  weighted by energy
  PoP validated               97.6     15/15  40 of 41 decided
  commands completed       unknown      -/10  no command ended
  hours with activity          100     10/10  24 of 24 computed
--------------------------------------------------------------------------------
REPOSITORY                      COMMITS   ISSUES    PULLS RELEASES         STARS
octocat/Hello-World                   4      1/2      1/?        0      1,234 +5
octocat/Spoon-Knife                   ?      1/2      1/?        0      1,234 -2
and 1 more
--------------------------------------------------------------------------------
NOTES
- left out: octocat/linguist
================================================================================`,
  );
});

Deno.test("the headline has the scores and the known figures", () => {
  const all = figures(activity(1, 1), fleet);
  assert.equal(
    headline(score(all), all),
    "overall 66 of 100 (activity 31, infrastructure 100): 1 commit, 1 pull request merged, 1 issue closed, 1 release, 9 devices active",
  );
  const nothing = figures();
  assert.equal(
    headline(score(nothing), nothing),
    "overall unknown (activity unknown, infrastructure unknown)",
  );
});

for (const text of ["x".repeat(500), "word ".repeat(200), "line\nbreak\x1b[31m", "Geräte 😀", ""]) {
  Deno.test(`the report stays readable with ${JSON.stringify(text.slice(0, 20))}`, () => {
    const given = figures({
      ...activity(99_999_999, 99_999_999),
      with_figures: 99,
      busiest: [{
        ...reportedDay.activity.busiest[0]!,
        full_name: text,
        commits: 99_999_999,
        stars_total: 99_999_999,
      }],
    }, { ...fleet, hours_computed: 10 ** 9 });
    const report = renderReport("2026-02-20", score(given), given, Array(30).fill(text));
    for (const line of report.split("\n")) assert.match(line, /^([\x20-\x7e]{0,79}[\x21-\x7e])?$/);
    assert.match(report, /\nand 98 more\n/);
    assert.match(report, /\n- and 18 more\n/);
  });
}
