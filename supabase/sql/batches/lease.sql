-- A processor at work: it reports that it is alive, gives tasks back, has the next run called. And how a person
-- cancels.
--
-- A batch job is read by its id alone, and its end is looked at afterwards: for "completed_at is null" the planner may
-- read the index of open batch jobs, which are thousands each morning.

create function batches.heartbeat_job(
  p_job_id uuid, p_token uuid, p_lease_seconds integer default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_held integer;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return jsonb_build_object('status', coalesce(v_job.status, 'unknown'), 'held', 0);
  end if;
  update public.batch_jobs set last_heartbeat = greatest(last_heartbeat, p_now) where id = p_job_id;
  update batches.leases
    set leased_until = greatest(leased_until,
      p_now + make_interval(secs => coalesce(p_lease_seconds, (batches.settings() ->> 'lease_seconds')::integer)))
    where job_id = p_job_id and token = p_token
    returning cardinality(task_ids) into v_held;
  return jsonb_build_object('status', v_job.status, 'held', coalesce(v_held, 0));
end;
$$;
comment on function batches.heartbeat_job(uuid, uuid, integer, timestamptz) is
  'A processor works on the batch job: its lease lasts p_lease_seconds from now (the setting when null). {"status" of '
    'the job, unknown when there is none, "held": tasks it still leases}; a job that is over is not to be worked on.';

create function public.heartbeat_batch_job(
  p_job_id uuid, p_token uuid, p_lease_seconds integer default null
) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.heartbeat_job(p_job_id, p_token, p_lease_seconds);
$$;
comment on function public.heartbeat_batch_job(uuid, uuid, integer) is
  'batches.heartbeat_job by the clock of the database.';

create function batches.release_tasks(
  p_job_id uuid, p_token uuid, p_ids bigint[] default null, p_now timestamptz default now()
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_leased bigint[];
  v_released bigint[];
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return 0;
  end if;
  -- A processor that gives tasks back is alive.
  update public.batch_jobs set last_heartbeat = greatest(last_heartbeat, p_now) where id = p_job_id;
  select task_ids into v_leased from batches.leases where job_id = p_job_id and token = p_token;
  v_released := case when p_ids is null then v_leased
    else array(select task_id from unnest(v_leased) as task_id where task_id = any (p_ids)) end;
  perform batches.shorten_lease(p_job_id, p_token, v_leased, v_released);
  perform batches.look_again_for_tasks(p_job_id, v_released);
  return coalesce(cardinality(v_released), 0);
end;
$$;
comment on function batches.release_tasks(uuid, uuid, bigint[], timestamptz) is
  'Gives back tasks that were claimed and not called, all of the token''s or these. They have used no attempt. '
    'Returns how many.';

create function public.release_batch_tasks(p_job_id uuid, p_token uuid, p_ids bigint[] default null) returns integer
language sql security definer set search_path = '' as $$
  select batches.release_tasks(p_job_id, p_token, p_ids);
$$;
comment on function public.release_batch_tasks(uuid, uuid, bigint[]) is
  'batches.release_tasks by the clock of the database.';

create function batches.continue_job(
  p_job_id uuid, p_wait_ms bigint default 0, p_now timestamptz default clock_timestamp()
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  -- A day at most: a run that comes too early finds nothing to do and has the next one called.
  v_run_after timestamptz := case when p_wait_ms > 0 then p_now + least(p_wait_ms, 86400000) * interval '1 ms' end;
begin
  -- Callers take turns, so that one run waits and not two.
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return false;
  end if;
  perform from public.scheduler_jobs where name = 'robust-batch-processor' for no key update;
  update public.scheduler_runs
    set run_after = case when v_run_after is not null and run_after is not null then least(run_after, v_run_after) end
    where id = (
      select id from scheduler.runs_with_key('robust-batch-processor', p_job_id::text)
      where status = 'queued' order by scheduled_for limit 1);
  perform scheduler.enqueue_runs('robust-batch-processor',
    case when found then '[]' else jsonb_build_array(batches.run_request(p_job_id)) end, v_run_after, p_now);
  return true;
end;
$$;
comment on function batches.continue_job(uuid, bigint, timestamptz) is
  'Has a processor called for the batch job, at once or in p_wait_ms milliseconds (a day at most). A run that waits '
    'already is called earlier if need be. False when the job is over or unknown.';

-- Security definer: service_role may only read batches, and enqueuing a run may send it, which reads Vault.
create function public.continue_batch_job(p_job_id uuid, p_wait_ms bigint default 0) returns boolean
language sql security definer set search_path = '' as $$
  select batches.continue_job(p_job_id, p_wait_ms);
$$;
comment on function public.continue_batch_job(uuid, bigint) is 'batches.continue_job by the clock of the database.';

create function batches.cancel_job(p_job_id uuid, p_reason text, p_author text, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_cancelled integer;
begin
  perform scheduler.assert_given('cancel a batch job', 'reason and author',
    format('select batches.cancel_job(%L, ''why'', ''who'')', p_job_id), p_reason, p_author);
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null then
    raise exception using errcode = 'SD007',
      message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;
  if v_job.completed_at is not null then
    return jsonb_build_object('cancelled', false, 'status', v_job.status);
  end if;
  update public.batch_tasks set status = 'cancelled', completed_at = p_now where job_id = p_job_id and completed_at
    is null;
  get diagnostics v_cancelled = row_count;
  delete from batches.leases where job_id = p_job_id;
  delete from batches.waits where job_id = p_job_id;
  update public.batch_jobs
    set status = 'cancelled', completed_at = greatest(p_now, started_at),
      reasons = reasons || jsonb_build_object(
        scheduler.one_line(format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)), 200), v_cancelled)
    where id = p_job_id;
  perform scheduler.audit('cancel_batch_job', 'batch job', p_job_id::text, p_reason, p_author,
    jsonb_build_object('status', v_job.status), jsonb_build_object('tasks_cancelled', v_cancelled), p_now);
  perform scheduler.log_activity('robust-batch-processor',
    format('batch job %s of %s was cancelled by %s: %s', p_job_id, v_job.batch_date, btrim(p_author), btrim(p_reason)),
    'warning',
    jsonb_build_object('batch_job_id', p_job_id, 'tasks_cancelled', v_cancelled), p_now);
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'tasks_cancelled', v_cancelled,
    'tasks_completed', v_job.tasks_completed, 'tasks_failed', v_job.tasks_failed);
end;
$$;
comment on function batches.cancel_job(uuid, text, text, timestamptz) is
  'Ends a batch job for a person, with reason and author: its open tasks are cancelled, answers stay, processors stop '
    'at their next heartbeat. {"cancelled": true, "tasks_cancelled", …}, or {"cancelled": false, "status"} when it '
    'was over. Raises SD007 for an unknown batch job; 22023 for a missing reason or author.';

revoke all on function public.heartbeat_batch_job(uuid, uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.release_batch_tasks(uuid, uuid, bigint[]) from public, anon, authenticated, service_role;
revoke all on function public.continue_batch_job(uuid, bigint) from public, anon, authenticated, service_role;
grant execute on function public.heartbeat_batch_job(uuid, uuid, integer) to service_role;
grant execute on function public.release_batch_tasks(uuid, uuid, bigint[]) to service_role;
grant execute on function public.continue_batch_job(uuid, bigint) to service_role;
