create schema batches;
revoke all on schema batches from public, anon, authenticated, service_role;
comment on schema batches is 'The private part of the pack batches. Not exposed through REST.';
