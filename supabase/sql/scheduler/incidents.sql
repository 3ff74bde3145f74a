-- Incident mode: one person stops everything, and starts it again in order.

create function scheduler.stop_job(
  p_job public.scheduler_jobs, p_incident public.scheduler_incidents, p_now timestamptz
) returns public.scheduler_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  update public.scheduler_jobs set stopped_at = p_incident.started_at, stopped_until = null
    where name = p_job.name returning * into v_job;
  perform scheduler.note_stop(v_job, p_now);
  perform scheduler.withdraw_run(runs, format('incident called by %s: %s', p_incident.started_by, p_incident.reason),
      p_now)
    from public.scheduler_runs as runs
    where p_incident.ends_runs and job_name = p_job.name and status in ('dispatched', 'running');
  return v_job;
end;
$$;
comment on function scheduler.stop_job(public.scheduler_jobs, public.scheduler_incidents, timestamptz) is
  'Stops a job for an incident, ends what of it is under way if the incident does that, and returns its row. The '
    'caller holds the job''s row lock.';

create function scheduler.heed_incident(p_job public.scheduler_jobs, p_now timestamptz)
returns public.scheduler_jobs
language plpgsql set search_path = '' as $$
declare
  v_incident public.scheduler_incidents;
begin
  select * into v_incident from public.scheduler_incidents where ended_at is null;
  if v_incident.id is null or p_job.stopped_at is not null and p_job.stopped_until is null then
    return p_job;
  end if;
  return scheduler.stop_job(p_job, v_incident, p_now);
end;
$$;
comment on function scheduler.heed_incident(public.scheduler_jobs, timestamptz) is
  'Stops a job whose row another transaction held when the incident that lasts was started. The caller holds the '
    'job''s row lock.';

-- A transaction that was left open must not hold up an incident.
create function scheduler.lock_registry_soon() returns boolean
language plpgsql set search_path = '' set lock_timeout = '2s' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  return true;
exception when lock_not_available then
  return false;
end;
$$;
comment on function scheduler.lock_registry_soon() is
  'Takes the lock of the registry, waiting at most 2 s; false when it could not.';

create function scheduler.lock_job_soon(p_job_name text) returns boolean
language plpgsql set search_path = '' set lock_timeout = '500ms' as $$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update;
  return true;
exception when lock_not_available then
  return false;
end;
$$;
comment on function scheduler.lock_job_soon(text) is
  'Locks the job''s row, waiting at most half a second; false when it could not. Only for those who hold the lock of '
    'the registry: two that wait for each other''s rows would deadlock.';

create function scheduler.lock_for_incident() returns text[]
language plpgsql set search_path = '' as $$
declare
  v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
  v_waits constant boolean := scheduler.lock_registry_soon();
  v_name text;
  v_held text[] := array[]::text[];
begin
  for v_name in select name from public.scheduler_jobs order by name loop
    continue when scheduler.try_lock_job(v_name);
    continue when v_waits and clock_timestamp() < v_until and scheduler.lock_job_soon(v_name);
    v_held := v_held || v_name;
  end loop;
  return v_held;
end;
$$;
comment on function scheduler.lock_for_incident() is
  'Locks the rows of all jobs, waiting a few seconds at most; returns those that others go on holding.';

create function scheduler.start_incident(
  p_reason text, p_author text, p_end_runs boolean default false, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_incident public.scheduler_incidents;
  v_held text[];
  v_jobs bigint;
  v_ended bigint;
begin
  perform scheduler.assert_given('start an incident', 'reason and author',
    'select scheduler.start_incident(''why'', ''who'')', p_reason, p_author);
  v_held := scheduler.lock_for_incident();
  insert into public.scheduler_incidents (started_at, started_by, reason, ends_runs)
    values (p_now, left(btrim(p_author), 200), left(btrim(p_reason), 1000), coalesce(p_end_runs, false))
    on conflict do nothing returning * into v_incident;
  if v_incident.id is null then
    select * into v_incident from public.scheduler_incidents where ended_at is null;
    raise exception using errcode = 'SD104',
      message = format('cannot start an incident: one has lasted since %s, called by %s: %s',
        scheduler.local_text(v_incident.started_at, 'UTC'), v_incident.started_by, v_incident.reason),
      hint = 'select scheduler.end_incident(''who'')';
  end if;
  select count(*) filter (where p_end_runs) into v_ended from public.scheduler_runs
    where status in ('dispatched', 'running') and job_name <> all (v_held);
  perform scheduler.stop_job(jobs, v_incident, p_now) from public.scheduler_jobs as jobs where name <> all (v_held);
  get diagnostics v_jobs = row_count;
  perform scheduler.withdraw_run(runs, format('incident called by %s: %s', v_incident.started_by, v_incident.reason),
      p_now)
    from public.scheduler_runs as runs
    where p_end_runs and status in ('dispatched', 'running') and not exists (
      select from public.scheduler_jobs where name = job_name);
  perform scheduler.wake_jobs(v_held, 'epoch');
  perform scheduler.audit('start_incident', 'scheduler', 'all jobs', p_reason, p_author, null,
    jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended)
      || case when v_held <> '{}' then jsonb_build_object('held', v_held) else '{}' end, p_now);
  perform scheduler.log_activity('scheduler', format('incident called by %s: %s', btrim(p_author), btrim(p_reason)),
    'warning', jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended), p_now);
  return format('%s stopped; %s', scheduler.count_text(v_jobs, 'job') || case v_jobs when 1 then ' is' else ' are' end,
    case when p_end_runs then scheduler.count_text(v_ended, 'run') || ' told to end' else 'what runs goes on' end)
    || case when v_held <> '{}' then format('; held by other transactions, nothing of them is sent, and stopped when '
      'those end: %s', array_to_string(v_held, ', ')) else '' end;
end;
$$;
comment on function scheduler.start_incident(text, text, boolean, timestamptz) is
  'Stops all jobs, with a reason and an author: no run is sent any more, occurrences become skipped rows. With '
    'p_end_runs what is under way is cancelled, else it goes on. Takes a few seconds at most: a job whose row another '
    'transaction holds for longer is named, and stopped by the pulse as soon as that ends. Raises SD104 while another '
    'incident lasts; 22023 for a missing reason or author.';

create function scheduler.resume_order() returns table (job_name text, place bigint)
language sql stable set search_path = '' as $$
  with recursive depths as (
    select name, 0 as depth from public.scheduler_jobs
    union
    select jobs.name, depths.depth + 1 from depths join public.scheduler_jobs as jobs on depths.name = any (depends_on)
    -- A circle that somebody wrote by hand must not keep an incident from ending.
    where depths.depth < (select count(*) from public.scheduler_jobs)
  )
  select jobs.name, row_number() over (order by max(depth), coalesce(groups.place, 0), jobs.name) - 1
  from depths join public.scheduler_jobs as jobs using (name)
    left join public.scheduler_groups as groups on groups.name = jobs.group_name
  where jobs.enabled
  group by jobs.name, groups.place;
$$;
comment on function scheduler.resume_order() is
  'The enabled jobs in the order in which they are resumed, from 0 on: each after all that it depends on; of those '
    'that do not depend on each other by the place of their group, then by name.';

create function scheduler.end_incident(
  p_author text, p_ramp_seconds integer default 60, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_incident public.scheduler_incidents;
  v_job public.scheduler_jobs;
  v_held text[];
  v_jobs bigint := 0;
begin
  perform scheduler.assert_given('end the incident', 'author', 'select scheduler.end_incident(''who'')', p_author);
  if p_ramp_seconds is null or p_ramp_seconds not between 0 and 86400 then
    raise exception using errcode = '22023', message = format('cannot end the incident: ramp_seconds must be from 0 to '
      '86400, got %s', coalesce(p_ramp_seconds::text, 'null'));
  end if;
  -- All rows are locked before any is worked on, which locks dependents out of this order.
  v_held := case when scheduler.lock_registry_soon() then scheduler.lock_for_incident() else array['the registry'] end;
  if v_held <> '{}' then
    raise exception using errcode = 'SD105',
      message = format('cannot end the incident: other transactions hold %s', array_to_string(v_held, ', ')),
      hint = 'wait for them or end them: select pid, xact_start, query from pg_stat_activity where state <> ''idle'' '
        'order by xact_start; select pg_terminate_backend(pid)';
  end if;
  update public.scheduler_incidents
    set ended_at = p_now, ended_by = left(btrim(p_author), 200), ramp_seconds = p_ramp_seconds
    where ended_at is null returning * into v_incident;
  if not found then
    return 'no incident lasts';
  end if;
  for v_job in select * from public.scheduler_jobs order by name loop
    -- Occurrences that came due while it lasted are recorded first.
    perform scheduler.try_record_due(v_job, p_now);
    v_jobs := v_jobs + 1;
  end loop;
  -- It may have been called by a clock that was ahead and went back.
  update public.scheduler_jobs as jobs set stopped_at = least(stopped_at, p_now),
    stopped_until = greatest(least(stopped_at, p_now) + interval '1 microsecond',
      p_now + make_interval(secs => coalesce(p_ramp_seconds * place::numeric / nullif(v_jobs - 1, 0), 0)))
    from (select name, coalesce(place, v_jobs - 1) as place from public.scheduler_jobs
      left join scheduler.resume_order() on job_name = name) as ordered
    where ordered.name = jobs.name;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs;
  -- What they wait for was stopped, too, and goes first.
  perform scheduler.wait_anew(jobs, stopped_until) from public.scheduler_jobs as jobs where depends_on <> '{}';
  perform scheduler.wake_jobs(array[name], stopped_until) from public.scheduler_jobs where stopped_until is not null;
  perform scheduler.audit('end_incident', 'scheduler', 'all jobs', null, p_author,
    jsonb_build_object('started_at', v_incident.started_at, 'by', v_incident.started_by, 'reason', v_incident.reason),
    jsonb_build_object('ramp_seconds', p_ramp_seconds), p_now);
  perform scheduler.log_activity('scheduler', format('the incident was ended by %s; jobs are resumed within %s s',
    btrim(p_author), p_ramp_seconds), p_now => p_now);
  return format('%s run again within %s s, each after those it depends on', scheduler.count_text(v_jobs, 'job'),
    p_ramp_seconds);
end;
$$;
comment on function scheduler.end_incident(text, integer, timestamptz) is
  'Ends the incident: the jobs are resumed in the order of their dependencies, roots first, spread over '
    'p_ramp_seconds. What came due in it stays skipped. Takes a few seconds at most: raises SD105 when other '
    'transactions hold rows of jobs for longer; 22023 for a missing author or a ramp outside 0 to 86400.';
