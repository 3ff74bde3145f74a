import assert from "node:assert/strict";
import { readCompletion } from "../../../shared/models/chat-completion.ts";

const body = (choice: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  JSON.stringify({ model: "m", choices: [choice], ...more });
const said = (content: unknown, more: Record<string, unknown> = {}) =>
  body({ finish_reason: "stop", message: { role: "assistant", content } }, more);

Deno.test("readCompletion() reads an answer, who gave it and what it used", () => {
  const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
  assert.deepEqual(readCompletion(said(" yes\n", { usage })), {
    answer: "yes",
    model: "m",
    usage: { promptTokens: 3, completionTokens: 4 },
  });
});

Deno.test("readCompletion() takes an answer without a model's name for one, and one in parts", () => {
  for (const model of [undefined, null, "", "  ", 7, "x".repeat(201)]) {
    const { answer, model: name } = readCompletion(said("yes", { model }));
    assert.deepEqual([answer, name], ["yes", undefined]);
  }
  // As Mistral's reasoning models answer: https://docs.mistral.ai/capabilities/reasoning
  const parts = [
    { type: "thinking", thinking: [{ type: "text", text: "Hm." }] },
    { type: "text", text: "first, " },
    { type: "text", text: "second" },
  ];
  assert.equal(readCompletion(said(parts)).answer, "first, second");
  assert.equal(readCompletion(said([])).problem, "empty");
  assert.equal(readCompletion(said([{ type: "text", text: 7 }])).problem, "no_completion");
});

const unfinished: Record<string, [kind: string, reason: string]> = {
  // OpenAI, and what others call it.
  length: ["cut", "answer was cut at the token limit"],
  // Mistral: the model's context is full.
  model_length: ["cut", "answer was cut at the token limit"],
  MAX_TOKENS: ["cut", "answer was cut at the token limit"],
  content_filter: ["withheld", "answer was held back by the content filter"],
  // Google
  SAFETY: ["withheld", "answer was held back by the content filter"],
  safety: ["withheld", "answer was held back by the content filter"],
  RECITATION: ["withheld", "answer was held back by the content filter"],
  // Zhipu
  sensitive: ["withheld", "answer was held back by the content filter"],
  tool_calls: ["withheld", "answer asks for a tool"],
  function_call: ["withheld", "answer asks for a tool"],
  // OpenRouter, Mistral
  error: ["interrupted", "answer ended with error"],
  // DeepSeek
  insufficient_system_resource: ["interrupted", "answer ended with insufficient_system_resource"],
  // Zhipu
  network_error: ["interrupted", "answer ended with network_error"],
  // Nobody yet.
  tired: ["interrupted", "answer ended with tired"],
  "sk-the-key-0123456789": ["interrupted", "answer ended with an unknown reason"],
  "": ["interrupted", "answer ended with an unknown reason"],
};
for (const [reason, [problem, words]] of Object.entries(unfinished)) {
  Deno.test(`readCompletion() takes an answer that ended with "${reason}" for none`, () => {
    const usage = { prompt_tokens: 3, completion_tokens: 4 };
    const read = readCompletion(
      body({ finish_reason: reason, message: { content: "Half an an" } }, { usage }),
    );
    assert.deepEqual(read, {
      problem,
      reason: words,
      model: "m",
      usage: { promptTokens: 3, completionTokens: 4 },
    });
  });
}

for (const reason of ["stop", "STOP", null, undefined, "eos", "end_turn"]) {
  Deno.test(`readCompletion() takes an answer that ended with ${reason} for a whole one`, () => {
    assert.equal(
      readCompletion(body({ finish_reason: reason, message: { content: "yes" } })).answer,
      "yes",
    );
  });
}

Deno.test("readCompletion() names the fault of an unusable completion, and its usage", () => {
  const usage = { prompt_tokens: 3, completion_tokens: 4 };
  const used = { promptTokens: 3, completionTokens: 4 };
  const problems: [string, string, string, unknown][] = [
    ["<html>", "no_completion", "answer is no JSON", undefined],
    ['["x"]', "no_completion", "answer is no chat completion", undefined],
    [JSON.stringify({ choices: [], usage }), "no_completion", "answer is no chat completion", used],
    [said(7), "no_completion", "answer is no chat completion", undefined],
    [said(" \n", { usage }), "empty", "answer is empty", used],
    [said(null), "empty", "answer is empty", undefined],
    [
      said("x", { usage: { prompt_tokens: 1e15, completion_tokens: -1 } }).replace('"x"', '""'),
      "empty",
      "answer is empty",
      undefined,
    ],
  ];
  for (const [text, problem, reason, expected] of problems) {
    const read = readCompletion(text);
    assert.deepEqual([read.problem, read.reason, read.usage], [problem, reason, expected], text);
  }
  const refusal = readCompletion(
    body({ finish_reason: "stop", message: { content: null, refusal: "I will not." } }),
  );
  assert.deepEqual([refusal.problem, refusal.reason, refusal.refusal], [
    "withheld",
    "the model refused",
    "I will not.",
  ]);
});
