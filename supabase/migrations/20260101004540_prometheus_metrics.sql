-- A scrape is one call.

create or replace function scheduler.prometheus_metrics(p_now timestamptz default now()) returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'scheduler', scheduler.job_metrics(p_now),
    'fleet', scheduler.fleet_metrics(p_now),
    'platform', scheduler.platform_metrics(p_now),
    'batches', scheduler.batch_metrics(p_now));
$$;
comment on function scheduler.prometheus_metrics(timestamptz) is
  'Everything that a scrape of prometheus-metrics shows: {"scheduler": see scheduler.job_metrics, "fleet": see scheduler.fleet_metrics, "platform": see scheduler.platform_metrics, "batches": see scheduler.batch_metrics}.';

-- Security definer: the counters and the pulse's mark are in the private schema, closed to service_role.
create or replace function public.prometheus_metrics() returns json
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.prometheus_metrics();
$$;
comment on function public.prometheus_metrics() is
  'scheduler.prometheus_metrics by the clock of the database.';

revoke all on function scheduler.prometheus_metrics(timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.prometheus_metrics() from public, anon, authenticated, service_role;
grant execute on function public.prometheus_metrics() to service_role;
