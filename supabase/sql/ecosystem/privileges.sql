-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema ecosystem from public, anon, authenticated, service_role;
revoke all on all tables in schema ecosystem from public, anon, authenticated, service_role;
revoke all on all sequences in schema ecosystem from public, anon, authenticated, service_role;
