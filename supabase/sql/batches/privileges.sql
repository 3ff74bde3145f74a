-- Only the owner uses the private schema. Each function in public has its own grants.
revoke all on all functions in schema batches from public, anon, authenticated, service_role;
revoke all on all tables in schema batches from public, anon, authenticated, service_role;
revoke all on all sequences in schema batches from public, anon, authenticated, service_role;
