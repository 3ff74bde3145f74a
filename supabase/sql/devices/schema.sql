create schema devices;
revoke all on schema devices from public, anon, authenticated, service_role;
comment on schema devices is 'Private functions and types of the pack devices. Not exposed through REST.';
