create schema api_keys;
revoke all on schema api_keys from public, anon, authenticated, service_role;
comment on schema api_keys is 'What the pack api-keys keeps to itself. Not exposed through REST.';
