create schema batches;
revoke all on schema batches from public, anon, authenticated, service_role;
comment on schema batches is 'What the pack batches keeps to itself. Not exposed through REST.';
