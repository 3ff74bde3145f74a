-- Runs that other work asks for: no schedule, but the same ledger, retries and limits.

create function scheduler.enqueue_runs(
  p_job_name text, p_payloads jsonb, p_run_after timestamptz default null, p_now timestamptz default clock_timestamp()
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_first timestamptz;
begin
  if jsonb_typeof(p_payloads) is distinct from 'array'
    or exists (select from jsonb_array_elements(p_payloads) as payload where jsonb_typeof(payload) <> 'object') then
    raise exception using errcode = '22023',
      message = format('cannot enqueue runs of %s: payloads must be a JSON array of objects, got %s', p_job_name,
        coalesce(left(p_payloads::text, 100), 'null'));
  end if;
  if not isfinite(p_run_after) then
    raise exception using errcode = '22023',
      message = format('cannot enqueue runs of %s: run_after must be a moment or null, got %s', p_job_name,
        p_run_after);
  end if;
  -- What is enqueued at one moment is told apart by microseconds: an occurrence is known by its time. Calls of a person
  -- are not in the way, and not in that index.
  select greatest(p_now, max(scheduled_for) + interval '1 microsecond') into v_first
    from public.scheduler_runs
    where job_name = p_job_name and scheduled_for >= p_now and scheduled_for < p_now + interval '1 minute'
      and trigger <> 'manual';
  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload, run_after
  )
  select v_job.name, v_job.function_name, 'queued', 'enqueued',
    coalesce(v_first, p_now) + (place - 1) * interval '1 microsecond', v_job.max_attempts, v_job.timeout_seconds,
      payload, p_run_after
  from jsonb_array_elements(p_payloads) with ordinality as payloads (payload, place);
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  return jsonb_array_length(p_payloads);
end;
$$;
comment on function scheduler.enqueue_runs(text, jsonb, timestamptz, timestamptz) is
  'Enqueues a run of the job for each payload of the array, not before p_run_after; sends those that may go at once, '
    'the others follow as runs end. Returns how many. Raises SD001 for an unknown job; 22023 for payloads that are no '
    'array of objects, or a p_run_after that is infinite.';
