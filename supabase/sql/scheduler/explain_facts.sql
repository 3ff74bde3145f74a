-- The facts behind scheduler.explain: everything known of a job at a minute, as JSON for user interfaces.

create function scheduler.remedy_facts(p_run public.scheduler_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'meaning', meaning,
    'remedy', coalesce(case when p_run.function_name is null then url_remedy end, remedy),
    'again', case
      when p_run.status <> 'failed' then null
      -- One more attempt would have the same payload.
      when p_run.verdict = 'bad_input' then case when scheduler.origin(p_run) in ('cron', 'catch_up')
        then format('select scheduler.run_now(%L, ''who'')', p_run.job_name) end
      -- A call by hand is repeated by hand.
      when p_run.trigger = 'manual' and p_run.request_id is null and p_run.started_at is not null then 'call it again'
      when exists (select from public.scheduler_jobs where name = p_run.job_name)
        then format('select scheduler.retry_run(%L, ''<your name>'')', p_run.id)
    end)
  from scheduler.verdicts where verdicts.verdict = p_run.verdict;
$$;
comment on function scheduler.remedy_facts(public.scheduler_runs) is
  'What a run''s verdict means and what to do: {"meaning", "remedy", "again": how to run it again, that very run and '
    'not the job with its registered payload, or null}; null without a verdict.';

-- Up the chain: a dependency may itself wait for one that is stopped.
create function scheduler.obstacle(p_job_name text, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_name text := p_job_name;
  v_job public.scheduler_jobs;
  v_breaker public.scheduler_breakers;
  v_stop text;
begin
  for i in 1 .. 100 loop
    select * into v_job from public.scheduler_jobs where name = v_name;
    exit when not found;
    v_stop := scheduler.stop_now(v_job, p_now);
    select * into v_breaker from public.scheduler_breakers where job_name = v_name;
    if not v_job.enabled then
      return format('%s is disabled', v_name);
    elsif v_stop is not null then
      return format(case v_stop when 'paused' then '%s is %s' else '%s is stopped, as %s' end, v_name,
        scheduler.stop_note(v_job, v_stop));
    elsif v_breaker.opened_at is not null then
      return format('the breaker of %s is %s after %s in a row', v_name, scheduler.breaker_state(v_breaker.opened_at,
        v_job.breaker_cooldown_seconds, p_now), scheduler.count_text(v_breaker.failures, 'failure'));
    end if;
    select waiting ->> 'name' into v_name from public.scheduler_runs
      where job_name = v_name and status = 'queued' and waiting ->> 'for' = 'dependency'
      order by scheduled_for limit 1;
    exit when not found;
  end loop;
  return null;
end;
$$;
comment on function scheduler.obstacle(text, timestamptz) is
  'What keeps a job from running that others wait for, or one that it waits for itself: disabled, stopped by a person, '
    'its breaker; null when nothing does.';

create function scheduler.failures_text(p_run public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select format(', as %s: %s', case when p_run.failures = 1 then 'the run before it failed'
      else format('%s runs before it failed in a row, the last', p_run.failures) end,
    concat_ws(': ', verdict, scheduler.one_line(error_message, 200)))
  from public.scheduler_runs as runs
  where p_run.trigger = 'continuous' and p_run.failures > 0 and job_name = p_run.job_name and trigger = 'continuous'
    and scheduled_for < p_run.scheduled_for
  order by scheduled_for desc limit 1;
$$;
comment on function scheduler.failures_text(public.scheduler_runs) is
  'Of a run of a continuous job that follows failures: how many, and the last, as the end of a sentence; else null.';

create function scheduler.limit_reason(p_job public.scheduler_jobs) returns text
language sql stable set search_path = '' as $$
  select case under_way when 1 then 'for the run under way to end'
    else format('for %s of the %s runs under way to end', case to_end when 1 then 'one' else to_end::text end,
      under_way) end
    || case when p_job.parallel_least is not null then format(', as %s may be under way now (from %s to %s)', in_force,
      p_job.parallel_least, p_job.parallel_limit) else '' end
  from (
    -- More than may be are under way after the limit was lowered.
    select under_way, in_force, under_way - in_force + 1 as to_end
    from (select count(*) as under_way, scheduler.limit_in_force(p_job) as in_force from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running')) as counted) as facts
  where to_end >= 1;
$$;
comment on function scheduler.limit_reason(public.scheduler_jobs) is
  'How many of the job''s runs have to end before the next one is sent, as the end of the sentence "it waits …"; null '
    'when none has to.';

-- The kinds of scheduler_runs.waiting, as the end of the sentence "it waits …".
create function scheduler.wait_reason(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns text
language sql stable set search_path = '' as $$
  select case
    when stopped is not null and p_run.trigger <> 'manual' then stopped
    else coalesce(case waits_for
      when 'retry' then case when p_run.run_after > p_now then 'for the first pulse after ' || until
        || coalesce(scheduler.failures_text(p_run), '') end
      when 'jitter' then case when p_run.run_after > p_now then format('for its jitter, until %s', until) end
      when 'idle' then case when p_run.run_after > p_now then format('until %s, as the run before it found nothing to '
        'do', until) end
      when 'dependency' then format('for %s, until %s%s', name, until, coalesce('; ' || scheduler.obstacle(name, p_now),
        ''))
      when 'budget' then format('for tokens of the budget %s, from %s on', name, until)
      when 'breaker' then 'for the breaker of the job' || coalesce(', until ' || until, ': another run tries')
      when 'group' then format('for one of the runs of the group %s to end', name)
      when 'key' then format('for a run with the key %s to end', name)
      when 'calendar' then format('for the end of a span of the calendar %s, at %s', name, until)
      when 'parallel_limit' then case when scheduler.is_backfill(p_run) then 'for the back-filled run before it to end'
        else scheduler.limit_reason(p_job) end
      when 'defer_if' then case when (p_run.waiting ->> 'until')::timestamptz > p_now
        then format('until %s at the latest, put off by %s%s', until, name,
          coalesce(': ' || scheduler.put_off_because(name, p_now), '')) end
      when 'lock' then 'for the run before it to end' end,
      case when p_run.run_after > p_now then format('for the first pulse after %s', to_char(p_run.run_after
        at time zone zone, 'HH24:MI:SS')) end,
      case when exists (select from public.scheduler_locks where name = p_run.job_name) then 'for the run before it to '
        'end' end,
      'for the next pulse') end
  from (select scheduler.stopped_because(p_job, p_now) as stopped, p_run.waiting ->> 'for' as waits_for,
      p_run.waiting ->> 'name' as name, zone,
      to_char(coalesce(p_run.run_after, (p_run.waiting ->> 'until')::timestamptz) at time zone zone,
        'HH24:MI:SS') as until
    from (select scheduler.shown_time_zone(p_job.time_zone) as zone) as shown) as facts;
$$;
comment on function scheduler.wait_reason(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'What a queued run waits for, as the end of the sentence "it waits …".';

create function scheduler.run_facts(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'run', 'run_id', p_run.id, 'status', p_run.status, 'trigger', p_run.trigger,
    'origin', scheduler.origin(p_run), 'attempt', p_run.attempt, 'max_attempts', p_run.max_attempts,
    'verdict', p_run.verdict, 'duration_ms', p_run.duration_ms, 'error_message', p_run.error_message,
    'skip_kind', p_run.skip_kind, 'skip_reason', p_run.skip_reason, 'dispatched_at', p_run.dispatched_at,
    'started_at', p_run.started_at, 'heartbeat_at', p_run.heartbeat_at, 'completed_at', p_run.completed_at,
    'earlier', coalesce((
      select jsonb_agg(jsonb_build_object('attempt', attempt, 'verdict', verdict, 'error_message', error_message)
        order by attempt)
      from public.scheduler_runs
      where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for and attempt < p_run.attempt), '[]'),
    'by_hand', coalesce((
      select jsonb_agg(coalesce(verdict, status) order by created_at) from public.scheduler_runs
      where job_name = p_run.job_name and trigger = 'manual' and scheduled_for <> p_run.scheduled_for
        and scheduled_for >= date_trunc('minute', p_run.scheduled_for)
        and scheduled_for < date_trunc('minute', p_run.scheduled_for) + interval '1 minute'), '[]')
  ) || coalesce(scheduler.remedy_facts(p_run), '{}') || case p_run.status
    when 'queued' then jsonb_build_object('waits', scheduler.wait_reason(p_job, p_run, p_now),
      'waiting', p_run.waiting) || case when p_run.waiting ->> 'for' = 'dependency'
      then jsonb_build_object('obstacle', scheduler.obstacle(p_run.waiting ->> 'name', p_now)) else '{}' end
    when 'dispatched' then (
      select jsonb_build_object('dispatched', to_char(p_run.dispatched_at at time zone zone, 'HH24:MI:SS'),
        'judged', to_char((p_run.dispatched_at + make_interval(
          secs => scheduler.setting('scheduler.receipt_timeout_seconds')
            + case p_run.receipt when 'response' then p_run.timeout_seconds else 0 end)) at time zone zone,
          'HH24:MI:SS'))
      from (select scheduler.shown_time_zone(p_job.time_zone) as zone) as shown)
    else '{}' end;
$$;
comment on function scheduler.run_facts(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'The facts of an occurrence that has a row: its last attempt, what the earlier ones came to, and calls by hand in '
    'that minute.';

create function scheduler.others_waiting(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('others_waiting', jsonb_build_object('count', count,
    'when', scheduler.local_text((first).scheduled_for, p_job.time_zone),
    'waits', scheduler.wait_reason(p_job, first, p_now)))
  from (
    select count(*) over () as count, runs as first from public.scheduler_runs as runs
    where job_name = p_job.name and status = 'queued' and id <> p_run.id and p_run.completed_at is not null
    order by scheduled_for, attempt limit 1) as waiting;
$$;
comment on function scheduler.others_waiting(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'Beside the newest run of a job, when that is over: {"others_waiting": {"count", "when", "waits"}}: how many older '
    'ones wait, and the first of them; null when none does.';

-- After a long outage one row stands for many occurrences; each of them is explained by it.
create function scheduler.gap_facts(p_job public.scheduler_jobs, p_gap public.scheduler_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'gap', 'run_id', p_gap.id, 'status', p_gap.status, 'occurrences', p_gap.occurrences,
    'first', scheduler.local_text(p_gap.scheduled_for, p_job.time_zone),
    'last', scheduler.local_text(p_gap.scheduled_until, p_job.time_zone),
    'verdict', p_gap.verdict, 'skip_kind', p_gap.skip_kind, 'skip_reason', p_gap.skip_reason)
    || coalesce(scheduler.remedy_facts(p_gap), '{}');
$$;
comment on function scheduler.gap_facts(public.scheduler_jobs, public.scheduler_runs) is
  'The facts of an occurrence that was missed or skipped together with many others, which have one row.';

create function scheduler.not_due_facts(p_job public.scheduler_jobs, p_minute timestamptz, p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'not_due', 'to_come', p_minute > p_now, 'schedule', p_job.schedule, 'time_zone', p_job.time_zone,
    'due_before', case when before >= p_job.created_at then scheduler.local_text(before, p_job.time_zone) end,
    'due_after', coalesce(scheduler.local_text(
      scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_minute), p_job.time_zone), 'no time'),
    'registered', scheduler.local_text(p_job.created_at, p_job.time_zone))
  from (select scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_minute) as before) as occurrence;
$$;
comment on function scheduler.not_due_facts(public.scheduler_jobs, timestamptz, timestamptz) is
  'The facts of a minute at which the job''s schedule has no occurrence: those around it since it was registered.';

create function scheduler.idle_before(p_job public.scheduler_jobs, p_occurrence timestamptz) returns timestamptz
language sql stable set search_path = '' as $$
  select max(scheduled_for) from (
    select scheduled_for, scheduler.stretch_sign(runs) as sign from public.scheduler_runs as runs
    where job_name = p_job.name and scheduled_for < p_occurrence and scheduler.stretch_sign(runs) is not null
    order by scheduled_for desc, attempt desc limit p_job.stretch_after) as newest
  having count(*) filter (where sign = 'idle') = p_job.stretch_after;
$$;
comment on function scheduler.idle_before(public.scheduler_jobs, timestamptz) is
  'The last run before an occurrence, if the stretch_after newest ones that say something all found nothing; else '
    'null.';

-- An occurrence that is left out leaves no row: what the runs before it found tells of it afterwards.
create function scheduler.left_out_facts(p_job public.scheduler_jobs, p_occurrence timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('kind', 'left_out', 'runs', p_job.stretch_after, 'found_nothing_at',
    scheduler.local_text(coalesce(stretch.asked_for, idle_at), p_job.time_zone), 'asked_again_at',
    case when stretch.idle_in_row > 0 then scheduler.local_text(stretch.asked_again_at, p_job.time_zone) end)
  from (select scheduler.idle_before(p_job, p_occurrence) as idle_at) as before
    left join scheduler.stretches as stretch
      on stretch.job_name = p_job.name and scheduler.is_left_out(p_job, p_occurrence)
  where p_job.stretch_after is not null and (stretch.job_name is not null or idle_at is not null);
$$;
comment on function scheduler.left_out_facts(public.scheduler_jobs, timestamptz) is
  'The facts of an occurrence without a row that was left out, as the job had found nothing stretch_after times in a '
    'row; null of all others.';

create function scheduler.no_run_facts(
  p_job public.scheduler_jobs, p_minute timestamptz, p_until timestamptz, p_now timestamptz
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_gap public.scheduler_runs;
  v_last timestamptz;
begin
  if p_minute < date_trunc('minute', p_job.created_at) then
    return jsonb_build_object('kind', 'not_registered_yet',
      'registered', scheduler.local_text(p_job.created_at, p_job.time_zone));
  elsif p_job.schedule is null then
    return jsonb_build_object('kind', 'no_schedule', 'enabled', p_job.enabled, 'runs', case
      when p_job.continuous then 'without a break, one run after the other' || coalesce('; now it waits '
        || scheduler.stopped_because(p_job, p_now), '')
      when p_job.depends_on <> '{}' then 'for each occurrence of ' || array_to_string(p_job.depends_on, ', ')
      else 'only when it is enqueued or called' end);
  end if;
  -- An interval of seconds may have several occurrences in the minute: the last of them is explained.
  select max(at) into v_last
    from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_minute, p_until) as at;
  if v_last is null or v_last < p_job.created_at then
    return scheduler.not_due_facts(p_job, p_minute, p_now);
  end if;
  select * into v_gap from public.scheduler_runs
    where job_name = p_job.name and occurrences > 1 and scheduled_for <= v_last and scheduled_until >= p_minute
    limit 1;
  return case
    when found then scheduler.gap_facts(p_job, v_gap)
    when not p_job.enabled then jsonb_build_object('kind', 'disabled')
    when v_last > p_now then jsonb_build_object('kind', 'to_come', 'due_at', v_last,
      'wait_seconds', extract(epoch from v_last - p_now)::bigint,
      'note', scheduler.next_run_note(p_job, v_last))
    when p_job.next_run_at <= v_last then (
      select jsonb_build_object('kind', 'not_recorded', 'error', state.errors ->> p_job.name,
        'pulse_age_seconds', extract(epoch from p_now - state.last_pulse_at)::bigint)
      from (select) as always left join scheduler.pulse_state as state on true)
    else coalesce(scheduler.left_out_facts(p_job, v_last), case when p_job.run_if is not null
      then jsonb_build_object('kind', 'no_work', 'run_if', p_job.run_if) end, jsonb_build_object('kind', 'no_row',
      'keep_successes_days', scheduler.setting('scheduler.keep_successes_days'),
      'keep_failures_days', scheduler.setting('scheduler.keep_failures_days')))
  end;
exception when invalid_parameter_value then
  return jsonb_build_object('kind', 'unreadable', 'fault', sqlerrm);
end;
$$;
comment on function scheduler.no_run_facts(public.scheduler_jobs, timestamptz, timestamptz, timestamptz) is
  'The facts of a minute [p_minute, p_until) of which the job has no row: why not, or when it is due.';

-- A minute has many occurrences of a continuous job and of an interval of seconds: who names a second means that one.
create function scheduler.occurrence_near(p_job public.scheduler_jobs, p_at timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  if p_at = date_trunc('minute', p_at) then
    return null;
  elsif p_job.continuous then
    return (select max(scheduled_for) from public.scheduler_runs where job_name = p_job.name and scheduled_for <= p_at);
  elsif scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')) is not null then
    return scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_at + interval '1 microsecond');
  end if;
  return null;
end;
$$;
comment on function scheduler.occurrence_near(public.scheduler_jobs, timestamptz) is
  'The occurrence that a moment with seconds means: of an interval of seconds, or a continuous job, the newest one by '
    'then; null for all else, which is explained by the minute.';

create function scheduler.explain_facts(p_job_name text, p_at timestamptz, p_now timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_at timestamptz;
  v_exact timestamptz;
  v_until timestamptz;
begin
  -- Far enough from the ends of the calendar to look for the occurrences around it.
  if p_at <= '4000-01-01 00:00+00 BC' or p_at >= '200000-01-01 00:00+00' then
    raise exception using errcode = '22023',
      message = format('cannot explain %s: at must be a moment, got %s', p_job_name, p_at),
      hint = format('select scheduler.explain(%L, ''2026-03-01 02:30-05'')', p_job_name);
  end if;
  -- Without a time: the latest there is.
  v_at := coalesce(
    p_at,
    (select scheduled_for from public.scheduler_runs
      where job_name = p_job_name order by created_at desc, scheduled_for desc, attempt desc limit 1),
    p_now);
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  v_exact := scheduler.occurrence_near(v_job, v_at);
  v_at := coalesce(v_exact, date_trunc('minute', v_at));
  v_until := v_at + case when v_exact is null then interval '1 minute' else interval '1 microsecond' end;
  select runs.* into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for >= v_at and scheduled_for < v_until
    order by scheduler.origin(runs) = 'manual', scheduled_for desc, attempt desc
    limit 1;
  return jsonb_build_object('job', p_job_name, 'at', v_at, 'now', p_now, 'when', case when v_exact is null
      then scheduler.local_text(v_at, v_job.time_zone) else scheduler.local_second_text(v_at, v_job.time_zone) end)
    || case
      when v_run.occurrences > 1 then scheduler.gap_facts(v_job, v_run)
      when v_run.id is not null then scheduler.run_facts(v_job, v_run, p_now)
        || coalesce(case when p_at is null then scheduler.others_waiting(v_job, v_run, p_now) end, '{}')
      when v_job.name is null then jsonb_build_object('kind', 'unknown_job', 'jobs', coalesce(
        (select jsonb_agg(name order by name) from public.scheduler_jobs), '[]'))
      else scheduler.no_run_facts(v_job, v_at, v_until, p_now)
    end;
end;
$$;
comment on function scheduler.explain_facts(text, timestamptz, timestamptz) is
  'What is known of a job at a minute, or at a second of an interval of seconds (its latest row when none is given): '
    '{"job", "at", "when", "kind"} and more by '
    'its kind: run, gap, not_registered_yet, no_schedule, not_due, disabled, to_come, not_recorded, left_out, no_work, '
    'no_row, unreadable, unknown_job. Raises 22023 for a time that is none (infinity).';
