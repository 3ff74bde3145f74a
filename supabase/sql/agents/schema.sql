create schema agents;
revoke all on schema agents from public, anon, authenticated, service_role;
comment on schema agents is 'What the pack agents keeps to itself. Not exposed through REST.';
