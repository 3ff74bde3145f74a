-- A clock that is not pg_cron calls a job's function by itself. pg_cron may fire the same job, and each occurrence runs
-- once.

create function scheduler.take_request_back(p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
begin
  -- Written by this transaction: pg_net cannot have seen it, and the id is no older one's.
  delete from net.http_request_queue
    where id = (p_run).request_id and headers ->> 'x-run-id' = (p_run).id::text;
  update public.scheduler_runs set request_id = null where id = (p_run).id;
end;
$$;
comment on function scheduler.take_request_back(public.scheduler_runs) is
  'Takes the request of a run that this transaction has dispatched out of pg_net''s queue: the caller does its work.';

create function scheduler.already_told(p_job public.scheduler_jobs, p_now timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  select * into v_run from public.scheduler_runs
    where job_name = (p_job).name and trigger in ('cron', 'catch_up') and scheduled_for <= p_now
    order by scheduled_for desc, attempt desc limit 1;
  return jsonb_build_object('begun', false, 'reason', 'already', 'run_id', v_run.id, 'status', v_run.status,
    'scheduled_for', v_run.scheduled_for,
    'message', scheduler.explain((p_job).name, coalesce(v_run.scheduled_for, p_now), p_now));
end;
$$;
comment on function scheduler.already_told(public.scheduler_jobs, timestamptz) is
  'What a clock is told that has nothing to begin: the run of the newest occurrence, if it has one, and the sentence '
    'of explain about it.';

create function scheduler.begin_due_run(
  p_function_name text, p_job_name text default null, p_holder text default '',
  p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
begin
  select * into v_job from public.scheduler_jobs
    where name = coalesce(p_job_name, p_function_name) and function_name = p_function_name;
  if v_job.schedule is null or v_job.continuous then
    return scheduler.begin_manual_run(p_function_name, p_job_name, null, p_holder, p_now);
  end if;
  perform scheduler.dispatch(v_job.name, p_now);
  select * into v_run from public.scheduler_runs
    where job_name = v_job.name and status = 'dispatched' and dispatched_at = p_now
    order by scheduled_for desc limit 1;
  if not found then
    return scheduler.already_told(v_job, p_now);
  end if;
  perform scheduler.take_request_back(v_run);
  return scheduler.begin_run(v_run.id, p_function_name, p_holder, p_now);
end;
$$;
comment on function scheduler.begin_due_run(text, text, text, timestamptz) is
  'Begins the newest occurrence of the job that is due and has not begun, for a clock that is not pg_cron: what is '
    'due is dispatched as pg_cron would, but this run''s request stays here. Answers like begin_run; with {"begun": '
    'false, "reason": "already", "run_id", "status", "scheduled_for", "message"} when there is none. A job without a '
    'schedule is begun as by hand.';

create function public.scheduler_begin_due_run(
  p_function_name text, p_job_name text default null, p_holder text default ''
) returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.begin_due_run(p_function_name, p_job_name, p_holder);
$$;
comment on function public.scheduler_begin_due_run(text, text, text) is 'scheduler.begin_due_run for edge functions.';
revoke all on function public.scheduler_begin_due_run(text, text, text) from public, anon, authenticated;
grant execute on function public.scheduler_begin_due_run(text, text, text) to service_role;
