import assert from "node:assert/strict";
import { countTests, readCounts } from "../support/junit.ts";

Deno.test("countTests() adds up the suites and leaves ignored tests out", () => {
  const xml = `<testsuites name="deno test" tests="6" failures="1" errors="1" time="1">
    <testsuite name="a" tests="3" disabled="1" errors="0" failures="1">
      <testcase name="x"><failure message="tests=&quot;99&quot;">no</failure></testcase>
    </testsuite>
    <testsuite name="b" tests="3" disabled="0" errors="1" failures="0"></testsuite>
  </testsuites>`;
  assert.deepEqual(countTests(xml), { passed: 3, failed: 2 });
});

Deno.test("readCounts() counts nothing where there is no report", async () => {
  assert.deepEqual(await readCounts("/nowhere/report.xml"), { passed: 0, failed: 0 });
});
