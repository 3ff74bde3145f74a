-- What pg_cron calls for a job, and what it shares with the pulse: jobs that are locked are heard, judged and sent.

-- The order of locks is the job's row, then the run's row. Whoever holds the rows of several jobs never waits for
-- another one: two that wait for each other's jobs would deadlock.
create or replace function scheduler.try_lock_job(p_job_name text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update skip locked;
  return found or not exists (select from public.scheduler_jobs where name = p_job_name);
end;
$$;
comment on function scheduler.try_lock_job(text) is
  'Locks the job''s row unless somebody else has it: false then. True also for a job that is not registered any more.';

-- Answers first: nothing is judged silent, and nothing skipped because of a run, while an answer to it lies unread.
create or replace function scheduler.hear_job(p_job_name text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_answers integer;
begin
  if not exists (select from public.scheduler_runs where job_name = p_job_name and status in ('dispatched', 'running')) then
    return jsonb_build_object('answers', 0, 'judged', 0);
  end if;
  perform scheduler.requests_since();
  v_answers := scheduler.read_answers(p_job_name, p_now);
  return jsonb_build_object('answers', v_answers, 'judged', scheduler.judge_silent_runs(p_job_name, p_now));
end;
$$;
comment on function scheduler.hear_job(text, timestamptz) is
  'Reads the answers to the job''s runs, then judges those of which nothing was heard, where any run is under way. {"answers": runs, "judged": runs}. The caller holds the job''s row lock.';

create or replace function scheduler.jobs_to_hear(p_now timestamptz, p_job_names text[] default null) returns setof text
language sql stable set search_path = '' as $$
  select job_name from scheduler.unread_answers(p_job_names) where status = 'dispatched'
  union
  select job_name from scheduler.silent_runs(p_now, p_job_names);
$$;
comment on function scheduler.jobs_to_hear(timestamptz, text[]) is
  'Which of these jobs (null: of all) have a run that an answer may end, or of which nothing was heard for too long.';

create or replace function scheduler.cancel_orphans(p_job_name text, p_now timestamptz) returns void
language sql set search_path = '' as $$
  select scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', p_now,
    p_error_message => 'the job was disabled or taken out of the registry while this run waited', p_send_next => false)
  from public.scheduler_runs where job_name = p_job_name and status = 'queued' limit 1000;
$$;
comment on function scheduler.cancel_orphans(text, timestamptz) is
  'Cancels what waits of a job that is disabled or gone. The caller holds the job''s row lock, if it has a row.';

create or replace function scheduler.advance_job(p_job_name text, p_hear boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_told jsonb := case when p_hear then scheduler.hear_job(p_job_name, p_now) else jsonb_build_object() end;
  v_run_id uuid;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if not coalesce(v_job.enabled, false) then
    perform scheduler.cancel_orphans(p_job_name, p_now);
    return v_told;
  end if;
  -- What waits is older than what comes due now.
  v_told := v_told || jsonb_build_object('sent', scheduler.send_queued(v_job, p_now));
  v_run_id := scheduler.record_due(v_job, p_now);
  return v_told || jsonb_build_object('run', v_run_id, 'recorded', coalesce(v_job.next_run_at <= p_now, false)::integer);
end;
$$;
comment on function scheduler.advance_job(text, boolean, timestamptz) is
  'Hears a job''s runs, if told to, sends what waits as far as it may, and gives its due occurrences their rows. {"answers", "judged", "sent": runs that waited, "recorded": 1 when any was due, "run": the last one started}. The caller holds the job''s row lock.';

create or replace function scheduler.advance_jobs(
  p_job_names text[], p_to_hear text[], p_now timestamptz, p_until timestamptz default 'infinity'
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_told jsonb;
  v_report jsonb := jsonb_build_object('answers', 0, 'judged', 0, 'sent', 0, 'recorded', 0);
  v_errors jsonb := jsonb_build_object();
begin
  foreach v_name in array p_job_names loop
    exit when v_report ? 'last' and clock_timestamp() > p_until;
    v_report := v_report || jsonb_build_object('last', v_name);
    continue when not scheduler.try_lock_job(v_name);
    begin
      v_told := scheduler.advance_job(v_name, v_name = any (p_to_hear), p_now);
      v_report := (
        select jsonb_object_agg(key, value::integer + coalesce((v_told ->> key)::integer, 0))
        from jsonb_each(v_report - 'last')) || jsonb_build_object('last', v_name);
    exception when query_canceled or others then
      -- One job whose zone was dropped, or whose step takes too long, must not stop all others.
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
      raise warning 'cannot dispatch the job %: %', v_name, sqlerrm;
    end;
  end loop;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;
  return v_report || jsonb_build_object('errors', v_errors);
end;
$$;
comment on function scheduler.advance_jobs(text[], text[], timestamptz, timestamptz) is
  'advance_job for each of the jobs, each in a subtransaction of its own, until the clock shows p_until (at least one); p_to_hear are those to hear first. Locks each as it comes to it and leaves those alone that somebody else holds. The sums of what each tells, {"last": the job it came to, "errors": {job: message}}.';

-- pg_net sends what is committed when it wakes, and then sleeps a second: what is due now leaves in one batch, which
-- pg_net makes of 200. The entries that come after this one find their jobs' cursors moved. To settle a long outage takes
-- tens of milliseconds a job: that is left to each job's own entry and to the pulse, so that no receipt waits for all of them.
create or replace function scheduler.lock_due_jobs(p_beside text, p_now timestamptz) returns text[]
language sql set search_path = '' as $$
  select array(
    select name from public.scheduler_jobs
    where enabled and next_run_at <= p_now and next_run_at > p_now - interval '5 minutes' and name <> p_beside
    order by next_run_at, name limit 199
    for no key update skip locked);
$$;
comment on function scheduler.lock_due_jobs(text, timestamptz) is
  'Locks the jobs that are due at p_now and less than 5 minutes late, up to 199, but for p_beside and those that somebody else holds. Their names.';

-- Entries start at the very same moment. If each took its own job first, they would commit one by one, and all but the first
-- two wait for pg_net's second. Who has this lock waits for nobody, so it is held for no longer than the rows take to be locked;
-- they must outlast it, which a lock of the transaction would not let them.
create or replace function scheduler.try_gather(p_job_name text, p_now timestamptz) returns text[]
language plpgsql set search_path = '' as $$
declare
  v_key constant bigint := hashtextextended('scheduler.try_gather', 0);
  v_others text[];
begin
  perform pg_advisory_lock(v_key);
  begin
    perform from public.scheduler_jobs where name = p_job_name for no key update skip locked;
    if found then
      v_others := scheduler.lock_due_jobs(p_job_name, p_now);
    end if;
  exception when query_canceled or others then
    perform pg_advisory_unlock(v_key);
    raise;
  end;
  perform pg_advisory_unlock(v_key);
  return v_others;
end;
$$;
comment on function scheduler.try_gather(text, timestamptz) is
  'Locks the job and lock_due_jobs beside it, before another dispatch locks any. The names of the others; null, and nothing locked, when somebody else holds the job.';

create or replace function scheduler.dispatch(p_job_name text, p_now timestamptz default now()) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run_id uuid;
  v_others text[];
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if not found then
    raise exception using errcode = '22023', message = format('cannot dispatch %L: no such job', p_job_name),
      hint = format('register it, or take the entry out of pg_cron: select cron.unschedule(%L)', p_job_name);
  end if;
  if v_job.enabled and v_job.next_run_at <= p_now then
    v_others := scheduler.try_gather(p_job_name, p_now);
    select * into v_job from public.scheduler_jobs where name = p_job_name for no key update;
  end if;
  if v_job.enabled and v_job.next_run_at <= p_now then
    v_run_id := (scheduler.advance_job(p_job_name, true, p_now) ->> 'run')::uuid;
    if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
      perform scheduler.name_failed_dispatches(p_now);
    end if;
  end if;

  v_others := coalesce(v_others, scheduler.lock_due_jobs(p_job_name, p_now));
  if cardinality(v_others) > 0 then
    perform scheduler.advance_jobs(v_others, array(select scheduler.jobs_to_hear(p_now, v_others)), p_now);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.dispatch(text, timestamptz) is
  'What pg_cron calls. Starts the job''s occurrence that is due at p_now and returns its run; null when none is due or it was dispatched already. Takes along what else is due and less than 5 minutes late, up to 200 jobs. Safe to call any number of times at once. Raises 22023 for an unknown job.';

revoke all on function
  scheduler.try_lock_job(text),
  scheduler.hear_job(text, timestamptz),
  scheduler.jobs_to_hear(timestamptz, text[]),
  scheduler.cancel_orphans(text, timestamptz),
  scheduler.advance_job(text, boolean, timestamptz),
  scheduler.advance_jobs(text[], text[], timestamptz, timestamptz),
  scheduler.lock_due_jobs(text, timestamptz),
  scheduler.try_gather(text, timestamptz),
  scheduler.dispatch(text, timestamptz)
from public, anon, authenticated, service_role;
