create schema agents;
revoke all on schema agents from public, anon, authenticated, service_role;
comment on schema agents is 'Private functions and types of the pack agents. Not exposed through REST.';
