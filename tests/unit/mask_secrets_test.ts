import assert from "node:assert/strict";
import { createMask } from "../../supabase/functions/autonomous-code-fixer/mask-secrets.ts";

// Put together here, so that no scanner takes the tests for a leak.
const secrets: [string, string][] = [
  ["a GitHub token", ["ghp", "abcdefghijklmnopqrstuvwxyz0123456789"].join("_")],
  [
    "a fine-grained GitHub token",
    ["github_pat", "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz"].join("_"),
  ],
  ["a GitLab token", ["glpat", "abcdefghij0123456789"].join("-")],
  ["an OpenAI key", ["sk", "proj", "abcdefghij0123456789"].join("-")],
  ["a Stripe key", ["sk", "live", "abcdefghij0123456789"].join("_")],
  ["an AWS key id", `${"AKIA"}IOSFODNN7EXAMPLE`],
  ["a Google key", `${"AIza"}SyA-1234567890abcdefghijklmnopqrstu`],
  ["a Slack token", ["xoxb", "123456789012", "abcdefABCDEF"].join("-")],
  ["a Telegram token", `123456789:${"AA"}abcdefghijklmnopqrstuvwxyz0123456`],
  ["a Supabase key", ["sb", "secret", "abcdefghij0123456789"].join("_")],
  ["a JSON Web Token", `${"eyJ"}hbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl`],
];

for (const [name, secret] of secrets) {
  Deno.test(`createMask() masks ${name}`, () => {
    assert.equal(createMask([])(`client = Client("${secret}")`), 'client = Client("[masked-1]")');
  });
}

Deno.test("createMask() masks what a name, a header or a URL says to be secret", () => {
  const mask = createMask([]);
  assert.equal(mask('password = "correct horse"'), 'password = "correct horse"', "words");
  assert.equal(mask('db_password = "correcthorse"'), 'db_password = "[masked-1]"');
  assert.equal(mask("{'api_key': 'abcdefgh12'}"), "{'api_key': '[masked-2]'}");
  assert.equal(
    mask("Authorization: Bearer abcdefghijklmnop=="),
    "Authorization: Bearer [masked-3]",
  );
  assert.equal(mask("postgres://ann:hunter22@db/x"), "postgres://ann:[masked-4]@db/x");
});

Deno.test("createMask() gives the same secret the same name in every text, and another one another", () => {
  const mask = createMask(["the-known-key"]);
  const [one, two] = [secrets[0]![1], secrets[3]![1]];
  assert.equal(mask(`a = "${one}"\nb = "${two}"`), 'a = "[masked-1]"\nb = "[masked-2]"');
  assert.equal(
    mask(`Error: ${two} refused, ${one} too`),
    "Error: [masked-2] refused, [masked-1] too",
  );
  assert.equal(mask("the-known-key"), "[masked-3]");
  assert.equal(mask('token = "[masked-1]"'), 'token = "[masked-1]"', "masked already");
});

Deno.test("createMask() keeps the lines of a private key", () => {
  const key = ["-----BEGIN RSA PRIVATE KEY-----", "abc", "def", "-----END RSA PRIVATE KEY-----"];
  const masked = createMask([])(`key = """${key.join("\n")}"""\nuse(key)`);
  assert.equal(masked.split("\n").length, 5);
  assert.doesNotMatch(masked, /abc|def/);
  assert.match(masked, /\nuse\(key\)$/);
});

Deno.test("createMask() leaves ordinary code alone", () => {
  const code = 'import json\ntokens = text.split("secret garden")\nkey = row["api_key"]\nsk = 3\n';
  assert.equal(createMask([])(code), code);
});

Deno.test("createMask() takes no second for the longest text, whatever is in it", () => {
  for (
    const part of ["a.", "eyJaaaaaaaaa-", "token='", "-----BEGIN ", "://a:", "Bearer ", "sk_a"]
  ) {
    const text = part.repeat(200_000 / part.length);
    const begun = performance.now();
    createMask(["the-known-key"])(text);
    assert.ok(performance.now() - begun < 1_000, part);
  }
});
