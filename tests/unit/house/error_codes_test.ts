import assert from "node:assert/strict";
import {
  answersInCode,
  documentedAnswers,
  documentedMessages,
  documentedOwnStates,
  documentedPostgresStates,
  statesInCode,
} from "../../support/error-codes.ts";

Deno.test("docs/errors.md has each status and code that a function answers, and no other", async () => {
  assert.deepEqual(documentedAnswers(), await answersInCode());
});

Deno.test("docs/errors.md has each SQLSTATE that the SQL raises, and no other", async () => {
  const { raised, mentioned } = await statesInCode();
  assert.deepEqual([...documentedOwnStates(), ...documentedPostgresStates()].sort(), raised);
  assert.deepEqual(mentioned, documentedOwnStates());
});

Deno.test("docs/errors.md has the beginning of each message that is raised with a SQLSTATE of Postgres", async () => {
  const { messages } = await statesInCode();
  // An argument that is wrong has as many messages as there are arguments.
  const told = messages.filter(({ state }) => !state.startsWith("SD") && state !== "22023");
  assert.ok(told.length >= 6, String(told.length));
  const silent = told.filter(({ state, message }) =>
    !documentedMessages(state).some((beginning) => message.startsWith(beginning))
  );
  assert.deepEqual(silent, []);
});

Deno.test("own SQLSTATEs are of a class that neither the standard nor Postgres nor PostgREST uses", () => {
  // The standard leaves classes that begin with 5 to 9 or I to Z to implementations; Y is for clients of Postgres.
  for (const state of documentedOwnStates()) assert.match(state, /^SD[0-3]\d{2}$/);
});
