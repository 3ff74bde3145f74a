-- system-health: what its components have in common.
--
-- Every component is one function, system_health_<component>(), that counts and judges nothing:
--   {"watched": 12, "figures": {"<figure>": number or null, ...}, "details": {...}, "notes": ["..."]}
-- watched is how many things there are to look at (0: nothing to watch); a figure is null where there is nothing to
-- tell; details says which table, which job. Thresholds live with the job, in components.ts, and in app_settings.
--
-- statement_timeout is applied by PostgREST to the whole call. A call in the SQL console is not bound by it, but by
-- lock_timeout: a component waits behind no lock for longer than that.

create or replace function public.system_health_settings() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select coalesce(jsonb_object_agg(settings.key, settings.value), '{}')
  from (
    select key, value from public.app_settings
    where starts_with(key, 'system_health.')
    order by key
    limit 500
  ) as settings;
$$;
comment on function public.system_health_settings() is
  'The rows of app_settings that change thresholds: {"system_health.<component>.<figure>": {"degraded", "critical"}}.';

-- A share of very few says nothing: one failure of two would be a catastrophe.
create or replace function public.system_health_percent(p_part bigint, p_whole bigint, p_at_least bigint default 1)
returns numeric
language sql immutable set search_path = '' as $$
  select case when p_whole >= greatest(p_at_least, 1) then round(100.0 * p_part / p_whole, 1) end;
$$;
comment on function public.system_health_percent(bigint, bigint, bigint) is
  'The share in percent, to one place; null where the whole is less than p_at_least.';

create or replace function public.system_health_seconds_since(p_since timestamptz) returns numeric
language sql stable set search_path = '' as $$
  -- greatest alone would make 0 of null: "since now" of "never".
  select case when p_since is not null then greatest(0, round(extract(epoch from now() - p_since))) end;
$$;
comment on function public.system_health_seconds_since(timestamptz) is
  'Whole seconds since that moment, 0 for one in the future (clocks differ), null for null.';

create or replace function scheduler.record_system_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb, p_now timestamptz default now()
) returns bigint
language sql volatile set search_path = '' as $$
  insert into public.system_health_history as history
    (job_name, scheduled_for, checked_at, score, status, summary, report, components)
  values (p_job_name, p_scheduled_for, p_now, p_score, p_status, p_summary, p_report, p_components)
  on conflict (job_name, scheduled_for) do update set
    checked_at = excluded.checked_at, score = excluded.score, status = excluded.status,
    summary = excluded.summary, report = excluded.report, components = excluded.components
  returning history.id;
$$;
comment on function scheduler.record_system_health(text, timestamptz, integer, text, text, text, jsonb, timestamptz) is
  'Keeps what a health check found, once an occurrence: the attempt that ran last is the one that counts. Returns the row''s id.';

-- Definer, as service_role may read the history and not write it: nothing but this adds to it.
create or replace function public.record_system_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb
) returns bigint
language sql volatile security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select scheduler.record_system_health(p_job_name, p_scheduled_for, p_score, p_status, p_summary, p_report, p_components);
$$;
comment on function public.record_system_health(text, timestamptz, integer, text, text, text, jsonb) is
  'scheduler.record_system_health by the clock of the database.';

revoke all on function public.system_health_settings() from public, anon, authenticated;
revoke all on function public.system_health_percent(bigint, bigint, bigint) from public, anon, authenticated;
revoke all on function public.system_health_seconds_since(timestamptz) from public, anon, authenticated;
revoke all on function scheduler.record_system_health(text, timestamptz, integer, text, text, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function public.record_system_health(text, timestamptz, integer, text, text, text, jsonb)
  from public, anon, authenticated;
grant execute on function public.system_health_settings() to service_role;
grant execute on function public.system_health_percent(bigint, bigint, bigint) to service_role;
grant execute on function public.system_health_seconds_since(timestamptz) to service_role;
grant execute on function public.record_system_health(text, timestamptz, integer, text, text, text, jsonb)
  to service_role;
