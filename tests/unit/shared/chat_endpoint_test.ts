import assert from "node:assert/strict";
import { findChatEndpoint } from "../../../shared/models/chat-endpoint.ts";

Deno.test("a provider's base URL is one, however it is written", () => {
  const find = (url: string) =>
    findChatEndpoint(
      { api_url_variable: "MODEL_API_URL", api_key_variable: "MODEL_API_KEY" },
      (name) => ({ MODEL_API_URL: url, MODEL_API_KEY: "sk-1" })[name],
    );
  for (const url of ["https://api.example.test/v1", " HTTPS://API.Example.test:443/v1// "]) {
    assert.deepEqual(find(url), {
      url: "https://api.example.test/v1/chat/completions",
      key: "sk-1",
    });
  }
  for (const url of ["", "api.example.test", "ftp://x", "https://a:b@x", "https://x/v1?y=1"]) {
    assert.deepEqual(find(url), { missing: "MODEL_API_URL" });
  }
});

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
