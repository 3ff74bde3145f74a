-- The names that the ecosystem's programs use for tables of the scheduler.

create view public.eliza_activity_log with (security_invoker = true) as
  select id, occurred_at, source, severity, message, run_id, details from public.scheduler_activity;
comment on view public.eliza_activity_log is
  'The table scheduler_activity; a line that is inserted here is added there, as log_activity does it.';

-- Security definer: a role that may add a line may not write lines of runs.
create function ecosystem.add_activity() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.occurred_at := coalesce(new.occurred_at, now());
  new.severity := coalesce(new.severity, 'info');
  new.details := coalesce(new.details, '{}');
  new.run_id := null;
  new.id := scheduler.log_activity(new.source, new.message, new.severity, new.details, new.occurred_at);
  return new;
end;
$$;
comment on function ecosystem.add_activity() is 'Trigger: adds the line that is inserted into eliza_activity_log to '
  'scheduler_activity.';

create trigger add_activity instead of insert on public.eliza_activity_log
  for each row execute function ecosystem.add_activity();

create view public.app_settings with (security_invoker = true) as
  select key, value, description, updated_at from public.scheduler_settings;
comment on view public.app_settings is 'The table scheduler_settings by the name that the ecosystem''s programs read.';

revoke all on public.eliza_activity_log, public.app_settings from public, anon, authenticated, service_role;
grant select, insert on public.eliza_activity_log to service_role;
grant select on public.app_settings to service_role;
