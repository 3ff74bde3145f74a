import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";

Deno.test("a provider whose names cannot be meant is refused by a rule that its constraint says", () =>
  withDatabase(async ({ sql }) => {
    for (
      const [name, url, key, constraint] of [
        ["OpenAI", "A_URL", "A_KEY", "batch_providers_name_is_in_lower_case"],
        ["openai", "https://a", "A_KEY", "batch_providers_api_url_variable_is_in_capitals"],
        ["openai", "A_URL", "OPENAI_TOKEN", "batch_providers_api_key_variable_ends_in_key"],
      ] as const
    ) {
      const { code, constraint_name } = await refusal(sql`
        insert into batch_providers (name, model, api_url_variable, api_key_variable)
        values (${name}, 'm', ${url}, ${key})`);
      assert.deepEqual([code, constraint_name], ["23514", constraint]);
    }
  }));
