-- pg_cron calls dispatch for a job. Dispatch and pulse lock jobs, read their answers, judge their runs and send.

-- The order of locks is the job's row, then the run's row. A transaction that holds the rows of several jobs never
-- waits for another job: two that wait for each other would deadlock.
create function scheduler.try_lock_job(p_job_name text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update skip locked;
  return found or not exists (select from public.scheduler_jobs where name = p_job_name);
end;
$$;
comment on function scheduler.try_lock_job(text) is
  'Locks the job''s row unless somebody else has it: false then. True also for a job that is not registered any more.';

-- Answers come first: an unread answer could end a run that is judged silent, or because of which another is skipped.
create function scheduler.hear_job(p_job_name text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_answers integer;
begin
  if not exists (select from public.scheduler_runs where job_name = p_job_name and status in ('dispatched', 'running'))
    then
    return jsonb_build_object('answers', 0, 'judged', 0);
  end if;
  perform scheduler.requests_since();
  v_answers := scheduler.read_answers(p_job_name, p_now);
  return jsonb_build_object('answers', v_answers, 'judged', scheduler.judge_silent_runs(p_job_name, p_now));
end;
$$;
comment on function scheduler.hear_job(text, timestamptz) is
  'Reads the answers to the job''s runs, then judges those of which nothing was heard, where any run is under way. '
    '{"answers": runs, "judged": runs}. The caller holds the job''s row lock.';

create function scheduler.hear_and_wake(p_job_name text, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_told constant jsonb := scheduler.hear_job(p_job_name, p_now);
begin
  if v_told <> jsonb_build_object('answers', 0, 'judged', 0) then
    perform scheduler.wake_jobs(array[p_job_name], 'epoch');
  end if;
end;
$$;
comment on function scheduler.hear_and_wake(text, timestamptz) is
  'hear_job for those who do not send what waits: the next pulse does, where a run may have ended. The caller holds '
    'the job''s row lock.';

create function scheduler.jobs_to_hear(p_now timestamptz, p_job_names text[] default null) returns setof text
language sql stable set search_path = '' as $$
  select job_name from scheduler.unread_answers(p_job_names) where status = 'dispatched'
  union
  select job_name from scheduler.silent_runs(p_now, p_job_names);
$$;
comment on function scheduler.jobs_to_hear(timestamptz, text[]) is
  'Which of these jobs (null: of all) have a run that an answer may end, or of which nothing was heard for too long.';

create function scheduler.cancel_orphans(p_job_name text, p_now timestamptz) returns void
language sql set search_path = '' as $$
  select scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', p_now,
    p_error_message => 'the job was disabled or taken out of the registry while this run waited', p_send_next => false)
  from public.scheduler_runs where job_name = p_job_name and status = 'queued' limit 1000;
$$;
comment on function scheduler.cancel_orphans(text, timestamptz) is
  'Cancels what waits of a job that is disabled or gone. The caller holds the job''s row lock, if it has a row.';

create function scheduler.advance_job(p_job_name text, p_hear boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_told jsonb := case when p_hear then scheduler.hear_job(p_job_name, p_now) else jsonb_build_object() end;
  v_run_id uuid;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if not coalesce(v_job.enabled, false) then
    perform scheduler.cancel_orphans(p_job_name, p_now);
    delete from scheduler.wakes where job_name = p_job_name and wake_at <= p_now;
    perform scheduler.wake_if_waiting(p_job_name);
    return v_told;
  end if;
  v_job := scheduler.heed_incident(v_job, p_now);
  if exists (select from scheduler.wakes where job_name = p_job_name and wake_at <= p_now) then
    perform scheduler.take_wakes(v_job, p_now);
  end if;
  if v_job.continuous then
    perform scheduler.keep_going(v_job, p_now);
  end if;
  -- Waiting runs are older than occurrences that come due now.
  v_told := v_told || jsonb_build_object('sent', scheduler.send_queued(v_job, p_now));
  v_run_id := scheduler.record_due(v_job, p_now);
  if v_job.stopped_until <= p_now then
    -- What came due in the incident is recorded: from here on it is over for the job.
    update public.scheduler_jobs set stopped_at = null, stopped_until = null where name = p_job_name;
  end if;
  return v_told || jsonb_build_object('run', v_run_id, 'recorded', coalesce(v_job.next_run_at <= p_now,
    false)::integer);
end;
$$;
comment on function scheduler.advance_job(text, boolean, timestamptz) is
  'Hears a job''s runs, if told to, sends what waits as far as it may, and gives its due occurrences their rows. '
    '{"answers", "judged", "sent": runs that waited, "recorded": 1 when any was due, "run": the last one started}. '
    'The caller holds the job''s row lock.';

create function scheduler.advance_jobs(
  p_job_names text[], p_to_hear text[], p_now timestamptz, p_until timestamptz default 'infinity'
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_told jsonb;
  v_answers integer := 0;
  v_judged integer := 0;
  v_sent integer := 0;
  v_recorded integer := 0;
  v_last text;
  v_errors jsonb := jsonb_build_object();
begin
  foreach v_name in array p_job_names loop
    exit when v_last is not null and clock_timestamp() > p_until;
    v_last := v_name;
    continue when not scheduler.try_lock_job(v_name);
    begin
      v_told := scheduler.advance_job(v_name, v_name = any (p_to_hear), p_now);
      v_answers := v_answers + coalesce((v_told ->> 'answers')::integer, 0);
      v_judged := v_judged + coalesce((v_told ->> 'judged')::integer, 0);
      v_sent := v_sent + coalesce((v_told ->> 'sent')::integer, 0);
      v_recorded := v_recorded + coalesce((v_told ->> 'recorded')::integer, 0);
    exception when query_canceled or others then
      -- One job whose zone was dropped, or whose step takes too long, must not stop all others.
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
      raise warning 'cannot dispatch the job %: %', v_name, sqlerrm;
    end;
  end loop;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;
  return jsonb_build_object('answers', v_answers, 'judged', v_judged, 'sent', v_sent, 'recorded', v_recorded,
    'last', v_last, 'errors', v_errors);
end;
$$;
comment on function scheduler.advance_jobs(text[], text[], timestamptz, timestamptz) is
  'advance_job for each of the jobs, each in a subtransaction of its own, until the clock shows p_until (at least '
    'one); p_to_hear are those to hear first. Locks each as it comes to it and leaves those alone that somebody else '
    'holds. The sums of what each tells, {"last": the job it came to, "errors": {job: message}}.';

create function scheduler.lead_dispatch(p_job_name text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' set lock_timeout = '5s' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: dispatch', 0));
  if exists (select from public.scheduler_jobs where name = p_job_name and enabled and next_run_at <= p_now)
    and scheduler.try_lock_job(p_job_name) then
    return true;
  end if;
  -- Only a rollback releases the advisory lock. Waiting for a job's row while holding it would make all others wait.
  raise exception 'this is not the one that leads';
exception when raise_exception or lock_not_available then
  return false;
end;
$$;
comment on function scheduler.lead_dispatch(text, timestamptz) is
  'Makes this transaction the one that dispatches for all others, and locks the job''s row. While another one leads '
    'it waits, up to 5 s: a transaction left open must not hold up every entry. False then, when the job is not due '
    'any more, and when another transaction holds its row: without the lead an entry dispatches only its own job.';

-- pg_cron gives each call a session of its own. There Postgres would plan each statement anew for the first five jobs:
-- with 190 jobs due that costs the session 350 ms of processor time instead of 305, with one job nothing.
create function scheduler.dispatch(p_job_name text, p_now timestamptz default now()) returns uuid
language plpgsql set search_path = '' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_leads boolean;
  v_opens boolean;
  v_run_id uuid;
  v_others text[];
begin
  if not exists (select from public.scheduler_jobs where name = p_job_name) then
    perform scheduler.refuse_unknown_job(p_job_name,
      format('register it, or take the entry out of pg_cron: select cron.unschedule(%L)', p_job_name));
  end if;
  v_leads := scheduler.lead_dispatch(p_job_name, p_now);
  perform from public.scheduler_jobs where name = p_job_name and enabled and next_run_at <= p_now for no key update;
  if not found then
    return null;
  end if;
  v_opens := scheduler.opens_line();
  v_run_id := (scheduler.advance_job(p_job_name, true, p_now) ->> 'run')::uuid;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;

  -- pg_net sends what is committed when it wakes, at most 200 requests, and then sleeps a second: all due
  -- jobs leave in one batch. The entries that waited find their jobs' cursors moved. Recording a long outage takes tens
  -- of milliseconds a job: each job's own entry or the pulse does that, so that no receipt waits for all of them.
  v_others := array(
    select name from public.scheduler_jobs
    where v_leads and enabled and next_run_at <= p_now and next_run_at > p_now - interval '5 minutes'
      and name <> p_job_name
    order by next_run_at, name limit 199);
  if cardinality(v_others) > 0 then
    perform scheduler.advance_jobs(v_others, array(select scheduler.jobs_to_hear(p_now, v_others)), p_now);
  end if;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.dispatch(text, timestamptz) is
  'What pg_cron calls. Starts the job''s occurrence that is due at p_now and returns its run; null when none is due '
    'or it was dispatched already. Takes along what else is due and less than 5 minutes late, up to 200 jobs. Safe to '
    'call any number of times at once. Raises SD001 for an unknown job.';
