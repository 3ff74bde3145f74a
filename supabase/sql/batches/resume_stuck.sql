-- What is done about a stuck batch job. Its row's lock makes all that resume, finish or cancel it take turns.

create function batches.resume_stuck_job(p_job_id uuid, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql set search_path = '' set jit = off as $$
declare
  v_job public.batch_jobs;
  v_settings record;
  v_runs record;
  v_action text;
  v_freed integer := 0;
  v_failed integer := 0;
  v_reason text;
begin
  select * into v_settings from batches.stuck_settings();
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  if not found then
    raise exception using errcode = 'SD007', message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;

  if v_job.completed_at is not null then
    v_action := 'over';
  elsif batches.end_job_when_done(p_job_id, p_now) not in ('pending', 'running') then
    v_action := 'ended';
  elsif greatest(coalesce(v_job.last_heartbeat, v_job.created_at), v_job.resumed_at) >= p_now - v_settings.heartbeat_timeout
    and greatest(coalesce(v_job.last_progress_at, v_job.started_at, v_job.created_at), v_job.resumed_at) >= p_now - v_settings.progress_timeout then
    v_action := 'none';
  else
    v_freed := batches.free_expired_leases(p_job_id, p_now);
    select * into v_runs from batches.runs_of(p_job_id, v_settings.heartbeat_timeout, p_now);
    if v_runs.beats or exists (select from public.batch_leases where job_id = p_job_id) then
      v_action := 'alive';
    elsif v_runs.waits then
      v_action := 'waits';
    else
      -- Whoever got something done since the last time is not hopeless.
      v_job.resumes := case when v_job.last_progress_at > v_job.resumed_at then 0 else v_job.resumes end;
      if v_job.resumes < v_settings.max_resumes then
        v_action := 'resumed';
        v_job.resumes := v_job.resumes + 1;
        update public.batch_jobs set resumes = v_job.resumes, resumed_at = p_now where id = p_job_id;
        perform batches.continue_job(p_job_id, 0, p_now);
      else
        v_action := 'gave_up';
        v_reason := format('given up: stuck again after being resumed %s times', v_job.resumes);
        update public.batch_tasks
          set status = 'failed', error_message = coalesce(error_message, v_reason), completed_at = p_now
          where job_id = p_job_id and completed_at is null;
        get diagnostics v_failed = row_count;
        update public.batch_jobs
          set tasks_failed = tasks_failed + v_failed,
            reasons = reasons || jsonb_build_object(v_reason, v_failed + coalesce((reasons ->> v_reason)::integer, 0))
          where id = p_job_id and v_failed > 0;
        perform batches.end_job_when_done(p_job_id, p_now);
      end if;
    end if;
  end if;

  select * into v_job from public.batch_jobs where id = p_job_id;
  return jsonb_build_object(
    'job_id', p_job_id, 'stuck', v_action in ('ended', 'resumed', 'gave_up'), 'action', v_action, 'status', v_job.status,
    'freed', v_freed, 'failed', v_failed, 'resumes', v_job.resumes,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed);
end;
$$;
comment on function batches.resume_stuck_job(uuid, timestamptz) is
  'Does what a batch job needs that nobody works on: {"job_id", "stuck", "action", "status" now, "freed": tasks of expired leases, "failed": tasks given up, "resumes", "open": tasks}. Actions: over: it had ended; ended: all its tasks had, so it ends; none: heard of lately; alive: a processor works on it, however slowly; waits: a run of the processor waits in the ledger; resumed: a run was enqueued; gave_up: resumed too often (daily_batch.max_resumes), its open tasks fail. Raises SD007 for an unknown batch job.';

-- Security definer: service_role may only read batches, and enqueuing a run may send it.
create function public.resume_stuck_batch_job(p_job_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.resume_stuck_job(p_job_id);
$$;
comment on function public.resume_stuck_batch_job(uuid) is
  'batches.resume_stuck_job by the clock of the database.';

revoke all on function public.resume_stuck_batch_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.resume_stuck_batch_job(uuid) to service_role;
