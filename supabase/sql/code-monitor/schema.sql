create schema code_monitor;
revoke all on schema code_monitor from public, anon, authenticated, service_role;
comment on schema code_monitor is 'What the pack code-monitor keeps to itself. Not exposed through REST.';
