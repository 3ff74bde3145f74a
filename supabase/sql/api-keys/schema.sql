create schema api_keys;
revoke all on schema api_keys from public, anon, authenticated, service_role;
comment on schema api_keys is 'Private functions and types of the pack api-keys. Not exposed through REST.';
