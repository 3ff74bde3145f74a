-- Nobody but the owner uses what is private. Functions in public say themselves who may call them.
revoke all on all functions in schema my_job from public, anon, authenticated, service_role;
revoke all on all tables in schema my_job from public, anon, authenticated, service_role;
revoke all on all sequences in schema my_job from public, anon, authenticated, service_role;
