import assert from "node:assert/strict";
import { checkDiff } from "../../../supabase/functions/autonomous-code-fixer/check-diff.ts";

const code = "import json\n\nrows = json.load(f)\nfor row in rows:\n    print(row['points'])\n";
const head = "--- a/main.py\n+++ b/main.py\n";
const good = `${head}@@ -3,3 +3,3 @@
 rows = json.load(f)
 for row in rows:
-    print(row['points'])
+    print(row.get('points', 0))
`;
const written = `--- a/main.py
+++ b/main.py
@@ -1,5 +1,5 @@
 import json
 
 rows = json.load(f)
 for row in rows:
-    print(row['points'])
+    print(row.get('points', 0))
`;

const accepted: [string, string][] = [
  ["a unified diff", good],
  ["names without a/ and b/", good.replaceAll(/[ab]\/main/g, "main")],
  ["line numbers that are off", good.replace("-3,3 +3,3", "-40,3 +40,3")],
  [
    "line numbers beyond all numbers",
    good.replace("-3,3 +3,3", `-${"9".repeat(400)},3 +1,3`),
  ],
  ["line numbers of zero", good.replace("-3,3 +3,3", "-0,3 +0,3")],
  ["counts that are off", good.replace("-3,3 +3,3", "-3,9 +3,1")],
  ["no newline at its end", good.trimEnd()],
  ["carriage returns", good.replaceAll("\n", "\r\n")],
  [
    "an empty line of context whose space was lost",
    good.replace("@@ -3,3 +3,3 @@\n", "@@ -2,4 +2,4 @@\n\n"),
  ],
];

for (const [name, diff] of accepted) {
  Deno.test(`checkDiff() accepts ${name}, and writes it as diff -u would`, () => {
    const checked = checkDiff(code, diff);
    assert.equal(checked.reason, undefined);
    assert.equal(
      checked.diff?.replace(/^=+\n/, "").replaceAll("\t", ""),
      written,
    );
  });
}

/** A hunk at a line that no code has. */
function far(lines: string): string {
  return `${head}@@ -100000000000000000000,1 +100000000000000000000,1 @@\n${lines}`;
}

const refused: [string, string, RegExp][] = [
  ["prose", "Replace line 5 with row.get('points', 0).", /no hunk/],
  ["nothing", "", /no hunk/],
  [
    "garbage within a hunk",
    good.replace(" for row", "?for row"),
    /no unified diff/,
  ],
  ["a hunk of garbage", `${head}@@ -1,1 +1,1 @@\n?what\n`, /changes nothing/],
  ["a hunk without numbers", `${head}@@ here @@\n-a\n+b\n`, /does not apply/],
  [
    "lines that are not there",
    good.replace("for row in rows", "for r in rows"),
    /does not apply/,
  ],
  [
    "a change of nothing",
    `${head}@@ -1 +1 @@\n-import json\n+import json\n`,
    /changes nothing/,
  ],
  [
    "another file",
    good.replaceAll("main.py", "other.py"),
    /main\.py and nothing else/,
  ],
  [
    "another file as well",
    `${good}--- a/secrets.py\n+++ b/secrets.py\n@@ -1 +1 @@\n-a\n+b\n`,
    /main\.py and nothing else/,
  ],
  [
    "a new file",
    good.replace("a/main.py", "/dev/null"),
    /main\.py and nothing else/,
  ],
  [
    "a path out of the folder",
    good.replaceAll("/main.py", "/../main.py"),
    /nothing else/,
  ],
  ["no file at all", good.replace(head, ""), /main\.py and nothing else/],
  ["the file twice", `${good}${good}`, /more than once/],
  [
    "lines that are not there at a line far away",
    far("-nowhere\n"),
    /does not apply/,
  ],
  [
    "hunks in another order than the code",
    `${head}@@ -5 +5 @@\n-    print(row['points'])\n+    pass\n@@ -1 +1 @@\n-import json\n+import x\n`,
    /not in the order/,
  ],
  ["too much", `${good}${" x\n".repeat(40_000)}`, /at most 64000/],
];

for (const [name, diff, reason] of refused) {
  Deno.test(`checkDiff() refuses ${name}`, () => {
    assert.match(checkDiff(code, diff).reason ?? "it was accepted", reason);
  });
}

Deno.test("checkDiff() refuses a rewrite, which would take long to compare", () => {
  const lines = Array.from({ length: 30_000 }, (_, n) => `l${n}`);
  const hunks = lines.slice(-2_000).map((line) => `@@ -1 +1 @@\n-${line}\n+x\n`)
    .join("");
  const { reason } = checkDiff(`${lines.join("\n")}\n`, head + hunks);
  assert.equal(reason, "the diff changes more than 1000 lines");
});

Deno.test("checkDiff() puts a line that is only added after the code when its hunk names a line far away", () => {
  const { diff } = checkDiff(code, far("+done()\n"));
  assert.match(diff ?? "", /\n {5}print\(row\['points'\]\)\n\+done\(\)\n$/);
});

Deno.test("checkDiff() refuses a hunk that nearly fits at every line of long code, which would take long to try", () => {
  const hunk = `@@ -1 +1 @@\n${" x\n".repeat(20_000)}-y\n+z\n`;
  const { reason } = checkDiff("x\n".repeat(100_000), head + hunk);
  assert.match(reason ?? "", /too many places/);
});
