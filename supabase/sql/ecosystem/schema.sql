create schema ecosystem;
revoke all on schema ecosystem from public, anon, authenticated, service_role;
comment on schema ecosystem is 'What the pack ecosystem keeps to itself. Not exposed through REST.';
