-- How much of a time a continuous job was alive.

create function scheduler.hand_over(p_is_idle boolean) returns interval
language sql immutable set search_path = '' as $$
  -- After an idle time the next pulse sends the run, ten seconds later at the most.
  select case when p_is_idle then interval '13 seconds' else interval '3 seconds' end;
$$;
comment on function scheduler.hand_over(boolean) is
  'How long after a run of a continuous job, or after its idle time, the next one may begin as if without a gap.';

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
      as died, scheduler.hand_over(is_idle) as hand_over from runs
  )
  select born, case when lead(born) over (order by born) <= died + hand_over then lead(born) over (order by born)
    else died end
  from planned;
$$;
comment on function scheduler.lives(public.scheduler_jobs, timestamptz, timestamptz) is
  'The spans in which a continuous job had a living heartbeat, by its runs between p_from and p_to; planned idle time '
    'and hand-overs are among them.';

create function scheduler.stopped_spans(p_job public.scheduler_jobs, p_to timestamptz) returns tstzmultirange
language sql stable set search_path = '' as $$
  with verbs as (
    select verb, occurred_at, (after ->> 'until')::timestamptz as until,
      lead(occurred_at) over (partition by subject_type order by id) as next_at
    from public.scheduler_audit
    where subject_type = 'job' and subject = p_job.name and verb in ('pause', 'resume')
      or subject_type = 'group' and subject = p_job.group_name and verb in ('pause_group', 'resume_group')
  ), spans (starts_at, ends_at) as (
    select occurred_at, least(until, next_at, p_to) from verbs where verb in ('pause', 'pause_group')
    union all
    select started_at, coalesce(ended_at + make_interval(secs => ramp_seconds), p_to) from public.scheduler_incidents
  )
  select coalesce(range_agg(tstzrange(starts_at, ends_at)), '{}') from spans where starts_at < ends_at;
$$;
comment on function scheduler.stopped_spans(public.scheduler_jobs, timestamptz) is
  'When people had stopped the job, up to p_to: its pauses and those of its group, by the audit log, and incidents '
    'with their ramps.';

create function scheduler.seconds_of(p_spans tstzmultirange) returns numeric
language sql immutable set search_path = '' as $$
  select coalesce(sum(extract(epoch from upper(span) - lower(span))), 0) from unnest(p_spans) as span;
$$;
comment on function scheduler.seconds_of(tstzmultirange) is 'How many seconds the spans last together.';

create function scheduler.alive_share(p_job_name text, p_from timestamptz, p_to timestamptz) returns numeric
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_healthy tstzmultirange;
  v_alive tstzmultirange;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if v_job.name is null then
    perform scheduler.refuse_unknown_job(p_job_name);
  elsif not v_job.continuous or p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to)
    or p_from >= p_to then
    raise exception using errcode = '22023', message = format('cannot tell how much %s was alive: ', p_job_name)
      || case when not v_job.continuous then 'it is not continuous' else 'from must be a moment before to' end;
  end if;
  v_healthy := tstzmultirange(tstzrange(least(greatest(p_from, v_job.created_at), p_to), p_to))
    - scheduler.stopped_spans(v_job, p_to);
  v_alive := coalesce((
    select range_agg(tstzrange(born, died)) from scheduler.lives(v_job, p_from, p_to) where born < died), '{}');
  return round(scheduler.seconds_of(v_alive * v_healthy) / nullif(scheduler.seconds_of(v_healthy), 0), 5);
end;
$$;
comment on function scheduler.alive_share(text, timestamptz, timestamptz) is
  'The share of [p_from, p_to) in which a continuous job was alive, from 0 to 1, as far back as the ledger reaches, '
    'without the time before it was registered and that in which it was stopped by people; null when nothing is left. '
    'Raises SD001 for an unknown job; 22023 for one that is not continuous, or a range that is none.';

create function scheduler.is_alive(p_job public.scheduler_jobs, p_now timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select coalesce(bool_or(case status
    when 'running' then heartbeat_at + make_interval(
      secs => scheduler.setting('scheduler.heartbeat_timeout_seconds')) >= p_now
    when 'dispatched' then dispatched_at + scheduler.hand_over(false) >= p_now
    else waiting ->> 'for' = 'idle' and run_after + scheduler.hand_over(true) >= p_now end), false)
  from public.scheduler_runs
  where job_name = p_job.name and status in ('queued', 'dispatched', 'running');
$$;
comment on function scheduler.is_alive(public.scheduler_jobs, timestamptz) is
  'Whether a continuous job has a living heartbeat, is idle as planned, or hands over.';
