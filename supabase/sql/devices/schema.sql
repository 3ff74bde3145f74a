create schema devices;
revoke all on schema devices from public, anon, authenticated, service_role;
comment on schema devices is 'What the pack devices keeps to itself. Not exposed through REST.';
