-- Which batch jobs are stuck: no processor works on them, and none has been called.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('batches', 'daily_batch.heartbeat_timeout_seconds', '120', 's', 1, 99999,
    'how long a batch job may be without a processor''s heartbeat before it counts as stuck'),
  ('batches', 'daily_batch.progress_timeout_seconds', '180', 's', 1, 99999,
    'how long a batch job may be without a task that ends, and without a processor, before it counts as stuck'),
  ('batches', 'daily_batch.max_resumes', '5', null, 0, 99999,
    'how often a stuck batch job is resumed without a task ending in between; then its open tasks fail');

create type batches.stuck_limits as (heartbeat_timeout interval, progress_timeout interval, max_resumes integer);
comment on type batches.stuck_limits is 'The settings of the reconciler.';

create function batches.stuck_limits() returns batches.stuck_limits
language sql stable set search_path = '' as $$
  select (make_interval(secs => scheduler.setting('daily_batch.heartbeat_timeout_seconds')),
    make_interval(secs => scheduler.setting('daily_batch.progress_timeout_seconds')),
    scheduler.setting('daily_batch.max_resumes'))::batches.stuck_limits;
$$;
comment on function batches.stuck_limits() is 'The settings of the reconciler.';

create function batches.is_silent(p_job public.batch_jobs, p_limits batches.stuck_limits, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  -- The timeouts of a batch job that was resumed count from then.
  select greatest(coalesce(p_job.last_heartbeat, p_job.created_at), p_job.resumed_at)
      < p_now - p_limits.heartbeat_timeout
    or greatest(coalesce(p_job.last_progress_at, p_job.started_at, p_job.created_at), p_job.resumed_at)
      < p_now - p_limits.progress_timeout;
$$;
comment on function batches.is_silent(public.batch_jobs, batches.stuck_limits, timestamptz) is
  'Whether an open batch job has been without a heartbeat, or without a task that ended, for too long.';

create function batches.run_is_alive(p_run public.scheduler_runs, p_limits batches.stuck_limits, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  select p_run.status <> 'queued'
    and greatest(p_run.dispatched_at, p_run.started_at, p_run.heartbeat_at) >= p_now - p_limits.heartbeat_timeout;
$$;
comment on function batches.run_is_alive(public.scheduler_runs, batches.stuck_limits, timestamptz) is
  'Whether a run that is not over is under way and was heard of lately.';

-- The open batch jobs are read first, and the ledger, where thousands of runs may wait, only for those that are silent.
create function batches.stuck_jobs(p_limit integer, p_after uuid, p_now timestamptz) returns setof uuid
-- With a nested loop 10,000 open batch jobs whose runs wait took 5 s instead of 0.05 s, where the tables were empty
-- when they were last analyzed.
language plpgsql stable set search_path = '' set enable_nestloop = off as $$
declare
  v_limits batches.stuck_limits := batches.stuck_limits();
begin
  return query
  with silent as (
    select jobs.id
    from public.batch_jobs as jobs
    where completed_at is null and (p_after is null or id > p_after)
      and created_at < p_now - least(v_limits.heartbeat_timeout, v_limits.progress_timeout)
      and batches.is_silent(jobs, v_limits, p_now)
  ), alone as materialized (
    select silent.id from silent
    where not exists (
      -- A run of the processor by hand has no key. Its leases show that it works.
      select from public.scheduler_runs as runs
      where job_name = 'robust-batch-processor' and key = silent.id::text and completed_at is null
        and (status = 'queued' or batches.run_is_alive(runs, v_limits, p_now)))
    order by silent.id
  )
  select alone.id from alone
  where not exists (select from batches.leases where job_id = alone.id and leased_until > p_now)
  order by alone.id
  limit p_limit;
end;
$$;
comment on function batches.stuck_jobs(integer, uuid, timestamptz) is
  'Open batch jobs without heartbeat or without progress for too long, of which no run waits or is alive and no lease '
    'lasts: by id, those after p_after.';

create function batches.find_stuck_jobs(
  p_limit integer default 100, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception using errcode = '22023',
      message = format('cannot look for stuck batch jobs: limit must be from 1 to 1000, got %s',
        coalesce(p_limit::text, 'null'));
  end if;
  return (select coalesce(jsonb_agg(id order by id), '[]') from batches.stuck_jobs(p_limit, p_after, p_now) as id);
end;
$$;
comment on function batches.find_stuck_jobs(integer, uuid, timestamptz) is
  'The ids of at most p_limit stuck batch jobs, in order, as a JSON array; the next page begins after the last of '
    'them.';

create function public.find_stuck_batch_jobs(p_limit integer default 100, p_after uuid default null) returns jsonb
language sql stable security definer set search_path = '' as $$
  select batches.find_stuck_jobs(p_limit, p_after);
$$;
comment on function public.find_stuck_batch_jobs(integer, uuid) is
  'batches.find_stuck_jobs by the clock of the database.';

create function batches.job_is_stuck(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from batches.stuck_jobs(1, null, p_at));
$$;
comment on function batches.job_is_stuck(timestamptz) is
  'Whether the reconciler would find a stuck batch job at that moment.';

-- Two jobs: one for each half hour, and one for soon after the platform's window, which a person may move.
create function batches.register_reconciler() returns void
language plpgsql set search_path = '' as $$
declare
  v_platform record;
  v_at time;
begin
  select * into v_platform from batches.daily_settings();
  v_at := v_platform.run_at + make_interval(hours => v_platform.window_hours, mins => 5);
  perform scheduler.register_job(
    name => 'batch-reconciler',
    schedule => '*/30 * * * *',
    run_if => 'batches.job_is_stuck',
    description => 'Resumes batch jobs that no processor works on, or gives them up'
  );
  perform scheduler.register_job(
    name => 'batch-reconciler-after-window',
    schedule => format('%s %s * * *', extract(minute from v_at), extract(hour from v_at)),
    time_zone => v_platform.time_zone,
    target => 'batch-reconciler',
    run_if => 'batches.job_is_stuck',
    description => 'The same, soon after the daily batch''s window'
  );
  perform scheduler.note_source('batches', job_name, null)
    from unnest(array['batch-reconciler', 'batch-reconciler-after-window']) as job_name;
end;
$$;
comment on function batches.register_reconciler() is
  'Registers batch-reconciler, and batch-reconciler-after-window five minutes after the window that the settings '
    'daily_batch.… name.';

revoke all on function public.find_stuck_batch_jobs(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.find_stuck_batch_jobs(integer, uuid) to service_role;
