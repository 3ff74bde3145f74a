import assert from "node:assert/strict";
import { readProposal } from "../../../supabase/functions/autonomous-code-fixer/read-proposal.ts";

const code = "print(row)\n";
const diff = "--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-print(row)\n+print(rows)\n";
const good = { diff, reasoning: "row is not defined", confidence: 0.7 };

Deno.test("readProposal() reads a proposal whose diff applies", () => {
  for (const text of [JSON.stringify(good), `\`\`\`json\n${JSON.stringify(good)}\n\`\`\``]) {
    const { proposal } = readProposal(text, code);
    assert.equal(proposal?.reasoning, "row is not defined");
    assert.equal(proposal?.confidence, 0.7);
    assert.match(proposal?.diff ?? "", /^\+print\(rows\)$/m);
  }
});

const refused: [string, unknown, RegExp][] = [
  ["prose", "I am sorry.", /no JSON/],
  ["another JSON", [1], /no proposal/],
  ["no reasoning", { ...good, reasoning: "  " }, /reasoning/],
  ["a confidence over 1", { ...good, confidence: 1.2 }, /confidence/],
  ["a confidence in words", { ...good, confidence: "high" }, /confidence/],
  ["no diff", { ...good, diff: undefined }, /diff/],
  ["a diff of other code", { ...good, diff: diff.replace("-print(row)", "-print(x)") }, /apply/],
];

for (const [name, answer, error] of refused) {
  Deno.test(`readProposal() refuses ${name}`, () => {
    const text = typeof answer === "string" ? answer : JSON.stringify(answer);
    assert.match(readProposal(text, code).error ?? "it was accepted", error);
  });
}
