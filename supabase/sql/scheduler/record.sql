-- Records due occurrences: each gets its row in the ledger exactly once.

create function scheduler.grouped(p_number bigint) returns text
language sql immutable set search_path = '' as $$ select ltrim(to_char(p_number, 'FM999,999,999,999')) $$;
comment on function scheduler.grouped(bigint) is 'A number with its thousands apart: 40,320.';

-- The one place where a skip_kind becomes a sentence.
create function scheduler.skip_text(p_job public.scheduler_jobs, p_kind text, p_detail text default null) returns text
language sql stable set search_path = '' as $$
  select case p_kind
    when 'overlap' then format('overlap: run %s %s', p_detail, coalesce((
      select 'was waiting: ' || concat_ws(' ', waiting ->> 'for', waiting ->> 'name') from public.scheduler_runs
      where id = p_detail::uuid and status = 'queued'), 'was under way'))
    when 'calendar' then format('calendar: %s', p_detail)
    when 'dependency' then p_detail
    when 'breaker' then p_detail
    when 'queue_full' then format('queue full: run %s was at work and another one was waiting', p_detail)
    when 'superseded' then format('nobody fired it in time, and the occurrence of %s was due by then', p_detail)
    when 'misfire_once' then 'misfire policy once: made up for by a later run'
    when 'misfire_all' then format('misfire policy all: over its cap of %s', p_job.misfire_cap)
    when 'misfire_skip' then 'misfire policy skip'
    else scheduler.stop_text(p_job, p_kind)
  end;
$$;
comment on function scheduler.skip_text(public.scheduler_jobs, text, text) is
  'What a skip_kind says to people; the detail is the run that was under way or waited, the occurrence that was due, '
    'the label of a calendar, or what a dependency or a breaker says.';

-- Why an occurrence does not run beside what is under way: null when it is sent or may wait.
create function scheduler.overlap_kind(
  p_job public.scheduler_jobs, p_holder_trigger text, p_catch_up_waits boolean, p_other_waits boolean
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_holder_trigger is null then null
    -- An occurrence waits for a run that was caught up: catching up must not cost the next occurrence its run.
    when (p_holder_trigger = 'catch_up' or p_catch_up_waits) and (p_job.misfire_policy = 'all' or not p_other_waits)
      then null
    when p_job.overlap_policy = 'skip' then 'overlap'
    when p_catch_up_waits or p_other_waits then 'queue_full'
  end;
$$;
comment on function scheduler.overlap_kind(public.scheduler_jobs, text, boolean, boolean) is
  'Whether an occurrence is skipped (overlap, queue_full) because of the run that holds the job''s lock, by that '
    'run''s trigger and by what waits already; null when it is not.';

create function scheduler.interval_start(p_job public.scheduler_jobs, p_occurrence timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return case
    -- Nearly always known: the cursor keeps the occurrence before it.
    when p_occurrence = p_job.next_run_at and p_job.previous_run_at is not null then p_job.previous_run_at
    when p_job.schedule is not null then scheduler.previous_occurrence(p_job.schedule, p_job.time_zone,
      p_occurrence - interval '1 microsecond') end;
exception when invalid_parameter_value then
  return null;  -- Postgres does not know its zone any more; a call by hand must not fail for that
end;
$$;
comment on function scheduler.interval_start(public.scheduler_jobs, timestamptz) is
  'The occurrence of the job''s schedule before that moment; null when there is none.';

-- Any number from 0 up to the jitter that is always the same for the job and the occurrence.
create function scheduler.jitter(p_job_name text, p_occurrence timestamptz, p_jitter_seconds integer) returns interval
language sql immutable set search_path = '' as $$
  select make_interval(secs => p_jitter_seconds * (
    ('x' || left(md5(p_job_name || ' ' || extract(epoch from p_occurrence)::bigint), 8))::bit(32)::bigint
    / 4294967296.0));
$$;
comment on function scheduler.jitter(text, timestamptz, integer) is
  'How much later than its time an occurrence is sent: less than p_jitter_seconds, spread over occurrences and jobs.';

create function scheduler.under_way(p_job public.scheduler_jobs, p_now timestamptz) returns public.scheduler_runs
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  select runs.* into v_run
    from public.scheduler_locks as locks join public.scheduler_runs as runs on runs.id = locks.run_id
    where locks.name = p_job.name and locks.expires_at > p_now;
  if v_run.id is null and (p_job.jitter_seconds > 0 or not scheduler.is_plain(p_job)) then
    -- An occurrence that waits for something else than a run before it holds up those after it.
    select * into v_run from public.scheduler_runs
      where job_name = p_job.name and status = 'queued' and waiting ->> 'for' is distinct from 'lock'
        and (trigger in ('cron', 'deferred')
          -- It stands in line, and takes the lock when it is sent.
          or coalesce(run_after, p_now) <= p_now and trigger <> 'backfill' and scheduler.has_slots(p_job))
      order by scheduled_for limit 1;
  end if;
  return v_run;
end;
$$;
comment on function scheduler.under_way(public.scheduler_jobs, timestamptz) is
  'The run that an occurrence of a job with a lock meets: the one that holds the lock, else one that waits for a '
    'dependency, tokens or a limit; null when the way is free.';

create function scheduler.start_occurrence(p_job public.scheduler_jobs, p_scheduled_for timestamptz, p_now timestamptz)
returns uuid
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_holder public.scheduler_runs;
begin
  if scheduler.takes_lock(p_job) then
    v_holder := scheduler.under_way(p_job, p_now);
  end if;
  -- pg_cron's entries start within two seconds, those of seconds within their period; a later occurrence was found by
  -- the pulse, after a restart for example.
  v_run := scheduler.new_run(p_job,
    case when p_scheduled_for > p_now - case when scheduler.entry_needs_seconds(p_job.cron_entry)
      then interval '1 minute' else interval '10 seconds' end then 'cron' else 'catch_up' end, p_scheduled_for);
  v_run.interval_from := scheduler.asked_from(p_job, p_scheduled_for);
  if v_holder.id is not null then
    select scheduler.overlap_kind(p_job, case when scheduler.is_backfill(v_holder) then 'catch_up'
          else v_holder.trigger end,
        coalesce(bool_or(trigger = 'catch_up'), false), coalesce(bool_or(trigger = 'cron'), false)) into v_run.skip_kind
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and id <> v_holder.id;
    v_run.stands_for := case when v_run.skip_kind is not null then v_holder.id end;
    v_run.waiting := scheduler.wait_facts('lock', p_job.name, p_now, null);
  end if;
  if v_run.skip_kind is not null then
    v_run := scheduler.skipped_run(p_job, v_run, v_run.skip_kind, v_holder.id::text, p_now);
  elsif p_job.jitter_seconds > 0
    and p_scheduled_for + scheduler.jitter(p_job.name, p_scheduled_for, p_job.jitter_seconds) > p_now then
    v_run.run_after := p_scheduled_for + scheduler.jitter(p_job.name, p_scheduled_for, p_job.jitter_seconds);
    v_run.waiting := scheduler.wait_facts('jitter', null, p_now, v_run.run_after);
  end if;

  select * into v_run from scheduler.add_runs(array[v_run]);
  if v_run.id is not null and v_holder.id is null and v_run.run_after is null then
    if scheduler.has_slots(p_job) then
      perform scheduler.send_queued(p_job, p_now);
    else
      perform scheduler.send_run(p_job, v_run, p_now);
    end if;
  end if;
  return v_run.id;
end;
$$;
comment on function scheduler.start_occurrence(public.scheduler_jobs, timestamptz, timestamptz) is
  'Writes the ledger row of a due occurrence and sends it, lets it wait, or says why not (overlap, queue_full). '
    'Returns the run, null when the occurrence had its row already. The caller holds the job''s row lock.';

create function scheduler.planned_run(
  p_job public.scheduler_jobs, p_planned scheduler.planned_occurrence, p_started text, p_now timestamptz
) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.new_run(
    p_job, case p_planned.fate when 'catch_up' then 'catch_up' else 'cron' end, p_planned.occurrence);
begin
  v_run.occurrences := p_planned.occurrences;
  v_run.scheduled_until := case when p_planned.occurrences > 1 then p_planned.until end;
  if p_planned.fate = 'catch_up' then
    v_run.interval_from := scheduler.asked_from(p_job, p_planned.occurrence);
    return v_run;
  end if;
  v_run.completed_at := p_now;
  if p_planned.fate = 'faulty' then
    v_run.status := 'failed';
    v_run.verdict := 'dispatch_failed';
    v_run.error_message := p_planned.fault;
    return v_run;
  end if;
  v_run.status := case when p_planned.fate = 'superseded' or p_planned.fate like 'misfire%' then 'missed'
    else 'skipped' end;
  v_run.verdict := v_run.status;
  v_run.skip_kind := p_planned.fate;
  v_run.skip_reason := scheduler.skip_text(p_job, p_planned.fate, coalesce(p_planned.fault, p_started));
  return v_run;
end;
$$;
comment on function scheduler.planned_run(public.scheduler_jobs, scheduler.planned_occurrence, text, timestamptz) is
  'The row of a planned occurrence that does not start now: skipped, missed, failed before it could be sent, or '
    'waiting to be caught up; p_started is the occurrence that starts instead.';

create function scheduler.record_planned(
  p_job public.scheduler_jobs, p_plan scheduler.planned_occurrence[], p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_started text := (
    select scheduler.local_text(max(occurrence), p_job.time_zone) from unnest(p_plan) where fate = 'start');
  v_missed bigint;
  v_first timestamptz;
  v_last timestamptz;
begin
  with recorded as (
    select * from scheduler.add_runs(array(
      select scheduler.planned_run(p_job, planned, v_started, p_now) from unnest(p_plan) as planned
      where fate <> 'start' and occurrences > 0
      order by occurrence)))
  select sum(occurrences), min(scheduled_for), max(coalesce(scheduled_until, scheduled_for)) into v_missed, v_first,
    v_last
    from recorded where status = 'missed';
  perform scheduler.log_missed(p_job, v_missed, v_first, v_last, p_now);
end;
$$;
comment on function scheduler.record_planned(public.scheduler_jobs, scheduler.planned_occurrence[], timestamptz) is
  'Writes the rows of planned occurrences that do not start now. The caller holds the job''s row lock.';

create function scheduler.entry_covers(p_entry text, p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.entry_needs_seconds(p_entry) or scheduler.next_occurrence(p_entry, 'UTC',
    date_trunc('minute', p_at) - interval '1 microsecond') = date_trunc('minute', p_at);
$$;
comment on function scheduler.entry_covers(text, timestamptz) is
  'Whether that UTC cron entry fires in that minute; one of seconds does in each.';

create function scheduler.move_cursor(p_job public.scheduler_jobs, p_previous timestamptz, p_next timestamptz)
returns void
language plpgsql set search_path = '' as $$
declare
  v_entry text;
begin
  -- Zones change their rules, UTC has none. The entry in pg_cron is checked against each next occurrence.
  if p_job.time_zone <> 'UTC' and p_next is not null and not scheduler.entry_covers(p_job.cron_entry, p_next) then
    v_entry := scheduler.compile_schedule(p_job.schedule, p_job.time_zone);
  end if;
  update public.scheduler_jobs
    set next_run_at = p_next, previous_run_at = p_previous, cron_entry = coalesce(v_entry, cron_entry)
    where name = p_job.name;
  if v_entry is not null then
    perform scheduler.sync_cron_entry(p_job.name);
  end if;
end;
$$;
comment on function scheduler.move_cursor(public.scheduler_jobs, timestamptz, timestamptz) is
  'Sets the job''s next occurrence and the one before it, and compiles pg_cron''s entry anew when it does not cover '
    'it.';

create function scheduler.record_due(p_job public.scheduler_jobs, p_now timestamptz) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_previous timestamptz := p_job.next_run_at;
  v_next timestamptz;
  v_plan scheduler.planned_occurrence[];
  v_planned scheduler.planned_occurrence;
  v_others boolean := false;
  v_run_id uuid;
begin
  if p_job.next_run_at is null or p_job.next_run_at > p_now then
    return null;
  end if;
  v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_job.next_run_at);
  v_plan := scheduler.plan_occurrences(p_job, v_next, p_now);
  if v_next <= p_now then
    v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_now);
    v_previous := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_now);
  end if;

  foreach v_planned in array v_plan loop
    v_others := v_others or v_planned.fate <> 'start';
  end loop;
  if v_others then
    perform scheduler.record_planned(p_job, v_plan, p_now);
    perform scheduler.send_queued(p_job, p_now);
  end if;
  foreach v_planned in array v_plan loop
    if v_planned.fate = 'start' then
      v_run_id := scheduler.start_occurrence(p_job, v_planned.occurrence, p_now);
    end if;
  end loop;
  perform scheduler.move_cursor(p_job, v_previous, v_next);
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, array(
      select scheduled_for from public.scheduler_runs
      where job_name = p_job.name and scheduled_for in (select occurrence from unnest(v_plan)) and attempt = 1
        and trigger <> 'manual' and occurrences = 1
        and coalesce(skip_kind, '') not in ('calendar', 'overlap', 'queue_full')
      order by 1), p_now);
    perform scheduler.follow_beyond(p_job, p_now);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.record_due(public.scheduler_jobs, timestamptz) is
  'Gives every occurrence from the job''s cursor to p_now its row: started, skipped, missed or caught up by the '
    'policies; then moves the cursor. Returns the last run it started. The caller holds the job''s row lock.';

-- Which of the three witnesses is missing: did pg_cron not fire at all, or did its statement fail? Asked once for all
-- occurrences that a transaction found missed, and only of the newest rows: cron.job_run_details is long and has no
-- index but its run id.
create function scheduler.name_failed_dispatches(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  update public.scheduler_runs as runs set verdict = 'dispatch_failed'
  from (
    select distinct entries.jobname, date_trunc('minute', details.start_time) as minute
    from (select * from cron.job_run_details order by runid desc limit 20000) as details
    join cron.job as entries on entries.jobid = details.jobid
    where details.status = 'failed'
  ) as failed
  where runs.status = 'missed' and runs.completed_at = p_now and runs.occurrences = 1
    and runs.job_name = failed.jobname and date_trunc('minute', runs.scheduled_for) = failed.minute;
exception when query_canceled or others then
  -- Naming the cause is a help alone: its failure must not undo what was recorded and sent.
  raise warning 'cannot tell which dispatches failed: %', sqlerrm;
end;
$$;
comment on function scheduler.name_failed_dispatches(timestamptz) is
  'Of the occurrences that were found missed at p_now: those whose minute pg_cron fired in vain, by its own record, '
    'are dispatch_failed.';
