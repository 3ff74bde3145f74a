import { readBaseUrl } from "../base-url.ts";

/** The columns of `batch_providers` that say where its API is. */
export interface EndpointVariables {
  /** The environment variable with the base URL. */
  api_url_variable: string;
  /** The environment variable with the key. */
  api_key_variable: string;
}

/**
 * Where a provider's chat completions are and with what key they are asked: `POST <base URL>/chat/completions`. Or
 * the environment variable that is missing or unusable.
 */
export function findChatEndpoint(
  provider: EndpointVariables,
  env: (name: string) => string | undefined,
): { url: string; key: string } | { missing: string } {
  const url = readBaseUrl(env(provider.api_url_variable) ?? "");
  const key = env(provider.api_key_variable)?.trim() ?? "";
  if (url === undefined) return { missing: provider.api_url_variable };
  // What no header can carry would be quoted by the error. And the project's own keys are no provider's business, whatever
  // a row of the table says.
  if (!/^[\x21-\x7e]+$/.test(key) || provider.api_key_variable.startsWith("SUPABASE_")) {
    return { missing: provider.api_key_variable };
  }
  return { url: `${url}/chat/completions`, key };
}
