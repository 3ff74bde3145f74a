-- What is done about a stuck batch job. Whatever resumes, finishes or cancels it takes turns by its row's lock.

create function batches.resumes_in_vain(p_job public.batch_jobs) returns integer
language sql immutable set search_path = '' as $$
  select case when p_job.last_progress_at > p_job.resumed_at then 0 else p_job.resumes end;
$$;
comment on function batches.resumes_in_vain(public.batch_jobs) is
  'How often the batch job was resumed since a task last ended.';

create function batches.decide_resume(
  p_job public.batch_jobs, p_is_alive boolean, p_run_waits boolean, p_limits batches.stuck_limits, p_now timestamptz
) returns text
language sql immutable set search_path = '' as $$
  select case
    when not batches.is_silent(p_job, p_limits, p_now) then 'none'
    when p_is_alive then 'alive'
    when p_run_waits then 'waits'
    when batches.resumes_in_vain(p_job) < p_limits.max_resumes then 'resumed'
    else 'gave_up' end;
$$;
comment on function batches.decide_resume(
  public.batch_jobs, boolean, boolean, batches.stuck_limits, timestamptz) is
  'What an open batch job needs (see resume_stuck_job). p_is_alive: a lease lasts or a run of the processor is alive; '
    'p_run_waits: a run of the processor waits. Writes nothing.';

create function batches.give_up_job(p_job public.batch_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_reason text := format('given up: stuck again after being resumed %s times', batches.resumes_in_vain(p_job));
  v_failed integer;
begin
  update public.batch_tasks
    set status = 'failed', error_message = coalesce(error_message, v_reason), completed_at = p_now
    where job_id = p_job.id and completed_at is null;
  get diagnostics v_failed = row_count;
  update public.batch_jobs
    set tasks_failed = tasks_failed + v_failed,
      reasons = reasons || jsonb_build_object(v_reason, v_failed + coalesce((reasons ->> v_reason)::integer, 0))
    where id = p_job.id and v_failed > 0;
  perform batches.end_job_when_done(p_job.id, p_now);
  return v_failed;
end;
$$;
comment on function batches.give_up_job(public.batch_jobs, timestamptz) is
  'Lets the open tasks of a batch job fail, with which it ends. Returns how many. The caller holds its lock.';

create function batches.resume_stuck_job(p_job_id uuid, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_limits batches.stuck_limits := batches.stuck_limits();
  v_job public.batch_jobs;
  v_action text;
  v_freed integer := 0;
  v_failed integer := 0;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null then
    raise exception using errcode = 'SD007',
      message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;

  if v_job.completed_at is not null then
    v_action := 'over';
  elsif batches.end_job_when_done(p_job_id, p_now) not in ('pending', 'running') then
    v_action := 'ended';
  else
    if batches.is_silent(v_job, v_limits, p_now) then
      v_freed := batches.free_expired_leases(p_job_id, p_now);
    end if;
    select batches.decide_resume(v_job,
        coalesce(bool_or(batches.run_is_alive(runs, v_limits, p_now)), false)
          or exists (select from batches.leases where job_id = p_job_id),
        coalesce(bool_or(runs.status = 'queued'), false), v_limits, p_now) into v_action
      from scheduler.runs_with_key('robust-batch-processor', p_job_id::text) as runs;
    if v_action = 'resumed' then
      update public.batch_jobs set resumes = batches.resumes_in_vain(v_job) + 1, resumed_at = p_now where id = p_job_id;
      perform batches.continue_job(p_job_id, 0, p_now);
    elsif v_action = 'gave_up' then
      v_failed := batches.give_up_job(v_job, p_now);
    end if;
  end if;

  select * into v_job from public.batch_jobs where id = p_job_id;
  return jsonb_build_object(
    'job_id', p_job_id, 'stuck', v_action in ('ended', 'resumed', 'gave_up'), 'action', v_action,
    'status', v_job.status, 'freed', v_freed, 'failed', v_failed, 'resumes', v_job.resumes,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed);
end;
$$;
comment on function batches.resume_stuck_job(uuid, timestamptz) is
  'Does what a batch job needs that no processor works on: {"job_id", "stuck", "action", "status" now, "freed": tasks '
    'of expired leases, "failed": tasks given up, "resumes", "open": tasks}. Actions: over: it had ended; ended: all '
    'its tasks had, so it ends; none: heard of lately; alive: a processor works on it, however slowly; waits: a run '
    'of the processor waits in the ledger; resumed: a run was enqueued; gave_up: resumed too often '
    '(daily_batch.max_resumes), its open tasks fail. Raises SD007 for an unknown batch job.';

-- Security definer: service_role may only read batches, and enqueuing a run may send it.
create function public.resume_stuck_batch_job(p_job_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.resume_stuck_job(p_job_id);
$$;
comment on function public.resume_stuck_batch_job(uuid) is 'batches.resume_stuck_job by the clock of the database.';

revoke all on function public.resume_stuck_batch_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.resume_stuck_batch_job(uuid) to service_role;
