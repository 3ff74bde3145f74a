create schema code_monitor;
revoke all on schema code_monitor from public, anon, authenticated, service_role;
comment on schema code_monitor is 'Private functions and types of the pack code-monitor. Not exposed through REST.';
