create schema actions;
revoke all on schema actions from public, anon, authenticated, service_role;
comment on schema actions is 'What the pack actions keeps to itself. Not exposed through REST.';
