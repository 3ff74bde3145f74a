create schema actions;
revoke all on schema actions from public, anon, authenticated, service_role;
comment on schema actions is 'Private functions and types of the pack actions. Not exposed through REST.';
