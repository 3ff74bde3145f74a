-- The extensions that Daybook needs: pg_cron fires, pg_net sends, Vault keeps the secrets, pgcrypto signs.
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;
create extension if not exists supabase_vault with schema vault;
create extension if not exists pgcrypto with schema extensions;

create schema scheduler;
revoke all on schema scheduler from public, anon, authenticated, service_role;
comment on schema scheduler is
  'The machine behind scheduler_runs. Not exposed through REST; an operator calls its verbs in the SQL console.';
