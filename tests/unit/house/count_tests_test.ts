import assert from "node:assert/strict";
import { countTests, describeCounts, readCounts } from "../../support/junit.ts";

Deno.test("countTests() counts tests, not their steps, and names the failed and the ignored ones", () => {
  const test = (name: string, inside = "") =>
    `<testcase name="${name}" classname="x" time="0" line="1" col="6">\n${inside}\n</testcase>`;
  const xml = `<testsuites name="deno test" tests="9" failures="1" errors="1" time="1">
    <testsuite name="./a_test.ts" tests="6" disabled="1" errors="0" failures="2">
      ${test("plain")}
      ${test("of a &gt; b")}
      ${test("&quot;ignored&quot; &amp; why", "<skipped/>")}
      ${test("parent", '<failure message="1 test step failed">1 test step failed.</failure>')}
      ${test("parent &gt; one")}
      ${test("parent &gt; two", '<failure message="&lt;testcase&gt;\n  and more">no</failure>')}
      ${test("parent &gt; two &gt; three")}
    </testsuite>
    <testsuite name="./b_test.ts" tests="2" disabled="0" errors="1" failures="0">
      ${test("plain")}
      ${test("never", '<error message="Cancelled"/>')}
    </testsuite>
  </testsuites>`;
  assert.deepEqual(countTests(xml), {
    passed: 3,
    failed: 2,
    failures: [
      "x => parent: 1 test step failed",
      "x => parent > two: <testcase> and more",
      "x => never: Cancelled",
    ],
    skipped: ['"ignored" & why'],
  });
});

Deno.test("describeCounts() speaks of skipped tests only when there are some", () => {
  const counts = { passed: 3, failed: 2, failures: [], skipped: [] };
  assert.equal(describeCounts(counts), "3 passed, 2 failed");
  assert.equal(describeCounts({ ...counts, skipped: ["a"] }), "3 passed, 2 failed, 1 skipped");
});

Deno.test("readCounts() counts nothing where there is no report", async () => {
  assert.deepEqual(await readCounts("/nowhere/report.xml"), {
    passed: 0,
    failed: 0,
    failures: [],
    skipped: [],
  });
});
