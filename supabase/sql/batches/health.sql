-- What system-health looks at of the daily batch. It reads a bounded number of rows: those that are open, are due or
-- ended in the last 24 hours.

-- In steps: mostly the platform's date is marked, and then its organizations need not be read, which each scrape would
-- do.
create function batches.due_since(p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_date date := batches.date_at(v_platform, p_now);
  v_came_at timestamptz;
  v_due_since timestamptz := least(
    (select min(next_batch_at) from public.organizations where enabled and next_batch_at <= p_now),
    (select min(due_at) from batches.owed_dates where state = 'owed' and due_at <= p_now));
begin
  if batches.platform_has_had(v_date) then
    return v_due_since;
  end if;
  v_came_at := batches.comes_at(v_platform, v_date);
  return least(v_due_since, (
    select v_came_at where exists (
      select from public.organizations
      where enabled and next_batch_at is null and time_zone is null and daily_run_at is null and created_at < v_came_at
        and exists (select from public.prompts where organization_id = organizations.id and status = 'active'))));
end;
$$;
comment on function batches.due_since(timestamptz) is
  'Since when a batch is due that has not begun: of an organization with its own zone or hour, or of those that '
    'follow the platform; null: none is.';

create function batches.batches_health() returns jsonb
language sql stable set search_path = '' as $$
  with open as (
    select count(*) as jobs, min(created_at) as oldest from public.batch_jobs where completed_at is null
  ), stuck as (
    -- The reconciler comes every half hour.
    select count(*) as jobs
    from batches.stuck_jobs(1000, null, now()) as id join public.batch_jobs using (id)
    where greatest(coalesce(last_heartbeat, created_at), resumed_at) < now() - interval '35 minutes'
  ), ended as (
    select count(*) as jobs, coalesce(sum(tasks_total), 0)::bigint as tasks, coalesce(sum(tasks_failed),
      0)::bigint as failed
    from public.batch_jobs where completed_at > now() - interval '24 hours' and status <> 'cancelled'
  ), reasons as (
    select reason from public.batch_jobs, jsonb_each_text(reasons) as why (reason, tasks)
    where completed_at > now() - interval '24 hours' and status <> 'cancelled' and tasks_failed > 0
    group by reason order by sum(tasks::bigint) desc, reason
    limit 1
  ), down as (
    select count(*) as providers, string_agg(name, ', ' order by name) as names from public.batch_providers
    where enabled and open_until is not null and failures_in_row >= (batches.settings() ->> 'failures_to_open')::integer
  )
  select jsonb_build_object(
    'watched', (select count(*) from public.organizations where enabled),
    'figures', jsonb_build_object(
      'not_begun_seconds', coalesce(scheduler.seconds_since(batches.due_since(now())), 0),
      'failed_percent', scheduler.percent(ended.failed, ended.tasks, 5),
      'stuck_jobs', stuck.jobs,
      'oldest_open_seconds', scheduler.seconds_since(open.oldest),
      'providers_down', down.providers
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'open', open.jobs, 'ended', ended.jobs, 'tasks', ended.tasks, 'failed', ended.failed,
      'failed_mostly', (select left(reason, 200) from reasons), 'down', left(down.names, 200))),
    'notes', '[]'::jsonb
  )
  from open, stuck, ended, down;
$$;
comment on function batches.batches_health() is
  'Figures of the daily batch: how long one is due that has not begun, failed tasks and their most frequent reason, '
    'batch jobs that are stuck or open for long, providers that are down.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('batches', 'batches', 'Daily batch', 6, 'batches.batches_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  -- Its ticks come every 15 minutes.
  ('batches', 'not_begun_seconds', 'due and not begun', 'seconds', 'higher', 1200, 3600, null),
  ('batches', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 10, 50, 'failed_mostly'),
  ('batches', 'stuck_jobs', 'stuck batch jobs', 'count', 'higher', 1, 25, null),
  -- After six hours of waiting for a provider, tasks fail.
  ('batches', 'oldest_open_seconds', 'oldest open batch job', 'seconds', 'higher', 14400, 28800, null),
  ('batches', 'providers_down', 'providers down', 'count', 'higher', 1, null, 'down');
