import assert from "node:assert/strict";
import postgres from "postgres";

/** The error with which Postgres refuses a query; fails when it does not. */
export async function refusal(query: PromiseLike<unknown>): Promise<postgres.PostgresError> {
  let answer: unknown;
  try {
    answer = await query;
  } catch (error) {
    assert.ok(error instanceof postgres.PostgresError, String(error));
    return error;
  }
  assert.fail(`was not refused, the answer is ${JSON.stringify(answer)}`);
}
