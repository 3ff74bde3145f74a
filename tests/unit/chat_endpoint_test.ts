import assert from "node:assert/strict";
import { findChatEndpoint } from "../../shared/chat-endpoint.ts";

Deno.test("a provider's row cannot have a key of the project itself sent to it", () => {
  const variables: Record<string, string> = {
    MODEL_API_URL: "https://api.example.test/v1/",
    MODEL_API_KEY: "sk-1",
    SUPABASE_SERVICE_ROLE_KEY: "eyJ",
  };
  const find = (api_key_variable: string) =>
    findChatEndpoint(
      { api_url_variable: "MODEL_API_URL", api_key_variable },
      (name) => variables[name],
    );
  assert.deepEqual(find("MODEL_API_KEY"), {
    url: "https://api.example.test/v1/chat/completions",
    key: "sk-1",
  });
  assert.deepEqual(find("SUPABASE_SERVICE_ROLE_KEY"), { missing: "SUPABASE_SERVICE_ROLE_KEY" });
});
