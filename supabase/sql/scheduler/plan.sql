-- Decides the fate of the occurrences that are due. Writes nothing.

create type scheduler.planned_occurrence as (
  occurrence timestamptz, until timestamptz, occurrences integer, fate text, fault text
);
comment on type scheduler.planned_occurrence is
  'An occurrence that is due (or all of a gap, up to `until`) and its fate: start, catch_up, faulty (with the reason '
    'as its fault), or the skip_kind with which it is skipped (calendar: with the label as its fault).';

create function scheduler.run_if_answer(p_job public.scheduler_jobs, p_occurrence timestamptz) returns text
language plpgsql set search_path = '' as $$
begin
  return case when scheduler.has_work(p_job, p_occurrence) then 'work' else 'no work' end;
exception when query_canceled or others then
  return sqlerrm;
end;
$$;
comment on function scheduler.run_if_answer(public.scheduler_jobs, timestamptz) is
  'What the job''s run_if says of an occurrence: work, no work, or the reason why it could not be asked.';

create function scheduler.work_answer(p_job public.scheduler_jobs, p_occurrence timestamptz) returns text
language plpgsql set search_path = '' as $$
begin
  return case when scheduler.is_left_out(p_job, p_occurrence) then 'no work'
    else scheduler.run_if_answer(p_job, p_occurrence) end;
end;
$$;
comment on function scheduler.work_answer(public.scheduler_jobs, timestamptz) is
  'What the job''s stretch and then its run_if say of an occurrence that is due: see run_if_answer.';

-- A gap of more occurrences than this is one row of the ledger.
create function scheduler.gap_rows() returns integer
language sql immutable set search_path = '' as $$ select 1000 $$;
comment on function scheduler.gap_rows() is
  'Up to so many missed occurrences each get a row of their own; more get one row that counts them.';

-- After somebody moved the cursor back, gap rows lie ahead of it; their occurrences are not counted again.
create function scheduler.unrecorded_segments(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, stop text)
language sql stable set search_path = '' as $$
  select lower(free), upper(free), segments.stop
  from scheduler.stop_segments(p_job, p_from, p_to) as segments,
    unnest(tstzmultirange(tstzrange(segments.starts_at, segments.ends_at)) - coalesce((
      select range_agg(tstzrange(scheduled_for, scheduled_until + interval '1 microsecond')) from public.scheduler_runs
      where job_name = p_job.name and occurrences > 1 and scheduled_until >= p_from), '{}')) as free;
$$;
comment on function scheduler.unrecorded_segments(public.scheduler_jobs, timestamptz, timestamptz) is
  '[p_from, p_to) without the stretches for which there are gap rows, cut where something begins or ceases to stop '
    'the job.';

create function scheduler.plan_gap(
  p_job public.scheduler_jobs, p_from timestamptz, p_last timestamptz, p_count bigint, p_kind text
) returns scheduler.planned_occurrence
language plpgsql stable set search_path = '' as $$
declare
  v_first timestamptz := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_from - interval '1 microsecond');
  v_recorded constant timestamptz[] := array(
    select scheduled_for from public.scheduler_runs
    where job_name = p_job.name and scheduled_for between p_from and p_last and attempt = 1 and trigger <> 'manual');
begin
  -- The same for rows of single occurrences; and the row of the first one would be in the way of the gap's own.
  if v_first = any (v_recorded) then
    v_first := (
      select min(at) from (
        select at from scheduler.occurrences(p_job.schedule, p_job.time_zone, v_first, p_last + interval '1 '
          'microsecond') as at
        except select unnest(v_recorded)) as unrecorded);
  end if;
  return (v_first, p_last, p_count - cardinality(v_recorded), p_kind, null)::scheduler.planned_occurrence;
end;
$$;
comment on function scheduler.plan_gap(public.scheduler_jobs, timestamptz, timestamptz, bigint, text) is
  'The one row for those of p_count occurrences from p_from to p_last, the last of them, that have no row yet.';

create function scheduler.plan_late(
  p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz, p_room integer
) returns setof scheduler.planned_occurrence
language plpgsql set search_path = '' as $$
declare
  v_segment record;
  v_listed timestamptz[];
  v_kept timestamptz[];
  v_rest timestamptz[];
  v_room integer := p_room;
  v_count bigint;
  v_is_gap boolean;
  v_kind text;
begin
  -- The newest first: they are the ones that are made up for.
  for v_segment in select * from scheduler.unrecorded_segments(p_job, p_from, p_to) order by starts_at desc loop
    v_kind := coalesce(v_segment.stop, 'misfire_' || p_job.misfire_policy);
    v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at);
    v_is_gap := v_count > scheduler.gap_rows() + v_room;
    v_listed := scheduler.newest_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at,
      case when v_is_gap then v_room + 1 else v_count::integer end);
    if (p_job.run_if is not null or p_job.stretch_after is not null) and not v_is_gap then
      v_listed := array(select at from unnest(v_listed) as at where scheduler.work_answer(p_job, at) <> 'no work'
        order by at);
    end if;
    v_kept := case when v_segment.stop is not null then '{}' else array(
      select at from (
        select at from unnest(v_listed) as at where scheduler.calendar_label(p_job, at) is null
        order by at desc limit v_room) as newest
      order by at) end;
    v_room := v_room - cardinality(v_kept);
    v_rest := array(select at from unnest(v_listed) as at where at <> all (v_kept) order by at);
    return query
      select at, null::timestamptz, 1, case answer when 'work' then 'catch_up' else 'faulty' end, case
        when answer <> 'work' then answer end
      from unnest(v_kept) as at, lateral (select scheduler.work_answer(p_job, at) as answer) as asked
      where answer <> 'no work';
    if not v_is_gap then
      return query
        select at, null::timestamptz, 1, case when v_segment.stop is null and label is not null then 'calendar'
          else v_kind end, case when v_segment.stop is null then label end
        from unnest(v_rest) as at, lateral scheduler.calendar_label(p_job, at) as label;
    else
      return query select * from scheduler.plan_gap(p_job, v_segment.starts_at, v_rest[cardinality(v_rest)],
        v_count - cardinality(v_kept), v_kind);
    end if;
  end loop;
end;
$$;
comment on function scheduler.plan_late(public.scheduler_jobs, timestamptz, timestamptz, integer) is
  'Occurrences in [p_from, p_to) that are too late to run as if nothing had happened: the newest p_room that nothing '
    'stops are caught up, the others are stopped, turned away by a calendar, or misfires: a row each or, when there '
    'are more than gap_rows(), one row for all.';

create function scheduler.plan_on_time(p_job public.scheduler_jobs, p_due timestamptz[], p_now timestamptz)
returns setof scheduler.planned_occurrence
language sql set search_path = '' as $$
  with due as (
    select at, coalesce(scheduler.stop_kind(p_job, at), scheduler.stop_now(p_job, p_now)) as stop,
      scheduler.calendar_label(p_job, at) as label, scheduler.work_answer(p_job, at) as answer
    from unnest(p_due) as at
  ), with_work as (
    select *, at = max(at) filter (where stop is null and label is null and answer = 'work') over () as newest
    from due where answer <> 'no work'
  )
  select at, null::timestamptz, 1,
    case
      when stop is not null then stop
      when label is not null then 'calendar'
      when answer <> 'work' then 'faulty'
      when newest or not scheduler.takes_lock(p_job) then 'start'
      -- The older ones were not dispatched. Only one run at a time may have the lock, and the newest counts.
      when p_job.misfire_policy = 'all' then 'catch_up'
      else 'superseded'
    end,
    case when stop is not null then null when label is not null then label when answer <> 'work' then answer end
  from with_work order by at;
$$;
comment on function scheduler.plan_on_time(public.scheduler_jobs, timestamptz[], timestamptz) is
  'Occurrences that are due and not too late, in order. Where runs must not overlap, the newest that has work starts; '
    'older ones, which nobody fired, are caught up with misfire policy all and superseded with the others.';

create function scheduler.first_asked(p_job public.scheduler_jobs) returns timestamptz
language sql stable set search_path = '' as $$
  select coalesce((
    select asked_again_at from scheduler.stretches
    where job_name = p_job.name and p_job.next_run_at > asked_for and p_job.next_run_at < asked_again_at),
    p_job.next_run_at);
$$;
comment on function scheduler.first_asked(public.scheduler_jobs) is
  'The first occurrence from the job''s cursor on that is not left out.';

create function scheduler.plan_occurrences(p_job public.scheduler_jobs, p_next timestamptz, p_now timestamptz)
returns scheduler.planned_occurrence[]
language plpgsql set search_path = '' as $$
declare
  -- pg_cron's own minute always counts as in time.
  v_on_time_from constant timestamptz := p_now - make_interval(secs => greatest(60, p_job.misfire_grace_seconds));
  v_late_from timestamptz := p_job.next_run_at;
  v_due timestamptz[];
  v_plan scheduler.planned_occurrence[];
begin
  -- Nearly always one occurrence is due, the cursor itself.
  v_due := case
    when p_next <= p_now then array(select at from scheduler.occurrences(p_job.schedule, p_job.time_zone,
      greatest(p_job.next_run_at, v_on_time_from), p_now + interval '1 microsecond') as at order by at)
    when p_job.next_run_at >= v_on_time_from then array[p_job.next_run_at]
    else '{}' end;
  if v_due = array[p_job.next_run_at] and p_job.run_if is null and p_job.stretch_after is null
    and p_job.calendars = '{}' and p_job.paused_at is null and p_job.group_paused_at is null
    and p_job.stopped_at is null then
    return array[(p_job.next_run_at, null, 1, 'start', null)::scheduler.planned_occurrence];
  end if;
  v_plan := array(select planned from scheduler.plan_on_time(p_job, v_due, p_now) as planned);
  if v_late_from < v_on_time_from then
    -- What is left out would else be missed where there is so much of it that it shares one row.
    v_late_from := scheduler.first_asked(p_job);
  end if;
  if v_late_from < v_on_time_from then
    v_plan := v_plan || array(select planned from scheduler.plan_late(
      p_job, v_late_from, v_on_time_from,
      case p_job.misfire_policy
        when 'all' then p_job.misfire_cap
        -- One run makes up for all missed ones; an occurrence that starts now is such a run.
        when 'once' then (not exists (select from unnest(v_plan) where fate = 'start'))::integer
        else 0 end) as planned);
  end if;
  return v_plan;
end;
$$;
comment on function scheduler.plan_occurrences(public.scheduler_jobs, timestamptz, timestamptz) is
  'The fate of every occurrence from the job''s cursor to p_now; p_next is the first occurrence after the cursor. '
    'Writes nothing.';
