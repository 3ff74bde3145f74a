-- The pulse does in SQL the work that no dispatch or receipt does. It works while every edge function is down.

create function scheduler.jobs_to_attend(p_now timestamptz, p_to_hear text[], p_after text,
  p_limit integer) returns text[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select name from (
      select name from public.scheduler_jobs where enabled and next_run_at <= p_now
      union
      select job_name from public.scheduler_runs where status = 'queued' and run_after <= p_now
      union
      select job_name from scheduler.wakes where wake_at <= p_now
      union
      -- A run that held the lock was not heard of again.
      select name from public.scheduler_locks where expires_at <= p_now
      union
      select unnest(p_to_hear)
    ) as jobs (name)
    where name > coalesce(p_after, '')
    order by name limit p_limit);
end;
$$;
comment on function scheduler.jobs_to_attend(timestamptz, text[], text, integer) is
  'The first p_limit jobs by name, behind p_after, for which there is something to do: those to hear, those with a '
    'due occurrence, those with a waiting run whose time has come, those that were woken. Runs that wait for a lock '
    'or a limit are sent by the transaction that frees it.';

-- What wakes a job is an event, and somebody may have changed a row by hand. Once a minute all are looked at.
create function scheduler.wake_waiting(p_now timestamptz) returns integer
language sql set search_path = '' as $$
  with recursive waiting as (
    (select job_name from public.scheduler_runs where status = 'queued' and run_after is null
      order by job_name limit 1)
    union all
    select (select runs.job_name from public.scheduler_runs as runs
      where status = 'queued' and run_after is null and runs.job_name > waiting.job_name
      order by runs.job_name limit 1)
    from waiting where waiting.job_name is not null
  ), woken as (
    insert into scheduler.wakes (job_name, wake_at)
    select job_name, 'epoch'::timestamptz from waiting where job_name is not null
    union
    select name, 'epoch' from public.scheduler_jobs where continuous and enabled and not exists (
      select from public.scheduler_runs
      where job_name = name and status in ('queued', 'dispatched', 'running'))
    returning 1
  )
  select count(*)::integer from woken;
$$;
comment on function scheduler.wake_waiting(timestamptz) is
  'Wakes all jobs of which a run waits for a lock or a limit, and continuous ones without a run. Returns how many.';

create function scheduler.attend_jobs(p_now timestamptz, p_budget_ms integer) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_limit constant integer := 100;
  v_until constant timestamptz := clock_timestamp() + p_budget_ms * interval '1 millisecond';
  v_to_hear text[] := array(select scheduler.jobs_to_hear(p_now));
  v_names text[] := scheduler.jobs_to_attend(p_now, v_to_hear, (select resume_after from scheduler.pulse_state),
    v_limit);
  v_opens constant boolean := scheduler.opens_line();
  v_report jsonb := scheduler.advance_jobs(v_names, v_to_hear, p_now, v_until);
  v_line jsonb;
  v_stopped_at text;
begin
  if v_opens then
    v_line := scheduler.send_line(p_now, clock_timestamp() + p_budget_ms * interval '1 millisecond');
    v_report := v_report || jsonb_build_object('sent', (v_report ->> 'sent')::integer + (v_line ->> 'sent')::integer,
      'errors', v_report -> 'errors' || (v_line -> 'errors'));
  end if;
  v_stopped_at := case
    when v_report ->> 'last' <> v_names[cardinality(v_names)] or cardinality(v_names) = v_limit
      then v_report ->> 'last' end;
  update scheduler.pulse_state set resume_after = v_stopped_at;
  return v_report - 'last' || jsonb_build_object('more',
    v_stopped_at is not null or coalesce((v_line ->> 'more')::boolean, false));
end;
$$;
comment on function scheduler.attend_jobs(timestamptz, integer) is
  'advance_jobs for those that need it, by name, from where the last pulse stopped, for about p_budget_ms, and then '
    'for as long what stands in line: a receipt of these jobs waits no longer. Jobs that somebody else holds are left '
    'to the next pulse. "more" says whether it stopped early.';

-- A step that fails, by a statement timeout too, is undone alone: the other steps and the pulse's own mark stay.
create function scheduler.pulse_step(p_step text, p_now timestamptz, p_budget_ms integer) returns jsonb
language plpgsql set search_path = '' as $$
begin
  if p_step in ('answers', 'jobs') then
    perform scheduler.requests_since();
  end if;
  return case p_step
    when 'pruned' then scheduler.prune(p_now)
    when 'mended' then scheduler.mend_cron_entries() || jsonb_build_object('woken', scheduler.wake_waiting(p_now))
    when 'rolled up' then jsonb_build_object('rolled_up', scheduler.roll_up(p_now))
    when 'pulse entry' then jsonb_build_object('pulse_entry', scheduler.sync_pulse_entry())
    when 'answers' then jsonb_build_object(
      'answers', scheduler.note_answers(p_now), 'closed', scheduler.close_unanswered(p_now))
    when 'forecasts' then scheduler.attend_forecasts(p_now, p_budget_ms)
    when 'alerts' then scheduler.attend_alerts(p_now)
    when 'jobs' then scheduler.attend_jobs(p_now, p_budget_ms)
  end;
exception when query_canceled or others then
  raise warning 'the pulse''s step % failed: %', p_step, sqlerrm;
  return jsonb_build_object('failed', true, 'errors', jsonb_build_object('step ' || p_step, sqlerrm));
end;
$$;
comment on function scheduler.pulse_step(text, timestamptz, integer) is
  'One step of the pulse: its counts, "more" when there is more to do at once, {"errors": {job or step: message}} for '
    'what failed.';

create function scheduler.pulse_steps(p_state scheduler.pulse_state, p_now timestamptz) returns text[]
language sql immutable set search_path = '' as $$
  select array_remove(array[
    case when prunes then 'pruned' end,
    case when prunes then 'pulse entry' end,
    case when mends then 'mended' end,
    case when rolls_up then 'rolled up' end,
    case when rolls_up or p_state.forecasts_left then 'forecasts' end,
    -- Once a round of the jobs.
    case when p_state.resume_after is null then 'answers' end,
    'alerts',
    -- The jobs come last: their locks are held until the pulse commits.
    'jobs'], null)
  -- A mark in the future was written by a clock that was ahead and went back.
  from (select
    coalesce(p_now < p_state.last_pruned_at or p_now >= p_state.last_pruned_at + interval '1 hour', true) as prunes,
    coalesce(p_now < p_state.last_mended_at or p_now >= p_state.last_mended_at + interval '1 minute',
      true) as mends,
    scheduler.rollup_step(p_state.last_rolled_up_at, p_now) is not null as rolls_up) as due;
$$;
comment on function scheduler.pulse_steps(scheduler.pulse_state, timestamptz) is
  'What a pulse at p_now does, in order: pg_cron''s entries are mended every minute, counters rolled up and '
    'forecasts looked at every five, pruning begins every hour.';

create function scheduler.pulse(p_now timestamptz default now(), p_budget_ms integer default 50) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_state scheduler.pulse_state;
  v_step text;
  v_told jsonb;
  v_succeeded text[] := array[]::text[];
  v_errors jsonb;
  v_report jsonb := jsonb_build_object('beat', true, 'answers', 0, 'more', false);
begin
  select * into v_state from scheduler.pulse_state for update skip locked;
  if not found then
    if not exists (select from scheduler.pulse_state) then
      insert into scheduler.pulse_state default values on conflict do nothing;  -- somebody emptied it
    end if;
    return jsonb_build_object('beat', false, 'reason', 'another pulse is at work');
  end if;
  -- A round that goes on where the last pulse stopped keeps what failed so far.
  v_errors := case when v_state.resume_after is null then jsonb_build_object() else v_state.errors end;

  foreach v_step in array scheduler.pulse_steps(v_state, p_now) loop
    v_told := scheduler.pulse_step(v_step, p_now, p_budget_ms);
    v_errors := v_errors || coalesce(v_told -> 'errors', jsonb_build_object());
    if not v_told ? 'failed' then
      v_succeeded := v_succeeded || v_step;
    end if;
    v_report := v_report || v_told || jsonb_build_object(
      'answers', (v_report ->> 'answers')::integer + coalesce((v_told ->> 'answers')::integer, 0),
      'more', (v_report ->> 'more')::boolean or coalesce((v_told ->> 'more')::boolean, false));
    if v_step = 'pruned' and coalesce((v_told ->> 'more')::boolean, false) then
      v_succeeded := array_remove(v_succeeded, v_step);  -- there are more old rows: the next pulse goes on at once
    end if;
  end loop;

  update scheduler.pulse_state set
    -- A pulse in which every step failed leaves no mark.
    last_pulse_at = case when v_succeeded <> '{}' then p_now else last_pulse_at end,
    last_mended_at = case when 'mended' = any (v_succeeded) then p_now else last_mended_at end,
    last_pruned_at = case when 'pruned' = any (v_succeeded) then p_now else last_pruned_at end,
    last_rolled_up_at = case when 'rolled up' = any (v_succeeded) then p_now else last_rolled_up_at end,
    errors = v_errors;
  return v_report - 'failed' || jsonb_build_object('errors', v_errors);
end;
$$;
comment on function scheduler.pulse(timestamptz, integer) is
  'One pulse, one transaction: reads answers, judges silent runs, records missed occurrences, sends what waits, for '
    'about p_budget_ms; mends pg_cron''s entries every minute, rolls counters up every five, prunes hourly. Returns '
    'the counts; "more" when there is more to do at once. Safe to call twice at once: the second does nothing.';

-- pg_cron's statement commits after each beat: see scheduler.pulse_command().
create function scheduler.beat() returns boolean
language plpgsql set search_path = '' as $$
begin
  return (scheduler.pulse() ->> 'more')::boolean and clock_timestamp() < statement_timestamp() + interval '8 seconds';
end;
$$;
comment on function scheduler.beat() is
  'A pulse; true when there is more to do at once and the statement that calls it has lasted less than 8 seconds.';

-- The pulse is the only entry in pg_cron that is no job.
select scheduler.sync_pulse_entry();
