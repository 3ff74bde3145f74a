-- Which batch jobs are stuck: nobody works on them, and nobody is on the way.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('batches', 'daily_batch.heartbeat_timeout_seconds', '120', 's', 1, 99999, 'how long a batch job may be without a processor''s heartbeat before it counts as stuck'),
  ('batches', 'daily_batch.progress_timeout_seconds', '180', 's', 1, 99999, 'how long a batch job may be without a task that ends, and without a processor, before it counts as stuck'),
  ('batches', 'daily_batch.max_resumes', '5', null, 0, 99999, 'how often a stuck batch job is resumed without a task ending in between; then its open tasks fail');

create function batches.stuck_settings(out heartbeat_timeout interval, out progress_timeout interval, out max_resumes integer)
language plpgsql stable set search_path = '' as $$
begin
  heartbeat_timeout := make_interval(secs => scheduler.setting('daily_batch.heartbeat_timeout_seconds'));
  progress_timeout := make_interval(secs => scheduler.setting('daily_batch.progress_timeout_seconds'));
  max_resumes := scheduler.setting('daily_batch.max_resumes');
end;
$$;
comment on function batches.stuck_settings() is 'The settings of the reconciler.';

-- A run of the processor by hand has no key. Its leases show that it works.
create function batches.runs_of(p_job_id uuid, p_heartbeat_timeout interval, p_now timestamptz, out waits boolean, out beats boolean)
language plpgsql stable set search_path = '' as $$
begin
  select coalesce(bool_or(status = 'queued'), false),
      coalesce(bool_or(status <> 'queued' and greatest(dispatched_at, started_at, heartbeat_at) >= p_now - p_heartbeat_timeout), false)
    into waits, beats
    from scheduler.open_runs('robust-batch-processor', p_job_id::text);
end;
$$;
comment on function batches.runs_of(uuid, interval, timestamptz) is
  'Whether runs of the processor for the batch job wait in the ledger, and whether one is under way and beats.';

-- What is read first is little: batch jobs of late are passed over by their index, and the ledger, which may hold
-- thousands of runs that wait, is not read when none of the others is silent. Whatever the statistics say.
create function batches.stuck_jobs(p_limit integer, p_after uuid, p_now timestamptz) returns setof uuid
language plpgsql stable set search_path = '' set jit = off set enable_nestloop = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  v_settings record;
begin
  select * into v_settings from batches.stuck_settings();
  return query
  with silent as (
    select jobs.id
    from public.batch_jobs as jobs
    where jobs.completed_at is null and (p_after is null or jobs.id > p_after)
      and jobs.created_at < p_now - least(v_settings.heartbeat_timeout, v_settings.progress_timeout)
      and (greatest(coalesce(jobs.last_heartbeat, jobs.created_at), jobs.resumed_at) < p_now - v_settings.heartbeat_timeout
        or greatest(coalesce(jobs.last_progress_at, jobs.started_at, jobs.created_at), jobs.resumed_at) < p_now - v_settings.progress_timeout)
  ),
  alone as materialized (
    select silent.id from silent
    where not exists (
      select from public.scheduler_runs as runs
      where runs.job_name = 'robust-batch-processor' and runs.key = silent.id::text and runs.completed_at is null
        and (runs.status = 'queued' or greatest(runs.dispatched_at, runs.started_at, runs.heartbeat_at) >= p_now - v_settings.heartbeat_timeout))
    order by silent.id
  )
  select alone.id from alone
  where not exists (select from public.batch_leases where job_id = alone.id and leased_until > p_now)
  order by alone.id
  limit p_limit;
end;
$$;
comment on function batches.stuck_jobs(integer, uuid, timestamptz) is
  'Open batch jobs without heartbeat or without progress for too long, of which no run waits or beats and no lease lasts: by id, those after p_after.';

create function batches.find_stuck_jobs(
  p_limit integer default 100, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception using errcode = '22023',
      message = format('cannot look for stuck batch jobs: limit must be from 1 to 1000, got %s', coalesce(p_limit::text, 'null'));
  end if;
  return (select coalesce(jsonb_agg(id order by id), '[]') from batches.stuck_jobs(p_limit, p_after, p_now) as id);
end;
$$;
comment on function batches.find_stuck_jobs(integer, uuid, timestamptz) is
  'The ids of at most p_limit stuck batch jobs, in order, as a JSON array; the next page begins after the last of them.';

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
comment on function batches.job_is_stuck(timestamptz) is 'Whether the reconciler would find a stuck batch job at that moment.';

-- Two jobs: by the half hour, and once soon after the platform's window, which a person may move.
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
    description => 'Has batch jobs that nobody works on go on, or gives them up'
  );
  perform scheduler.register_job(
    name => 'batch-reconciler-after-window',
    schedule => format('%s %s * * *', extract(minute from v_at), extract(hour from v_at)),
    time_zone => v_platform.time_zone,
    target => 'batch-reconciler',
    run_if => 'batches.job_is_stuck',
    description => 'The same, soon after the daily batch''s window'
  );
end;
$$;
comment on function batches.register_reconciler() is
  'Registers batch-reconciler, and batch-reconciler-after-window five minutes after the window that the settings daily_batch.… name.';

revoke all on function public.find_stuck_batch_jobs(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.find_stuck_batch_jobs(integer, uuid) to service_role;
