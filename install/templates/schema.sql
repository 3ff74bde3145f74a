create schema my_job;
revoke all on schema my_job from public, anon, authenticated, service_role;
comment on schema my_job is 'What the pack my-job keeps to itself. Not exposed through REST.';
