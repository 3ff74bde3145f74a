-- Receipts: an edge function says that its run has begun, is alive, or has ended.

create function scheduler.begin_run(
  p_run_id uuid, p_function_name text, p_holder text default '', p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  update public.scheduler_runs
    set status = 'running', started_at = greatest(p_now, dispatched_at), heartbeat_at = p_now
    where id = p_run_id and status = 'dispatched' and function_name = p_function_name
    returning * into v_run;
  if found then
    update public.scheduler_locks set
      holder = p_holder,
      expires_at = p_now + make_interval(
        secs => v_run.timeout_seconds + 2 * scheduler.setting('scheduler.heartbeat_timeout_seconds'))
      where run_id = p_run_id;
    return scheduler.begun(v_run);
  end if;

  select * into v_run from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('begun', false, 'reason', case
    when v_run.id is null then 'unknown run'
    when v_run.function_name is distinct from p_function_name then format('the run is for %s',
      coalesce(v_run.function_name, 'a URL'))
    when v_run.status = 'running' then 'already begun'
    when v_run.status = 'queued' then 'not dispatched yet'
    else format('already over: %s (%s)', v_run.status, v_run.verdict) end);
end;
$$;
comment on function scheduler.begin_run(uuid, text, text, timestamptz) is
  'The first receipt. {"begun": true, "run_id", "job_name", "scheduled_for", "attempt", "timeout_seconds", '
    '"heartbeat_seconds"} for exactly one caller, {"begun": false, "reason"} for every other.';

create function scheduler.begun(p_run public.scheduler_runs) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'begun', true, 'run_id', p_run.id, 'job_name', p_run.job_name, 'scheduled_for', p_run.scheduled_for,
    'attempt', p_run.attempt, 'trigger', p_run.trigger, 'timeout_seconds', p_run.timeout_seconds,
    'heartbeat_seconds', scheduler.setting('scheduler.heartbeat_seconds'),
    'interval_from', coalesce(p_run.interval_from, p_run.scheduled_for), 'interval_to', p_run.scheduled_for);
end;
$$;
comment on function scheduler.begun(public.scheduler_runs) is 'What a function is told of the run it has begun.';

create function scheduler.begin_manual_run(
  p_function_name text, p_job_name text, p_payload jsonb, p_holder text default '',
    p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_held record;
begin
  select * into v_job from public.scheduler_jobs
    where name = coalesce(p_job_name, p_function_name) and function_name = p_function_name for no key update;
  if v_job.name is null and p_job_name is not null then
    return jsonb_build_object('begun', false, 'reason', 'unknown job', 'jobs', coalesce(
      (select jsonb_agg(name order by name) from public.scheduler_jobs where function_name = p_function_name), '[]'));
  end if;

  if v_job.name is not null then
    perform scheduler.hear_and_wake(v_job.name, p_now);
  end if;
  -- A function that no job names gets the defaults of a job.
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.job_name := coalesce(v_job.name, p_function_name);
  v_run.function_name := p_function_name;
  v_run.max_attempts := 1;
  v_run.timeout_seconds := coalesce(v_job.timeout_seconds, 120);
  v_run.payload := coalesce(p_payload, v_job.payload, '{}');
  v_run.receipt := coalesce(v_job.receipt, 'function');
  v_run.interval_from := scheduler.interval_start(v_job, p_now);
  v_run.status := 'running';
  v_run.dispatched_at := p_now;
  v_run.started_at := p_now;
  v_run.heartbeat_at := p_now;
  perform scheduler.add_runs(array[v_run]);

  -- A function without a job has no lock.
  if scheduler.takes_lock(v_job) and not scheduler.try_lock(
    v_job.name, v_run.id, p_holder, p_now,
    p_now + make_interval(secs => v_run.timeout_seconds + 2 * scheduler.setting('scheduler.heartbeat_timeout_seconds'))
  ) then
    select run_id, acquired_at into v_held from public.scheduler_locks where name = v_job.name;
    delete from public.scheduler_runs where id = v_run.id;
    return jsonb_build_object('begun', false, 'reason', 'busy', 'run_id', v_held.run_id, 'since', v_held.acquired_at);
  end if;
  if v_job.group_name is not null and not scheduler.take_slot(v_job.group_name, v_run.id) then
    select id, dispatched_at into v_held from public.scheduler_runs
      where id in (select run_id from scheduler.group_slots where group_name = v_job.group_name) order by 2 limit 1;
    delete from public.scheduler_runs where id = v_run.id;
    return jsonb_build_object('begun', false, 'reason', 'busy', 'run_id', v_held.id, 'since', v_held.dispatched_at);
  end if;
  return scheduler.begun(v_run);
end;
$$;
comment on function scheduler.begin_manual_run(text, text, jsonb, text, timestamptz) is
  'Begins a run for a person who called the function itself, with the payload given, or (null) the registered one. '
    'Answers like begin_run; refused with reason "busy" (and the run that holds the lock) or "unknown job" (and the '
    'jobs there are). Such a run is not retried: the person sees the error.';

create function scheduler.heartbeat_run(p_run_id uuid, p_progress jsonb default null, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_status text;
begin
  update public.scheduler_runs
    set heartbeat_at = greatest(p_now, heartbeat_at), progress = coalesce(p_progress, progress)
    where id = p_run_id and status = 'running';
  if found then
    return jsonb_build_object('running', true);
  end if;
  select status into v_status from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('running', false, 'status', coalesce(v_status, 'unknown run'));
end;
$$;
comment on function scheduler.heartbeat_run(uuid, jsonb, timestamptz) is
  '{"running": true}, or {"running": false, "status"} when the run is over and its work should stop.';

create function scheduler.finish_run(
  p_run_id uuid,
  p_outcome text,
  p_result jsonb default null,
  p_error_message text default null,
  p_error_detail jsonb default null,
  p_retryable boolean default true,
  p_resume_at timestamptz default null,
  p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  if p_outcome is null or p_outcome not in ('completed', 'failed', 'deferred', 'timed_out', 'interrupted') then
    raise exception using errcode = '22023',
      message = format('cannot finish a run: outcome must be completed, failed, deferred, timed_out or interrupted, '
        'got %s', coalesce(p_outcome, 'null'));
  end if;
  if p_outcome = 'deferred' and isfinite(p_resume_at) is not true then
    raise exception using errcode = '22023',
      message = format('cannot finish a run: one that is deferred must say from when it goes on, got %s',
        coalesce(p_resume_at::text, 'null'));
  end if;
  if scheduler.end_run(
    p_run_id, array['running'],
    case when p_outcome in ('completed', 'deferred') then p_outcome else 'failed' end,
    case p_outcome when 'completed' then 'ok' when 'failed' then 'job_error' else p_outcome end,
    p_now, p_result, p_error_message, p_error_detail, p_retryable, p_resume_at => p_resume_at
  ) then
    return jsonb_build_object('finished', true);
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('finished', false, 'reason', case
    when v_run.id is null then 'unknown run'
    when v_run.completed_at is null then 'not begun'
    else format('already over: %s (%s)', v_run.status, v_run.verdict) end);
end;
$$;
comment on function scheduler.finish_run(uuid, text, jsonb, text, jsonb, boolean, timestamptz, timestamptz) is
  'The last receipt. Ends a running run as completed, failed (timed_out and interrupted are failures with that '
    'verdict) or deferred (its continuation goes on from p_resume_at) and plans its retry. {"finished": false, '
    '"reason"}, and nothing changed, when the run is not running. Raises 22023 for an unknown outcome, or a deferred '
    'run without a moment to go on at.';

-- The doors for edge functions. Security definer because service_role, which calls them through REST, has no
-- right in the private schema, and ending a run may send the next one, which reads Vault.

create function public.scheduler_begin_run(p_run_id uuid, p_function_name text, p_holder text default '')
returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.begin_run(p_run_id, p_function_name, p_holder);
$$;
comment on function public.scheduler_begin_run(uuid, text, text) is 'scheduler.begin_run for edge functions.';

create function public.scheduler_begin_manual_run(
  p_function_name text, p_job_name text default null, p_payload jsonb default null, p_holder text default ''
) returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.begin_manual_run(p_function_name, p_job_name, p_payload, p_holder);
$$;
comment on function public.scheduler_begin_manual_run(text, text, jsonb, text) is
  'scheduler.begin_manual_run for edge functions.';

create function public.scheduler_heartbeat_run(p_run_id uuid, p_progress jsonb default null)
returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.heartbeat_run(p_run_id, p_progress);
$$;
comment on function public.scheduler_heartbeat_run(uuid, jsonb) is 'scheduler.heartbeat_run for edge functions.';

create function public.scheduler_finish_run(
  p_run_id uuid, p_outcome text, p_result jsonb default null, p_error_message text default null,
  p_error_detail jsonb default null, p_retryable boolean default true, p_resume_at timestamptz default null
) returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.finish_run(p_run_id, p_outcome, p_result, p_error_message, p_error_detail, p_retryable,
    p_resume_at);
$$;
comment on function public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean, timestamptz)
  is
  'scheduler.finish_run for edge functions.';

revoke all on function public.scheduler_begin_run(uuid, text, text) from public, anon, authenticated;
revoke all on function public.scheduler_begin_manual_run(text, text, jsonb, text) from public, anon, authenticated;
revoke all on function public.scheduler_heartbeat_run(uuid, jsonb) from public, anon, authenticated;
revoke all on function
  public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean, timestamptz)
from public, anon, authenticated;
grant execute on function public.scheduler_begin_run(uuid, text, text) to service_role;
grant execute on function public.scheduler_begin_manual_run(text, text, jsonb, text) to service_role;
grant execute on function public.scheduler_heartbeat_run(uuid, jsonb) to service_role;
grant execute on function public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean,
  timestamptz) to service_role;
