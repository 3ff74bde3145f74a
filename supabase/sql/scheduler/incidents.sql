-- Incident mode: one person stops everything, and starts it again in order.

create function scheduler.start_incident(
  p_reason text, p_author text, p_end_runs boolean default false, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_incident public.scheduler_incidents;
  v_jobs bigint;
  v_ended bigint := 0;
begin
  perform scheduler.assert_given('start an incident', 'reason and author',
    'select scheduler.start_incident(''why'', ''who'')', p_reason, p_author);
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  select * into v_incident from public.scheduler_incidents where ended_at is null;
  if found then
    raise exception using errcode = 'SD104',
      message = format('cannot start an incident: one has lasted since %s, called by %s: %s',
        scheduler.local_text(v_incident.started_at, 'UTC'), v_incident.started_by, v_incident.reason),
      hint = 'select scheduler.end_incident(''who'')';
  end if;
  insert into public.scheduler_incidents (started_at, started_by, reason)
    values (p_now, left(btrim(p_author), 200), left(btrim(p_reason), 1000));
  perform from public.scheduler_jobs order by name for no key update;
  update public.scheduler_jobs set stopped_at = p_now, stopped_until = null;
  get diagnostics v_jobs = row_count;
  perform scheduler.mark_all_waiting(name, ('incident', null, null, null)::scheduler.hold, p_now)
    from public.scheduler_jobs;
  if p_end_runs then
    perform scheduler.withdraw_run(runs, format('incident called by %s: %s', btrim(p_author), btrim(p_reason)), p_now)
      from public.scheduler_runs as runs where status in ('dispatched', 'running');
    get diagnostics v_ended = row_count;
  end if;
  perform scheduler.audit('start_incident', 'scheduler', 'all jobs', p_reason, p_author, null,
    jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended), p_now);
  perform scheduler.log_activity('scheduler', format('incident called by %s: %s', btrim(p_author), btrim(p_reason)),
    'warning', jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended), p_now);
  return format('%s stopped; %s', scheduler.count_text(v_jobs, 'job') || case v_jobs when 1 then ' is' else ' are' end,
    case when p_end_runs then scheduler.count_text(v_ended, 'run') || ' told to end' else 'what runs goes on' end);
end;
$$;
comment on function scheduler.start_incident(text, text, boolean, timestamptz) is
  'Stops all jobs, with a reason and an author: no run is sent any more, occurrences become skipped rows. With '
    'p_end_runs what is under way is cancelled, else it goes on. Raises SD104 while another incident lasts; 22023 for '
    'a missing reason or author.';

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
  v_jobs bigint := 0;
begin
  perform scheduler.assert_given('end the incident', 'author', 'select scheduler.end_incident(''who'')', p_author);
  if p_ramp_seconds is null or p_ramp_seconds not between 0 and 86400 then
    raise exception using errcode = '22023', message = format('cannot end the incident: ramp_seconds must be from 0 to '
      '86400, got %s', coalesce(p_ramp_seconds::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  update public.scheduler_incidents
    set ended_at = p_now, ended_by = left(btrim(p_author), 200), ramp_seconds = p_ramp_seconds
    where ended_at is null returning * into v_incident;
  if not found then
    return 'no incident lasts';
  end if;
  -- All rows are locked before any is worked on, which locks dependents out of this order.
  perform from public.scheduler_jobs order by name for no key update;
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
    'p_ramp_seconds. What came due in it stays skipped. Raises 22023 for a missing author or a ramp outside 0 to '
    '86400.';
