-- How much of a time a continuous job was alive.

create function scheduler.lives(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns table (born timestamptz, died timestamptz)
language sql stable set search_path = '' as $$
  with runs as (
    select started_at as born, greatest(started_at, least(p_to, case
        when completed_at is null
          then heartbeat_at + make_interval(secs => scheduler.setting('scheduler.heartbeat_timeout_seconds'))
        when verdict = 'stalled' then heartbeat_at
        else completed_at end)) as died,
      status = 'completed' and result -> 'idle' = 'true' as is_idle
    from public.scheduler_runs
    where job_name = p_job.name and started_at < p_to and coalesce(completed_at, p_to) >= p_from
      -- No run lasts longer than the longest timeout, so the index needs to look no further back.
      and scheduled_for >= p_from - interval '2 days' and scheduled_for < p_to
  ), planned as (
    select born, case when is_idle then least(died + make_interval(secs => p_job.idle_seconds), p_to) else died end
      as died from runs
  )
  -- A hand-over of up to three seconds is none.
  select born, case when lead(born) over (order by born) <= died + interval '3 seconds' then lead(born)
    over (order by born) else died end
  from planned;
$$;
comment on function scheduler.lives(public.scheduler_jobs, timestamptz, timestamptz) is
  'The spans in which a continuous job had a living heartbeat, by its runs between p_from and p_to; planned idle time '
    'and hand-overs of up to 3 s are among them.';

create function scheduler.alive_share(p_job_name text, p_from timestamptz, p_to timestamptz) returns numeric
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if v_job.name is null then
    perform scheduler.refuse_unknown_job(p_job_name);
  elsif not v_job.continuous or p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to)
    or p_from >= p_to then
    raise exception using errcode = '22023', message = format('cannot tell how much %s was alive: ', p_job_name)
      || case when not v_job.continuous then 'it is not continuous' else 'from must be a moment before to' end;
  end if;
  return (
    select round(coalesce(sum(extract(epoch from upper(span) - lower(span))), 0) / extract(epoch from p_to - p_from), 5)
    from (
      select unnest(range_agg(tstzrange(greatest(born, p_from), least(died, p_to)))) as span
      from scheduler.lives(v_job, p_from, p_to)
      where greatest(born, p_from) < least(died, p_to)) as spans);
end;
$$;
comment on function scheduler.alive_share(text, timestamptz, timestamptz) is
  'The share of [p_from, p_to) in which a continuous job was alive, from 0 to 1, as far back as the ledger reaches. '
    'Raises SD001 for an unknown job; 22023 for one that is not continuous, or a range that is none.';

create function scheduler.is_alive(p_job public.scheduler_jobs, p_now timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select coalesce(bool_or(case status
    when 'running' then heartbeat_at + make_interval(
      secs => scheduler.setting('scheduler.heartbeat_timeout_seconds')) >= p_now
    -- A hand-over of up to three seconds is none.
    when 'dispatched' then dispatched_at + interval '3 seconds' >= p_now
    else waiting ->> 'for' = 'idle' and run_after + interval '3 seconds' >= p_now end), false)
  from public.scheduler_runs
  where job_name = p_job.name and status in ('queued', 'dispatched', 'running');
$$;
comment on function scheduler.is_alive(public.scheduler_jobs, timestamptz) is
  'Whether a continuous job has a living heartbeat, is idle as planned, or hands over.';
