-- The verbs an operator calls in the SQL console.

create function scheduler.refuse_unknown_job(p_job_name text, p_hint text default null) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'SD001', message = format('there is no job named %L', p_job_name),
    hint = concat_ws('; ', p_hint, format('the jobs are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs)));
end;
$$;
comment on function scheduler.refuse_unknown_job(text, text) is
  'Raises SD001 and names the jobs there are: all that take the name of a job say so in the same words.';

create function scheduler.assert_job(p_job_name text) returns public.scheduler_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name for no key update;
  if not found then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  return v_job;
end;
$$;
comment on function scheduler.assert_job(text) is
  'The job''s row, locked. Raises SD001 and names the jobs there are when it is unknown.';

create function scheduler.assert_run(p_run_id uuid, p_now timestamptz) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  -- The job's row comes before the run's row, as everywhere. Answers are read before the decision.
  perform from public.scheduler_jobs
    where name = (select job_name from public.scheduler_runs where id = p_run_id) for no key update;
  if found then
    perform scheduler.requests_since();
    perform scheduler.wake_jobs(array[job_name], 'epoch') from public.scheduler_runs
      where id = p_run_id and scheduler.read_answers(job_name, p_now) > 0;
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id for no key update;
  if not found then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null')),
      hint = 'select id, job_name, scheduled_for, status from public.scheduler_runs order by created_at desc limit 20';
  end if;
  return v_run;
end;
$$;
comment on function scheduler.assert_run(uuid, timestamptz) is
  'The run''s row, locked, and its job''s row before it, after what pg_net has for the job was read. Raises SD002 '
    'when there is no such run.';

create function scheduler.assert_given(p_action text, p_what text, p_example text, variadic p_texts text[]) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if exists (select from unnest(p_texts) as given where coalesce(given, '') !~ '\S') then
    raise exception using errcode = '22023', message = format('cannot %s: %s must be given', p_action, p_what),
      hint = p_example;
  end if;
end;
$$;
comment on function scheduler.assert_given(text, text, text, text[]) is
  'Raises 22023, with an example of the call, when one of the texts that an action asks for (reason, author) is null '
    'or blank.';

create function scheduler.run_now(
  p_job_name text, p_author text, p_payload jsonb default null, p_now timestamptz default clock_timestamp()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_run public.scheduler_runs;
  v_held record;
begin
  perform scheduler.assert_given(format('run %s', p_job_name), 'author',
    format('select scheduler.run_now(%L, ''who'')', p_job_name), p_author);
  if p_payload is not null and jsonb_typeof(p_payload) <> 'object' then
    raise exception using errcode = '22023',
      message = format('cannot run %s: payload must be a JSON object, got %s', p_job_name, left(p_payload::text, 100));
  end if;
  -- A request that was refused holds the lock until its answer is read.
  perform scheduler.hear_and_wake(p_job_name, p_now);
  select run_id, acquired_at into v_held from public.scheduler_locks where name = p_job_name and expires_at > p_now;
  if scheduler.takes_lock(v_job) and v_held.run_id is not null then
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: run %s has been under way since %s', p_job_name, v_held.run_id,
        v_held.acquired_at),
      hint = format('wait for it, or end it: select scheduler.release_lock(%L, ''why'', ''who'')', p_job_name);
  end if;
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.payload := coalesce(p_payload, v_job.payload);
  v_run.interval_from := scheduler.interval_start(v_job, p_now);
  perform scheduler.add_runs(array[v_run]);
  if scheduler.send_run(v_job, v_run, p_now) in ('waits', 'full') and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: as many runs as may be are under way, and it is disabled, so another one '
        'cannot wait', p_job_name);
  end if;
  perform scheduler.audit('run_now', 'job', v_job.name, null, p_author, null,
    jsonb_build_object('run_id', v_run.id, 'payload', p_payload), p_now);
  perform scheduler.log_activity(v_job.name, format('a run was asked for by %s', btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_run.id), p_now => p_now);
  return v_run.id;
end;
$$;
comment on function scheduler.run_now(text, text, jsonb, timestamptz) is
  'Runs a job at once through the real dispatch path, also when it is paused or disabled, with its own payload unless '
    'another is given. Returns the run. Raises SD001 for an unknown job; SD101 when another run holds the job''s lock '
    'or, of a disabled job, its parallel_limit is reached; 22023 for a missing author or a payload that is no object.';

create function scheduler.pause_facts(p_job public.scheduler_jobs, p_now timestamptz) returns jsonb
language sql immutable set search_path = '' as $$
  select case when scheduler.is_paused(p_job, p_now) then jsonb_build_object('paused_at', p_job.paused_at,
    'until', p_job.paused_until, 'by', p_job.paused_by, 'reason', p_job.pause_reason) end;
$$;
comment on function scheduler.pause_facts(public.scheduler_jobs, timestamptz) is
  'The job''s pause, for the audit log: {"paused_at", "until", "by", "reason"}; null when it is not paused.';

create function scheduler.pause(
  p_job_name text, p_reason text, p_author text, p_until timestamptz default null, p_now timestamptz default now()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
begin
  perform scheduler.assert_given(format('pause %s', p_job_name), 'reason and author',
    format('select scheduler.pause(%L, ''why'', ''who'', now() + interval ''2 hours'')', p_job_name), p_reason,
      p_author);
  if p_until <= p_now then
    raise exception using errcode = '22023',
      message = format('cannot pause %s: until must be in the future, got %s', p_job_name, p_until);
  end if;
  update public.scheduler_jobs set
    paused_at = case when scheduler.is_paused(v_job, p_now) then paused_at else p_now end,
    -- Until infinity is until somebody resumes it.
    paused_until = case when isfinite(p_until) then p_until end,
    pause_reason = btrim(p_reason), paused_by = btrim(p_author), updated_at = now()
    where name = v_job.name;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where name = v_job.name;
  perform scheduler.wake_jobs(array[v_job.name], p_until) where isfinite(p_until);
  perform scheduler.audit('pause', 'job', v_job.name, p_reason, p_author, scheduler.pause_facts(v_job, p_now),
    jsonb_build_object('until', case when isfinite(p_until) then p_until end), p_now);
  return format('%s is paused %s; %s', v_job.name,
    case when isfinite(p_until) then 'until ' || scheduler.local_text(p_until, v_job.time_zone) else 'until somebody '
      'resumes it' end,
    case when v_job.continuous then 'the run that is under way is its last until then'
      when v_job.schedule is null and v_job.depends_on = '{}' then 'what is enqueued waits' else 'its occurrences are '
        'recorded as skipped' end);
end;
$$;
comment on function scheduler.pause(text, text, text, timestamptz, timestamptz) is
  'Pauses a job with a reason and an author, until a moment or (null, infinity) until resume. Its occurrences become '
    'skipped rows; what already runs goes on. Raises SD001 for an unknown job; 22023 for a missing reason or author, '
    'or an end that is past.';

create function scheduler.resume(p_job_name text, p_author text, p_now timestamptz default now()) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_paused constant jsonb := scheduler.pause_facts(v_job, p_now);
  v_fault text;
begin
  perform scheduler.assert_given(format('resume %s', p_job_name), 'author',
    format('select scheduler.resume(%L, ''who'')', p_job_name), p_author);
  if not scheduler.is_paused(v_job, p_now) then
    return format('%s was not paused', v_job.name);
  end if;
  -- Occurrences that came due in the pause are recorded as paused first.
  v_fault := scheduler.try_record_due(v_job, p_now);
  update public.scheduler_jobs
    set paused_at = null, paused_until = null, pause_reason = null, paused_by = null, updated_at = now()
    where name = v_job.name
    returning * into v_job;
  perform scheduler.note_stop(v_job, p_now);
  perform scheduler.wake_jobs(array[v_job.name], 'epoch');
  perform scheduler.audit('resume', 'job', v_job.name, null, p_author, v_paused, null, p_now);
  perform scheduler.log_activity(v_job.name, format('resumed by %s', btrim(p_author)), p_now => p_now);
  if scheduler.stop_now(v_job, p_now) is not null then
    return format('%s is not paused any more, but does not run: %s', v_job.name,
      scheduler.stop_text(v_job, scheduler.stop_now(v_job, p_now)));
  end if;
  if v_job.continuous then
    return format('%s runs again with the next pulse', v_job.name);
  elsif v_job.schedule is null then
    return format('%s runs again when it is enqueued or called', v_job.name);
  end if;
  v_fault := coalesce(v_fault, (scheduler.next_run(v_job, p_now)).fault);
  if v_fault is not null then
    return format('%s is not paused any more, but cannot run: %s', v_job.name, v_fault);
  end if;
  return format('%s runs again; next at %s', v_job.name, scheduler.local_text(v_job.next_run_at, v_job.time_zone));
end;
$$;
comment on function scheduler.resume(text, text, timestamptz) is
  'Ends a pause. What came due in it stays skipped. Says so when the job cannot run, for its time zone or schedule. '
    'Raises SD001 for an unknown job; 22023 for a missing author.';

create function scheduler.count_text(p_count bigint, p_noun text) returns text
language sql immutable set search_path = '' as $$
  select format('%s %s%s', p_count, p_noun, case when p_count = 1 then '' else 's' end);
$$;
comment on function scheduler.count_text(bigint, text) is 'So many things, as people say it: 1 run, 2 runs.';

create function scheduler.duration_text(p_seconds numeric) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_seconds < 120 then scheduler.count_text(greatest(0, round(p_seconds))::bigint, 'second')
    when p_seconds < 7200 then format('%s minutes', round(p_seconds / 60))
    when p_seconds < 172800 then format('%s hours', round(p_seconds / 3600))
    else format('%s days', round(p_seconds / 86400)) end;
$$;
comment on function scheduler.duration_text(numeric) is 'How long so many seconds are, as people say it.';

create function scheduler.lock_free_text(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_takes_none constant boolean := not scheduler.takes_lock(p_job);
  v_count bigint;
  v_first uuid;
begin
  select count(*), (array_agg(id order by scheduled_for, attempt))[1] into v_count, v_first
    from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running');
  return case when v_takes_none then format('%s takes no lock, as its overlap_policy is ''allow''', p_job.name)
      else format('nobody holds the lock of %s', p_job.name) end
    || case
      when v_count > 0 then format('; %s of it %s under way. To end one: select scheduler.cancel_run(%L, ''why'', '
        '''who'')',
        scheduler.count_text(v_count, 'run'), case v_count when 1 then 'is' else 'are' end, v_first)
      when v_takes_none then '; no run of it is under way'
      else '' end;
end;
$$;
comment on function scheduler.lock_free_text(public.scheduler_jobs) is
  'What release_lock says of a job of which no run holds the lock: whether it takes one at all, what is under way, '
    'and how to end that.';

create function scheduler.withdraw_run(p_run public.scheduler_runs, p_message text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_is_withdrawn constant boolean :=
    p_run.status = 'dispatched' and scheduler.take_back_request(p_run.request_id, p_run.id);
begin
  perform scheduler.end_run(p_run.id, array['queued', 'dispatched', 'running'], 'cancelled', 'cancelled', p_now,
    p_error_message => p_message);
  return v_is_withdrawn;
end;
$$;
comment on function scheduler.withdraw_run(public.scheduler_runs, text, timestamptz) is
  'Cancels a run that waits or is under way. Says whether its request was still in pg_net''s queue, and taken out. '
    'The caller holds the job''s row lock.';

create function scheduler.release_lock(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default now()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_run_id uuid;
begin
  perform scheduler.assert_given(format('release the lock of %s', p_job_name), 'reason and author',
    format('select scheduler.release_lock(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  select run_id into v_run_id from public.scheduler_locks where name = p_job_name;
  if v_run_id is null then
    return scheduler.lock_free_text(v_job);
  end if;
  perform scheduler.withdraw_run(runs, format('its lock was released by %s: %s', btrim(p_author), btrim(p_reason)),
    p_now) from public.scheduler_runs as runs where id = v_run_id;
  delete from public.scheduler_locks where run_id = v_run_id;
  perform scheduler.audit('release_lock', 'job', v_job.name, p_reason, p_author,
    jsonb_build_object('run_id', v_run_id), null, p_now);
  return format('run %s is cancelled and the lock of %s is free; if the function is still at work, its next heartbeat '
    'tells it to stop',
    v_run_id, p_job_name);
end;
$$;
comment on function scheduler.release_lock(text, text, text, timestamptz) is
  'Cancels the run that holds the job''s lock, with a reason and an author, and frees the lock; what waited is sent. '
    'Where no run holds it, it changes nothing and names a run that is under way without. Raises SD001 for an unknown '
    'job; 22023 for a missing reason or author.';

create function scheduler.cancel_run(
  p_run_id uuid, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_is_withdrawn boolean;
begin
  perform scheduler.assert_given(format('cancel run %s', v_run.id), 'reason and author',
    format('select scheduler.cancel_run(%L, ''why'', ''who'')', v_run.id), p_reason, p_author);
  if v_run.completed_at is not null then
    return format('run %s of %s is over already: %s (%s)', v_run.id, v_run.job_name, v_run.status, v_run.verdict);
  end if;
  v_is_withdrawn := scheduler.withdraw_run(v_run, format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)),
    p_now);
  perform scheduler.audit('cancel_run', 'run', v_run.id::text, p_reason, p_author,
    jsonb_build_object('job', v_run.job_name, 'status', v_run.status), null, p_now);
  return format('run %s of %s is cancelled%s', v_run.id, v_run.job_name, case
    when v_run.status = 'queued' then ' before it was sent'
    when v_is_withdrawn then ' before its request was sent'
    when v_run.function_name is null then '; what was asked of its URL may still be done'
    else '; if the function is still at work, its next heartbeat tells it to stop' end);
end;
$$;
comment on function scheduler.cancel_run(uuid, text, text, timestamptz) is
  'Cancels a run that waits or is under way, with a reason and an author; its lock is free, what waited is sent, and '
    'it is not retried. A run that is over is left as it is, and the answer says so. Raises SD002 for an unknown run; '
    '22023 for a missing reason or author.';

-- All attempts of an occurrence have its time.
create function scheduler.assert_retriable(p_run public.scheduler_runs) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_other public.scheduler_runs;
begin
  if p_run.occurrences > 1 then
    raise exception using errcode = 'SD202',
      message = format('cannot retry run %s: its row stands for %s occurrences', p_run.id,
        scheduler.grouped(p_run.occurrences)),
      hint = format('to run the job once now: select scheduler.run_now(%L, ''who'')', p_run.job_name);
  end if;
  select * into v_other from public.scheduler_runs
    where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for and (completed_at is null
      or status = 'completed')
    order by id = p_run.id desc, attempt desc limit 1;
  if found then
    raise exception using
      errcode = case v_other.status when 'completed' then 'SD201' else 'SD101' end,
      message = format('cannot retry run %s: ', p_run.id) || case
        when v_other.id <> p_run.id then format('attempt %s of it %s, run %s', v_other.attempt,
          case v_other.status when 'completed' then 'has completed' else 'is ' || v_other.status end, v_other.id)
        when v_other.status = 'completed' then 'it has completed'
        else format('it is not over, it is %s', v_other.status) end,
      hint = case v_other.status
        when 'completed' then format('to run the job once more: select scheduler.run_now(%L, ''who'')', p_run.job_name)
        else format('wait for it, or end it: select scheduler.cancel_run(%L, ''why'', ''who'')', v_other.id) end;
  end if;
end;
$$;
comment on function scheduler.assert_retriable(public.scheduler_runs) is
  'Raises unless the row is of one occurrence (SD202), and every attempt of that is over and none has completed: '
    'SD101 for one that is alive, SD201 for one that completed; it names that one.';

create function scheduler.retry_run(p_run_id uuid, p_author text,
  p_now timestamptz default clock_timestamp()) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_job public.scheduler_jobs;
  v_retry public.scheduler_runs;
begin
  perform scheduler.assert_given(format('retry run %s', v_run.id), 'author',
    format('select scheduler.retry_run(%L, ''who'')', v_run.id), p_author);
  v_job := scheduler.assert_job(v_run.job_name);
  perform scheduler.assert_retriable(v_run);
  v_retry := scheduler.next_attempt(v_run, 'retry', v_run.failures + (v_run.status = 'failed')::integer);
  v_retry.interval_from := coalesce(v_retry.interval_from, scheduler.interval_start(v_job, v_run.scheduled_for));
  perform scheduler.add_runs(array[v_retry]);
  if scheduler.send_run(v_job, v_retry, p_now, true) in ('waits', 'full') and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot retry run %s: other runs of %s are under way, and %s is disabled, so the retry cannot '
        'wait', v_run.id, v_job.name, v_job.name);
  end if;
  perform scheduler.audit('retry_run', 'run', v_run.id::text, null, p_author,
    jsonb_build_object('job', v_run.job_name, 'status', v_run.status, 'verdict', v_run.verdict),
    jsonb_build_object('run_id', v_retry.id, 'attempt', v_retry.attempt), p_now);
  perform scheduler.log_activity(v_job.name, format('attempt %s of the run for %s, which %s, was asked for by %s',
    v_retry.attempt,
    scheduler.local_text(v_run.scheduled_for, v_job.time_zone),
    case v_run.status when 'failed' then 'failed' else 'was ' || v_run.status end, btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_retry.id, 'retry_of', v_run.id), p_now => p_now);
  return v_retry.id;
end;
$$;
comment on function scheduler.retry_run(uuid, text, timestamptz) is
  'Makes one more attempt of a run that failed, was cancelled, missed or skipped, with that run''s payload, and sends '
    'it at once, also when the job is paused or disabled; it waits where other runs of the job are in the way. '
    'Returns the new run. Raises SD002 for an unknown run; SD001 when its job is no longer registered; SD101 while an '
    'attempt of it is alive, or when other runs of a disabled job are in the way; SD201 when an attempt has '
    'completed; SD202 for a row that stands for many occurrences; 22023 for a missing author.';

-- In one statement, as thousands may wait: end_run would write a line of scheduler_activity for each. Waiting runs hold
-- no lock.
create function scheduler.cancel_waiting(
  p_job public.scheduler_jobs, p_is_backfill boolean, p_reason text, p_author text, p_now timestamptz
) returns bigint
language plpgsql set search_path = '' as $$
declare
  v_cancelled bigint;
begin
  update public.scheduler_runs as runs
    set status = 'cancelled', verdict = 'cancelled', completed_at = p_now,
      error_message = format('cancelled by %s: %s', btrim(p_author), btrim(p_reason))
    where job_name = p_job.name and status = 'queued' and (scheduler.is_backfill(runs) or not p_is_backfill);
  get diagnostics v_cancelled = row_count;
  if v_cancelled > 0 and p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
  if v_cancelled > 0 and p_job.continuous then
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  end if;
  if v_cancelled > 0 then
    perform scheduler.audit(case when p_is_backfill then 'cancel_backfill' else 'cancel_queued' end, 'job', p_job.name,
      p_reason, p_author, jsonb_build_object('waiting', v_cancelled), null, p_now);
  end if;
  return v_cancelled;
end;
$$;
comment on function scheduler.cancel_waiting(public.scheduler_jobs, boolean, text, text, timestamptz) is
  'Cancels all runs of the job that wait, or those that are back-filled alone; lets its dependents decide. Returns '
    'how many. The caller holds the job''s row lock.';

create function scheduler.cancel_queued(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_cancelled bigint;
begin
  perform scheduler.assert_given(format('cancel what waits of %s', p_job_name), 'reason and author',
    format('select scheduler.cancel_queued(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  v_cancelled := scheduler.cancel_waiting(v_job, false, p_reason, p_author, p_now);
  if v_cancelled = 0 then
    return format('no run of %s waits', v_job.name);
  end if;
  perform scheduler.log_activity(v_job.name,
    format('%s cancelled by %s: %s', scheduler.count_text(v_cancelled, 'waiting run'), btrim(p_author),
      btrim(p_reason)),
    'warning', jsonb_build_object('cancelled', v_cancelled), p_now);
  return format('%s of %s %s cancelled; what is under way goes on', scheduler.count_text(v_cancelled, 'waiting run'),
    v_job.name,
    case v_cancelled when 1 then 'is' else 'are' end);
end;
$$;
comment on function scheduler.cancel_queued(text, text, text, timestamptz) is
  'Cancels all runs of the job that wait (for its lock, a limit, the time of a retry), with a reason and an author, '
    'and says how many. Raises SD001 for an unknown job; 22023 for a missing reason or author.';

-- A job whose times cannot be worked out (Postgres does not know its zone) must not fail a question about all jobs.
create function scheduler.next_run(p_job public.scheduler_jobs, p_after timestamptz, out run_at timestamptz,
  out fault text)
language plpgsql stable set search_path = '' as $$
begin
  if not p_job.enabled then
    fault := 'is disabled: register it with enabled => true';
  elsif p_job.continuous then
    fault := 'is continuous: ' || coalesce('its next run waits ' || coalesce(
      scheduler.stopped_because(p_job, p_after), (
        select scheduler.wait_reason(p_job, runs, p_after) from public.scheduler_runs as runs
        where job_name = p_job.name and status = 'queued' and waiting ->> 'for' = 'retry' limit 1)),
      'one run follows the other');
  elsif p_job.schedule is null and p_job.depends_on <> '{}' then
    fault := format('has no schedule: it runs for each occurrence of %s', array_to_string(p_job.depends_on, ', '));
  elsif p_job.schedule is null then
    fault := 'has no schedule: it runs when it is enqueued or called';
  else
    run_at := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_after);
    fault := case when run_at is null then 'never occurs again: register it with another schedule' end;
  end if;
exception when invalid_parameter_value then
  fault := sqlerrm || '; register it again with a right one';
end;
$$;
comment on function scheduler.next_run(public.scheduler_jobs, timestamptz) is
  'The job''s first occurrence after a moment, or why it has none: disabled, no schedule, a schedule or a time zone '
    'that cannot be read.';

create function scheduler.dependencies_note(p_job public.scheduler_jobs, p_at timestamptz) returns text
language sql stable set search_path = '' as $$
  select nullif(concat_ws('; ',
    'waits for ' || string_agg(name, ', ' order by place) filter (where answer = 'wait'),
    'will be skipped unless a run completes of ' || string_agg(name, ', ' order by place)
      filter (where answer = 'skip')), '')
  from (
    select name, place, scheduler.dependency_answer(scheduler.newest_state(name, p_at),
      scheduler.is_to_come(name, p_at), not enabled or scheduler.stop_now(jobs, p_at) is not null,
      p_job.on_dependency_failure) as answer
    from unnest(p_job.depends_on) with ordinality as needed (needed_name, place)
      join public.scheduler_jobs as jobs on name = needed_name) as answers;
$$;
comment on function scheduler.dependencies_note(public.scheduler_jobs, timestamptz) is
  'Which of the job''s dependencies an occurrence to come waits for, and because of which it will be skipped, as '
    'things stand; null when it has to wait for none.';

create function scheduler.next_run_note(p_job public.scheduler_jobs, p_at timestamptz) returns text
language sql stable set search_path = '' as $$
  select coalesce(scheduler.stretch_note(p_job, p_at), case
    when stop is not null then 'will be skipped: ' || scheduler.stop_note(p_job, stop)
    when label is not null then 'will be skipped: calendar: ' || label
    when breaker.opened_at is not null and scheduler.breaker_state(breaker.opened_at, p_job.breaker_cooldown_seconds,
      p_at) = 'open' then format('will be skipped: breaker: open since %s', scheduler.local_text(breaker.opened_at,
        p_job.time_zone))
    else nullif(concat_ws('; ',
      case when p_job.depends_on <> '{}' then scheduler.dependencies_note(p_job, p_at) end,
      case when p_job.jitter_seconds > 0 then format('is sent %s s later', round(extract(epoch from
        scheduler.jitter(p_job.name, p_at, p_job.jitter_seconds)), 1)) end,
      case when p_job.defer_if is not null then format('%s may put it off, until %s at the latest', p_job.defer_if,
        scheduler.local_second_text(p_at + make_interval(secs => p_job.defer_at_most_seconds), p_job.time_zone)) end),
      '') end)
  from (select scheduler.stop_kind(p_job, p_at) as stop, scheduler.calendar_label(p_job, p_at) as label) as asked
    left join public.scheduler_breakers as breaker on job_name = p_job.name;
$$;
comment on function scheduler.next_run_note(public.scheduler_jobs, timestamptz) is
  'What is known today of an occurrence to come: why it is left out or will be skipped, what it waits for, its jitter, '
    'what may put it off; null when nothing is.';

create function scheduler.next_runs(p_job_name text default null, p_count integer default 5,
  p_now timestamptz default now())
returns table (job_name text, run_at timestamptz, local_time timestamp, time_zone text, note text)
language plpgsql stable set search_path = '' as $$
declare
  v_jobs public.scheduler_jobs[];
  v_next timestamptz[] := array[]::timestamptz[];
  v_faults text[] := array[]::text[];
  v_job public.scheduler_jobs;
  v_place integer;
  v_found record;
begin
  if p_count is null or p_count not between 1 and 1000 then
    raise exception using errcode = '22023', message = format('count must be from 1 to 1000, got %s',
      coalesce(p_count::text, 'null'));
  end if;
  v_jobs := array(
    select jobs from public.scheduler_jobs as jobs
    where case when p_job_name is null then enabled else name = p_job_name end order by name);
  if p_job_name is not null and cardinality(v_jobs) = 0 then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  foreach v_job in array v_jobs loop
    v_found := scheduler.next_run(v_job, p_now);
    v_next := v_next || v_found.run_at;
    v_faults := v_faults || v_found.fault;
  end loop;

  -- The soonest of all jobs; after it that job's own next one competes.
  for i in 1 .. p_count loop
    select place into v_place from unnest(v_next) with ordinality as soonest (at, place)
      where at is not null order by at, place limit 1;
    exit when v_place is null;
    v_job := v_jobs[v_place];
    job_name := v_job.name;
    run_at := v_next[v_place];
    local_time := run_at at time zone v_job.time_zone;
    time_zone := v_job.time_zone;
    note := scheduler.next_run_note(v_job, run_at);
    return next;
    v_next[v_place] := (scheduler.next_run(v_job, run_at)).run_at;
  end loop;
  return query
    select jobs.name, null::timestamptz, null::timestamp, jobs.time_zone, faults.fault
    from unnest(v_faults) with ordinality as faults (fault, place)
    join unnest(v_jobs) with ordinality as jobs on jobs.ordinality = faults.place
    where faults.fault is not null order by faults.place;
end;
$$;
comment on function scheduler.next_runs(text, integer, timestamptz) is
  'What runs next, of one job or of all enabled ones: the next p_count occurrences in order of time, each as an '
    'instant and as local time. After them a row without a time for each job that has none, with the reason in note '
    '(no schedule, a time zone that Postgres does not know). Raises SD001 for an unknown job; 22023 for a count '
    'outside 1 to 1000.';

create function scheduler.assert_today_key(p_today_key text, p_now timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_is_date boolean := p_today_key ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$';
begin
  if v_is_date then
    begin
      perform p_today_key::date;
    exception when datetime_field_overflow then
      v_is_date := false;
    end;
  end if;
  if v_is_date is not true then
    raise exception using errcode = '22023',
      message = format('cannot mark a daily run: today_key must be a local date as YYYY-MM-DD, got %s',
        coalesce(quote_literal(left(p_today_key, 40)), 'null'));
  end if;
  -- A mark only goes forward: one of a far day would end the scope's days.
  if p_today_key::date > (p_now at time zone 'UTC' + interval '14 hours')::date then
    raise exception using errcode = '22023',
      message = format('cannot mark a daily run: today_key must be a date that has begun somewhere on earth, got %s',
        quote_literal(p_today_key));
  end if;
end;
$$;
comment on function scheduler.assert_today_key(text, timestamptz) is
  'Raises 22023 for a key that is no date as YYYY-MM-DD, or a date that has not begun anywhere.';

create function scheduler.try_mark_daily_run(
  p_today_key text, p_scope text default 'global', p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_previous text;
  v_updated boolean;
begin
  perform scheduler.assert_today_key(p_today_key, p_now);
  if coalesce(p_scope, '') = '' then
    raise exception using errcode = '22023', message = 'cannot mark a daily run: scope must not be empty';
  end if;
  -- The row's lock makes the callers of one scope take turns, so that each sees what the one before it left.
  insert into public.scheduler_state (scope, last_daily_run_key) values (p_scope, '') on conflict do nothing;
  select nullif(last_daily_run_key, '') into v_previous from public.scheduler_state where scope = p_scope for update;
  -- Only a later day counts: a scope moved west or over the date line does not get a day twice.
  v_updated := v_previous is null or p_today_key > v_previous;
  if v_updated then
    update public.scheduler_state set last_daily_run_key = p_today_key, updated_at = now() where scope = p_scope;
  end if;
  return jsonb_build_object(
    'updated', v_updated, 'previous_key', v_previous, 'new_key', case when v_updated then p_today_key
      else v_previous end);
end;
$$;
comment on function scheduler.try_mark_daily_run(text, text, timestamptz) is
  'Marks the local day YYYY-MM-DD as run for a scope, once: {"updated": true} for exactly one caller a day and scope, '
    '{"updated": false} for every other and for an earlier day, with "previous_key" and "new_key". The scope is '
    'global where none is named. Raises 22023 for a key that is no date, or one that has not begun anywhere.';

-- In one statement, for a pack that has thousands of scopes.
create function scheduler.mark_daily_runs(p_marks jsonb, p_now timestamptz default now()) returns integer
language plpgsql set search_path = '' as $$
declare
  v_marked integer;
begin
  if jsonb_typeof(p_marks) <> 'object' or p_marks ? '' then
    raise exception using errcode = '22023',
      message = format('cannot mark daily runs: marks must be {scope: YYYY-MM-DD} with no empty scope, got %s',
        left(p_marks::text, 100));
  end if;
  perform scheduler.assert_today_key(key, p_now)
    from (select distinct value as key from jsonb_each_text(p_marks)) as keys;
  insert into public.scheduler_state as state (scope, last_daily_run_key, updated_at)
    select key, value, p_now from jsonb_each_text(p_marks) order by key
    on conflict (scope) do update set last_daily_run_key = excluded.last_daily_run_key, updated_at = excluded.updated_at
      where excluded.last_daily_run_key > state.last_daily_run_key;
  get diagnostics v_marked = row_count;
  return v_marked;
end;
$$;
comment on function scheduler.mark_daily_runs(jsonb, timestamptz) is
  'Marks days of many scopes as try_mark_daily_run does: p_marks is {scope: YYYY-MM-DD}. Returns how many were '
    'marked; a scope with a mark of that day or a later one keeps it. Raises 22023 for another list or a wrong key.';

create function scheduler.forget_scope(p_scope text) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from public.scheduler_state where scope = p_scope;
  return found;
end;
$$;
comment on function scheduler.forget_scope(text) is
  'Deletes the mark of a scope that is no more, such as a customer that was deleted. False when it had none.';

-- Security definer because service_role, which calls it through REST, may only read scheduler_state.
create function public.try_mark_daily_run(p_today_key text, p_scope text default 'global') returns jsonb
language sql security definer set search_path = '' as $$
  select scheduler.try_mark_daily_run(p_today_key, p_scope);
$$;
comment on function public.try_mark_daily_run(text, text) is
  'scheduler.try_mark_daily_run by the clock of the database.';

revoke all on function public.try_mark_daily_run(text, text) from public, anon, authenticated;
grant execute on function public.try_mark_daily_run(text, text) to service_role;
