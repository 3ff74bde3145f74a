-- Only the owner may use the private schema. Each function in public grants its own callers.
revoke all on all functions in schema scheduler from public, anon, authenticated, service_role;
revoke all on all tables in schema scheduler from public, anon, authenticated, service_role;
revoke all on all sequences in schema scheduler from public, anon, authenticated, service_role;
