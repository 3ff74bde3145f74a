-- Back-fill: the occurrences of a past range are run with their own intervals, beside the live schedule and behind it.

create type scheduler.backfill_occurrence as (scheduled_for timestamptz, state text, gap_id uuid);
comment on type scheduler.backfill_occurrence is
  'An occurrence of a range that may be run again: its state as scheduler.occurrence_state has it (null: it has no '
    'row), and the row of many occurrences that it shares, if it does.';

-- What becomes of an occurrence in a back-fill: null when it is queued, else why it is left as it is.
create function scheduler.backfill_fault(p_state text, p_skip_kind text, p_reprocess text, p_label text, p_work text)
returns text
language sql immutable set search_path = '' as $$
  select case
    when p_state in ('open', 'deferred') then 'an attempt of it waits or is under way'
    when p_label is not null then 'calendar: ' || p_label
    when p_work is distinct from 'work' then case p_work when 'no work' then 'there was nothing to do, by its run_if'
      else p_work end
    when p_reprocess = 'all' then null
    when p_state = 'completed' then 'it has completed'
    when p_reprocess = 'failed' then case when coalesce(p_state, '') not in ('failed', 'cancelled')
      then 'it has not failed' end
    when p_state in ('failed', 'cancelled') then 'it has ' || case p_state when 'failed' then 'failed' else 'been '
      'cancelled' end
    when p_skip_kind in ('overlap', 'queue_full', 'left_out') then 'another run stands for it' end;
$$;
comment on function scheduler.backfill_fault(text, text, text, text, text) is
  'Why an occurrence is left as it is, by its state and skip_kind (left_out: see is_stood_for), what is to be '
    'processed again (missed: what never ran; failed; all), the label of a calendar, and what its run_if says; null '
    'when it is queued.';

create function scheduler.occurrences_between(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns setof scheduler.backfill_occurrence
language plpgsql stable set search_path = '' as $$
begin
  return query
    with listed as (
      select at from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_from, p_to) as at
      where p_job.schedule is not null
      union
      select scheduled_for from public.scheduler_runs
      where job_name = p_job.name and scheduled_for >= p_from and scheduled_for < p_to and occurrences = 1
        and attempt = 1 and trigger in ('cron', 'catch_up', 'dependency', 'backfill')
    )
    select at, coalesce(case when gap.id is null then scheduler.occurrence_state(p_job.name, at) end, gap.status),
      gap.id
    from listed left join public.scheduler_runs as gap
      on gap.job_name = p_job.name and gap.occurrences > 1 and at between gap.scheduled_for and gap.scheduled_until
    order by at;
end;
$$;
comment on function scheduler.occurrences_between(public.scheduler_jobs, timestamptz, timestamptz) is
  'The job''s occurrences in [p_from, p_to), by its schedule and by the ledger, ascending. Raises 22023 for a time '
    'zone that Postgres does not know.';

create function scheduler.is_stood_for(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.is_left_out(p_job, p_occurrence) or coalesce((
    select interval_from < p_occurrence and status not in ('skipped', 'missed') from public.scheduler_runs
    where job_name = p_job.name and scheduled_for > p_occurrence and attempt = 1 and trigger in ('cron', 'catch_up')
    order by scheduled_for limit 1), false);
$$;
comment on function scheduler.is_stood_for(public.scheduler_jobs, timestamptz) is
  'Whether an occurrence without a row was left out by a stretch: the interval of the run after it includes it.';

create function scheduler.plan_backfill(
  p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz, p_reprocess text, p_newest_first boolean,
  p_at_most integer
) returns table (scheduled_for timestamptz, state text, gap_id uuid, fault text)
language sql set search_path = '' as $$
  with judged as (
    select found.*, scheduler.backfill_fault(found.state, kind.skip_kind, p_reprocess,
      scheduler.calendar_label(p_job, found.scheduled_for), scheduler.run_if_answer(p_job,
        found.scheduled_for)) as fault
    from scheduler.occurrences_between(p_job, p_from, p_to) as found, lateral (
      select coalesce(max(skip_kind), case when found.state is null
        and scheduler.is_stood_for(p_job, found.scheduled_for) then 'left_out' end) as skip_kind
      from public.scheduler_runs as runs
      where job_name = p_job.name and runs.scheduled_for = found.scheduled_for and attempt = 1) as kind
  ), placed as (
    select *, count(*) filter (where fault is null) over (order by
      case when p_newest_first then scheduled_for end desc, scheduled_for) as place
    from judged
  )
  select scheduled_for, state, gap_id,
    case when fault is null and place > p_at_most then format('beyond at_most, which is %s', p_at_most) else fault end
  from placed
  order by case when p_newest_first then scheduled_for end desc, scheduled_for;
$$;
comment on function scheduler.plan_backfill(
  public.scheduler_jobs, timestamptz, timestamptz, text, boolean, integer
) is
  'The occurrences of a range in the order in which they would run, with why each is left as it is (null: it is '
    'queued). Writes nothing.';

create function scheduler.assert_backfill(
  p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz, p_reprocess text, p_at_most integer
) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_count bigint;
  v_fault text := case
    when not p_job.enabled then 'it is disabled, and what waits of a disabled job is cancelled'
    when p_job.continuous then 'it is continuous and has no occurrences'
    when p_job.schedule is null and p_job.depends_on = '{}' then 'it has no schedule, and so no occurrences'
    when p_from is null or not isfinite(p_from) or p_to is null or not isfinite(p_to) or p_from >= p_to
      then format('from must be a moment before to, and both finite, got %s and %s', coalesce(p_from::text, 'null'),
        coalesce(p_to::text, 'null'))
    when p_reprocess is null or p_reprocess not in ('missed', 'failed', 'all')
      then format('reprocess must be ''missed'', ''failed'' or ''all'', got %s', coalesce(quote_literal(p_reprocess),
        'null'))
    when p_at_most is null or p_at_most not between 1 and 1000
      then format('at_most must be from 1 to 1000, got %s', coalesce(p_at_most::text, 'null')) end;
begin
  if v_fault is null and p_job.schedule is not null then
    v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, p_from, p_to);
    v_fault := case when v_count > 10000
      then format('the range has %s occurrences, at most 10,000 can be looked at: make it shorter',
        scheduler.grouped(v_count)) end;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot back-fill %s: %s', p_job.name, v_fault);
  end if;
end;
$$;
comment on function scheduler.assert_backfill(public.scheduler_jobs, timestamptz, timestamptz, text, integer) is
  'Raises 22023 for a job that has no occurrences or is disabled, a range that is none or too long, or another wrong '
    'argument.';

create function scheduler.open_gap(
  p_job public.scheduler_jobs, p_gap public.scheduler_runs, p_first timestamptz, p_last timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_open constant timestamptz[] := array(
    select scheduled_for from scheduler.occurrences_between(p_job, p_first, p_last + interval '1 microsecond')
    where gap_id = p_gap.id order by 1);
  v_rests public.scheduler_runs[] := array[p_gap, p_gap];
  v_count bigint;
begin
  -- What the row stood for was counted when it was written.
  perform set_config('daybook.opens_gap', 'on', true);
  delete from public.scheduler_runs where id = p_gap.id;
  v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, p_gap.scheduled_for, p_first);
  v_rests[1].occurrences := v_count;
  v_rests[1].scheduled_until := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone,
    p_first - interval '1 microsecond');
  v_rests[2].id := gen_random_uuid();
  v_rests[2].occurrences := p_gap.occurrences - v_count - cardinality(v_open);
  v_rests[2].scheduled_for := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_last);
  perform scheduler.add_runs(array(
    select scheduler.part_of_gap(rest, (rest).scheduled_for, (rest).scheduled_until, (rest).occurrences)
    from unnest(v_rests) as rest where (rest).occurrences > 0
    union all
    select scheduler.part_of_gap(p_gap, at, at, 1) from unnest(v_open) as at));
  perform set_config('daybook.opens_gap', '', true);
end;
$$;
comment on function scheduler.open_gap(public.scheduler_jobs, public.scheduler_runs, timestamptz, timestamptz) is
  'Gives the occurrences from p_first to p_last of a row that stands for many a row each; what lies before and behind '
    'them keeps one row each side. The caller holds the job''s row lock.';

create function scheduler.part_of_gap(
  p_gap public.scheduler_runs, p_first timestamptz, p_last timestamptz, p_count bigint
) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := p_gap;
begin
  v_run.id := case when p_first = p_gap.scheduled_for then p_gap.id else gen_random_uuid() end;
  v_run.scheduled_for := p_first;
  v_run.scheduled_until := case when p_count > 1 then p_last end;
  v_run.occurrences := p_count;
  return v_run;
end;
$$;
comment on function scheduler.part_of_gap(public.scheduler_runs, timestamptz, timestamptz, bigint) is
  'A row like that of a gap for some of its occurrences. Writes nothing.';

create function scheduler.backfill_run(
  p_job public.scheduler_jobs, p_scheduled_for timestamptz, p_place integer, p_now timestamptz
) returns public.scheduler_runs
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'backfill', p_scheduled_for);
begin
  v_run.attempt := coalesce((
    select max(attempt) from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = p_scheduled_for), 0) + 1;
  v_run.priority := scheduler.backfill_priority();
  -- Among themselves in the order that was chosen.
  v_run.turn := p_place;
  -- As it was told before: of the first run after a stretch it begins earlier.
  v_run.interval_from := coalesce((
    select interval_from from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = p_scheduled_for and trigger <> 'manual'
    order by attempt desc limit 1), scheduler.interval_start(p_job, p_scheduled_for));
  v_run.waiting := scheduler.wait_facts('parallel_limit', null, p_now, null);
  return v_run;
end;
$$;
comment on function scheduler.backfill_run(public.scheduler_jobs, timestamptz, integer, timestamptz) is
  'The run that processes an occurrence again. Writes nothing: see add_runs.';

create function scheduler.backfill(
  p_job_name text, p_from timestamptz, p_to timestamptz, p_reason text, p_author text,
  p_reprocess text default 'missed', p_newest_first boolean default false, p_at_most integer default 100,
  p_preview boolean default true, p_now timestamptz default clock_timestamp()
) returns table (scheduled_for timestamptz, local_time timestamp, state text, becomes text)
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_to constant timestamptz := least(p_to, p_now);
  v_chosen timestamptz[];
begin
  perform scheduler.assert_given(format('back-fill %s', p_job_name), 'reason and author',
    format('select * from scheduler.backfill(%L, now() - interval ''1 day'', now(), ''why'', ''who'')', p_job_name),
    p_reason, p_author);
  perform scheduler.assert_backfill(v_job, p_from, v_to, p_reprocess, p_at_most);
  return query
    select plan.scheduled_for, plan.scheduled_for at time zone v_job.time_zone, coalesce(plan.state, 'no row'),
      case when plan.fault is not null then 'left: ' || plan.fault when p_preview then 'would be queued'
        else 'queued' end
    from scheduler.plan_backfill(v_job, p_from, v_to, p_reprocess, p_newest_first, p_at_most) as plan;
  if p_preview then
    return;
  end if;
  select array_agg(plan.scheduled_for) into v_chosen
    from scheduler.plan_backfill(v_job, p_from, v_to, p_reprocess, p_newest_first, p_at_most) as plan
    where plan.fault is null;
  perform scheduler.open_gap(v_job, gap, min(at), max(at))
    from public.scheduler_runs as gap join unnest(v_chosen) as at on at between gap.scheduled_for
      and gap.scheduled_until
    where gap.job_name = v_job.name and gap.occurrences > 1
    group by gap;
  perform scheduler.add_runs(array(
    select scheduler.backfill_run(v_job, at, place::integer, p_now)
    from unnest(v_chosen) with ordinality as chosen (at, place) order by place));
  perform scheduler.audit('backfill', 'job', v_job.name, p_reason, p_author, null, jsonb_build_object('from', p_from,
    'to', v_to, 'reprocess', p_reprocess, 'newest_first', p_newest_first, 'queued', coalesce(cardinality(v_chosen), 0)),
    p_now);
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
end;
$$;
comment on function scheduler.backfill(
  text, timestamptz, timestamptz, text, text, text, boolean, integer, boolean, timestamptz
) is
  'Runs the occurrences of a job in [p_from, p_to), as far as they lie in the past, with their own intervals: those '
    'that never ran (p_reprocess missed), that failed, or all; the oldest or the newest first, at most p_at_most. One '
    'row each says what became of it, or (p_preview, the default) what would. They go one at a time, after all that '
    'is live. Raises SD001 for an unknown job; 22023 for a missing reason or author, a job that is disabled or has no '
    'occurrences, a range of more than 10,000, or another wrong argument.';

create function scheduler.cancel_backfill(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_cancelled bigint;
begin
  perform scheduler.assert_given(format('cancel the back-fill of %s', p_job_name), 'reason and author',
    format('select scheduler.cancel_backfill(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  v_cancelled := scheduler.cancel_waiting(v_job, true, p_reason, p_author, p_now);
  if v_cancelled = 0 then
    return format('no back-filled run of %s waits', v_job.name);
  end if;
  return format('%s of %s %s cancelled; what is under way goes on',
    scheduler.count_text(v_cancelled, 'back-filled run'), v_job.name, case v_cancelled when 1 then 'is' else 'are' end);
end;
$$;
comment on function scheduler.cancel_backfill(text, text, text, timestamptz) is
  'Cancels the back-filled runs of the job that wait, and says how many. Raises SD001 for an unknown job; 22023 for a '
    'missing reason or author.';
