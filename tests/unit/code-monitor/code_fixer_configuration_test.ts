import assert from "node:assert/strict";
import {
  costOf,
  readConfiguration,
} from "../../../supabase/functions/autonomous-code-fixer/configuration.ts";

const read = (env: Record<string, string>) => readConfiguration((name) => env[name] || undefined);
const required = { CODE_FIXER_API_KEY: "k", CODE_FIXER_MODEL: "m" };

Deno.test("readConfiguration() names the missing variables, and returns null without key or model", () => {
  const prices = ["CODE_FIXER_PROMPT_PRICE", "CODE_FIXER_COMPLETION_PRICE"];
  assert.deepEqual(read({}), {
    configuration: null,
    notConfigured: ["CODE_FIXER_API_KEY", "CODE_FIXER_MODEL", ...prices],
  });
  assert.equal(read({ CODE_FIXER_API_KEY: "k" }).configuration, null);
  assert.deepEqual(read(required), {
    configuration: { baseUrl: "https://api.openai.com/v1", apiKey: "k", model: "m", prices: null },
    notConfigured: prices,
  });
});

Deno.test("readConfiguration() reads an endpoint and prices", () => {
  const { configuration, notConfigured } = read({
    ...required,
    CODE_FIXER_BASE_URL: "http://localhost:11434/v1/",
    CODE_FIXER_PROMPT_PRICE: "0",
    CODE_FIXER_COMPLETION_PRICE: "0.60",
  });
  assert.deepEqual(configuration?.prices, { prompt: 0, completion: 0.6 });
  assert.equal(configuration?.baseUrl, "http://localhost:11434/v1");
  assert.deepEqual(notConfigured, []);
});

Deno.test("readConfiguration() refuses malformed values, and does not show the URL, which may hold a key", () => {
  for (const url of ["api.openai.com", "ftp://x", "sk-123"]) {
    assert.throws(() => read({ ...required, CODE_FIXER_BASE_URL: url }), {
      message: "Cannot ask the model: CODE_FIXER_BASE_URL must be an http(s) URL",
    });
  }
  for (const price of ["cheap", "-1", "$2", "1e3"]) {
    assert.throws(() => read({ ...required, CODE_FIXER_PROMPT_PRICE: price }), {
      message: /CODE_FIXER_PROMPT_PRICE must be US dollars for a million tokens/,
    });
  }
});

Deno.test("costOf() is in US dollars to a millionth, rounded up; unknown without prices", () => {
  assert.equal(costOf({ prompt: 2.5, completion: 10 }, 1200, 300), 0.006);
  assert.equal(costOf({ prompt: 0.15, completion: 0.6 }, 1, 0), 0.000001);
  assert.equal(costOf(null, 1, 1), null);
});
