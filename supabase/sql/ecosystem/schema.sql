create schema ecosystem;
revoke all on schema ecosystem from public, anon, authenticated, service_role;
comment on schema ecosystem is 'Private functions and types of the pack ecosystem. Not exposed through REST.';
