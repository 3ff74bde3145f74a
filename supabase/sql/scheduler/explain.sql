-- Why did, or didn't, this job run at this time? One sentence for a tired person.

create function scheduler.wait_text(p_wait interval) returns text
language sql immutable set search_path = '' as $$
  select case
    when minutes < 120 then format('%s minutes', minutes)
    when minutes < 2880 then format('%s hours', round(minutes / 60.0))
    else format('%s days', round(minutes / 1440.0)) end
  from (select ceil(extract(epoch from p_wait) / 60)::bigint as minutes) as wait;
$$;
comment on function scheduler.wait_text(interval) is 'How long that is, as people say it.';

-- A retry is of what its first attempt was.
create function scheduler.origin(p_run public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select coalesce(
    (select trigger from public.scheduler_runs
      where p_run.trigger = 'retry' and job_name = p_run.job_name and scheduled_for = p_run.scheduled_for
      order by attempt limit 1),
    p_run.trigger);
$$;
comment on function scheduler.origin(public.scheduler_runs) is
  'What brought the run about: its trigger; of a retry that of the first attempt.';

create function scheduler.remedy_text(p_run public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select format('What to do: %s.', coalesce(case when p_run.function_name is null then verdicts.url_remedy end,
    verdicts.remedy)) || case
    when p_run.status <> 'failed' then ''
    -- One more attempt would have the same payload.
    when p_run.verdict = 'bad_input' then case when scheduler.origin(p_run) in ('cron', 'catch_up')
      then format(' Then: select scheduler.run_now(%L).', p_run.job_name) else '' end
    -- The person who called the function itself has the call at hand.
    when p_run.trigger = 'manual' and p_run.request_id is null and p_run.started_at is not null then ' Then call it '
      'again.'
    when exists (select from public.scheduler_jobs where name = p_run.job_name)
      then format(' To run it again: select scheduler.retry_run(%L, ''<your name>'').', p_run.id)
    else '' end
  from scheduler.verdicts where verdicts.verdict = p_run.verdict;
$$;
comment on function scheduler.remedy_text(public.scheduler_runs) is
  'What to do about a run that came to this verdict, and how to run it again: the very run, and not the job with its '
    'registered payload.';

create function scheduler.waiting_text(p_job public.scheduler_jobs, p_run public.scheduler_runs,
  p_now timestamptz) returns text
language sql stable set search_path = '' as $$
  select case
    when scheduler.is_paused(p_job, p_now) then format('because the job is paused by %s: %s', p_job.paused_by,
      p_job.pause_reason)
    when p_run.run_after > p_now then format('for the first pulse after %s',
      to_char(p_run.run_after at time zone scheduler.shown_time_zone(p_job.time_zone), 'HH24:MI:SS'))
    when exists (select from public.scheduler_locks where name = p_run.job_name) then 'for the run before it to end'
    when p_job.parallel_limit <= (select count(*) from public.scheduler_runs
      where job_name = p_run.job_name and status in ('dispatched', 'running'))
      then format('for one of the %s runs under way to end', p_job.parallel_limit)
    else 'for the next pulse' end;
$$;
comment on function scheduler.waiting_text(public.scheduler_jobs, public.scheduler_runs, timestamptz) is 'What a '
  'queued run waits for.';

create function scheduler.explain_runs(p_job public.scheduler_jobs, p_job_name text, p_when text,
  p_run public.scheduler_runs, p_now timestamptz)
returns text
language plpgsql stable set search_path = '' as $$
declare
  v_zone constant text := scheduler.shown_time_zone(p_job.time_zone);
  v_origin constant text := scheduler.origin(p_run);
  v_meaning text := (select meaning from scheduler.verdicts where verdict = p_run.verdict);
  v_attempts text := case when p_run.max_attempts > 1 then format('attempt %s of %s', p_run.attempt, p_run.max_attempts)
    else 'its only attempt' end;
  v_earlier text;
begin
  select coalesce(' (' || string_agg(format('attempt %s: %s', attempt, verdict), ', ' order by attempt) || ')', '')
    into v_earlier
    from public.scheduler_runs
    where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for and attempt < p_run.attempt;

  return case p_run.status
    when 'completed' then format('%s %s at %s: %s%s on %s%s.', p_job_name,
      case v_origin when 'manual' then 'was run by hand' when 'catch_up' then 'was caught up' when 'dependency'
        then 'was run for another job' else 'ran' end,
      -- A URL says nothing of when it began.
      p_when, v_meaning, coalesce(', in ' || round(p_run.duration_ms / 1000.0, 1) || ' s', ''), v_attempts, v_earlier)
    when 'running' then format('%s is running for %s since %s s on %s%s; its last heartbeat was %s s ago.',
      p_job_name, p_when, extract(epoch from p_now - p_run.started_at)::bigint, v_attempts, v_earlier,
      extract(epoch from p_now - p_run.heartbeat_at)::bigint)
    when 'dispatched' then format('%s was sent for %s at %s on %s%s and has not begun yet; without a receipt it is '
      'judged at %s.',
      p_job_name, p_when, to_char(p_run.dispatched_at at time zone v_zone, 'HH24:MI:SS'), v_attempts, v_earlier,
      to_char((p_run.dispatched_at + make_interval(secs => scheduler.setting('scheduler.receipt_timeout_seconds')
        + case p_run.receipt when 'response' then p_run.timeout_seconds else 0 end)) at time zone v_zone, 'HH24:MI:SS'))
    when 'queued' then format('%s has not run for %s yet: %s waits %s%s.',
      p_job_name, p_when, v_attempts, scheduler.waiting_text(p_job, p_run, p_now), v_earlier)
    when 'failed' then format('%s %s at %s on %s%s: %s%s. %s', p_job_name,
      case v_origin when 'manual' then 'was run by hand and failed' when 'catch_up' then 'was caught up and failed'
        when 'dependency' then 'was run for another job and failed' else 'failed' end,
      p_when, v_attempts, v_earlier, v_meaning,
      coalesce(' (' || nullif(left(p_run.error_message, 200), v_meaning) || ')', ''), scheduler.remedy_text(p_run))
    when 'skipped' then format('%s was skipped at %s: %s.', p_job_name, p_when, p_run.skip_reason)
    when 'missed' then format('%s was missed at %s: %s (%s). %s', p_job_name, p_when, v_meaning, p_run.skip_reason,
      scheduler.remedy_text(p_run))
    else format('%s was cancelled at %s: %s.', p_job_name, p_when, p_run.error_message)
  end;
end;
$$;
comment on function scheduler.explain_runs(public.scheduler_jobs, text, text, public.scheduler_runs, timestamptz) is
  'The sentence for an occurrence that has a row: the last attempt, and what the earlier ones came to.';

-- After a long outage one row stands for many occurrences; each of them is explained by it.
create function scheduler.explain_gap(p_job public.scheduler_jobs, p_gap public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select format('%s %s %s occurrences from %s to %s: %s. They have one row, %s.', p_gap.job_name,
    case p_gap.status when 'skipped' then 'skipped' else 'missed' end, scheduler.grouped(p_gap.occurrences),
    scheduler.local_text(p_gap.scheduled_for, p_job.time_zone), scheduler.local_text(p_gap.scheduled_until,
      p_job.time_zone),
    concat_ws(', ', case p_gap.status when 'missed' then verdicts.meaning end, p_gap.skip_reason), p_gap.id)
    || case p_gap.status when 'missed' then ' ' || format('What to do: %s.', verdicts.remedy) else '' end
  from scheduler.verdicts where verdicts.verdict = p_gap.verdict;
$$;
comment on function scheduler.explain_gap(public.scheduler_jobs, public.scheduler_runs) is
  'The sentence for an occurrence that was missed or skipped together with many others, which have one row.';

create function scheduler.explain_not_due(p_job public.scheduler_jobs, p_minute timestamptz,
  p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_before timestamptz := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_minute);
  v_after text := coalesce(scheduler.local_text(
    scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_minute), p_job.time_zone), 'no time');
begin
  return format('%s %s not due at %s: its schedule is %L in %s; %s.',
    p_job.name, case when p_minute > p_now then 'is' else 'was' end, scheduler.local_text(p_minute, p_job.time_zone),
    p_job.schedule, p_job.time_zone,
    case when v_before >= p_job.created_at
      then format('before that it is due at %s, after that at %s', scheduler.local_text(v_before, p_job.time_zone),
        v_after)
      else format('it was registered at %s and is due first at %s', scheduler.local_text(p_job.created_at,
        p_job.time_zone), v_after)
    end);
end;
$$;
comment on function scheduler.explain_not_due(public.scheduler_jobs, timestamptz, timestamptz) is
  'The sentence for a minute at which the job''s schedule has no occurrence, with those around it since it was '
    'registered.';

create function scheduler.explain_no_run(p_job public.scheduler_jobs, p_minute timestamptz,
  p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_when constant text := scheduler.local_text(p_minute, p_job.time_zone);
  v_state scheduler.pulse_state;
  v_gap public.scheduler_runs;
begin
  if p_minute < date_trunc('minute', p_job.created_at) then
    return format('%s did not run at %s: it was registered only at %s.', p_job.name, v_when,
      scheduler.local_text(p_job.created_at, p_job.time_zone));
  end if;
  if p_job.schedule is null then
    return format('%s has no run at %s: it has no schedule and runs only when it is enqueued or called%s.', p_job.name,
      v_when,
      case when p_job.enabled then '' else '; it is disabled besides: register it with enabled => true' end);
  end if;
  if not exists (select from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_minute, p_minute + interval '1 '
    'minute')) then
    return scheduler.explain_not_due(p_job, p_minute, p_now);
  end if;
  select * into v_gap from public.scheduler_runs
    where job_name = p_job.name and occurrences > 1 and scheduled_for <= p_minute
      and scheduled_until >= p_minute limit 1;
  if found then
    return scheduler.explain_gap(p_job, v_gap);
  end if;
  if not p_job.enabled then
    return format('%s does not run at %s: it is disabled; register it with enabled => true.', p_job.name, v_when);
  end if;
  if p_minute > p_now then
    return format('%s is due at %s, in %s%s.', p_job.name, v_when, scheduler.wait_text(p_minute - p_now),
      case when scheduler.is_paused(p_job, p_minute) then format(', and will be skipped: paused by %s: %s',
        p_job.paused_by, p_job.pause_reason) else '' end);
  end if;
  if p_job.next_run_at <= p_minute then
    select * into v_state from scheduler.pulse_state;
    return format('%s was due at %s and is not in the ledger yet: neither pg_cron nor the pulse has looked at it; the '
      'last pulse was %s%s.',
      p_job.name, v_when,
      case when v_state.last_pulse_at is null then 'never'
        else format('%s s ago', extract(epoch from p_now - v_state.last_pulse_at)::bigint) end,
      coalesce(', and says: ' || (v_state.errors ->> p_job.name), ''));
  end if;
  if p_job.run_if is not null then
    return format('%s did not run at %s: there was nothing to do, by its run_if %s.', p_job.name, v_when, p_job.run_if);
  end if;
  return format('%s has no row for %s: it was registered with other times then, or the row was pruned (successes '
    'after %s days, failures after %s).',
    p_job.name, v_when, scheduler.setting('scheduler.keep_successes_days'),
      scheduler.setting('scheduler.keep_failures_days'));
exception when invalid_parameter_value then
  return format('%s has no run at %s, and cannot have any: %s; register it again with a right one.', p_job.name, v_when,
    sqlerrm);
end;
$$;
comment on function scheduler.explain_no_run(public.scheduler_jobs, timestamptz, timestamptz) is
  'The sentence for a minute of which the job has no row: why not, or when it is due.';

create function scheduler.explain(p_job_name text, p_at timestamptz default null, p_now timestamptz default now())
returns text
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_minute timestamptz;
begin
  -- Far enough from the ends of the calendar to look for the occurrences around it.
  if p_at <= '4000-01-01 00:00+00 BC' or p_at >= '200000-01-01 00:00+00' then
    raise exception using errcode = '22023', message = format('cannot explain %s: at must be a moment, got %s',
      p_job_name, p_at),
      hint = format('select scheduler.explain(%L, ''2026-03-01 02:30-05'')', p_job_name);
  end if;
  -- Without a time: the latest there is.
  v_minute := date_trunc('minute', coalesce(
    p_at,
    (select scheduled_for from public.scheduler_runs
      where job_name = p_job_name order by created_at desc, scheduled_for desc, attempt desc limit 1),
    p_now));
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  select runs.* into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for >= v_minute and scheduled_for < v_minute + interval '1 minute'
    order by scheduler.origin(runs) = 'manual', scheduled_for desc, attempt desc
    limit 1;
  if v_run.occurrences > 1 then
    return scheduler.explain_gap(v_job, v_run);
  end if;
  if v_run.id is not null then
    return scheduler.explain_runs(v_job, p_job_name, scheduler.local_text(v_minute, v_job.time_zone), v_run,
      p_now) || coalesce((
      select ' It was also run by hand then: ' || string_agg(coalesce(verdict, status), ', ' order by created_at) || '.'
      from public.scheduler_runs
      where job_name = p_job_name and trigger = 'manual' and scheduled_for <> v_run.scheduled_for
        and scheduled_for >= v_minute and scheduled_for < v_minute + interval '1 minute'), '');
  end if;
  if v_job.name is null then
    return format('There is no job named %L; the jobs are: %s.', p_job_name,
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs));
  end if;
  return scheduler.explain_no_run(v_job, v_minute, p_now);
end;
$$;
comment on function scheduler.explain(text, timestamptz, timestamptz) is
  'Why the job did, or did not, run at that minute (its latest row when none is given): one sentence, times in the '
    'job''s own zone, in UTC where Postgres does not know it. Raises 22023 for a time that is none (infinity).';
