-- The pulse: once a minute, in pure SQL, what nobody else is there to do. It needs no edge function to be alive.

-- What an answer without a receipt means. Null: nothing yet, the receipt may still come.
create or replace function scheduler.answer_verdict(p_receipt text, p_status integer, p_timed_out boolean, p_error text)
returns text
language sql immutable set search_path = '' as $$
  select case
    when p_status between 200 and 299 then case p_receipt when 'response' then 'ok' end
    when p_status in (401, 403) then 'unauthorized'
    when p_status = 404 then 'not_found'
    when p_status in (400, 413, 415, 422) then 'bad_input'
    when p_status = 429 then 'rate_limited'
    when p_status = 503 then 'boot_error'
    when p_status = 504 then 'gateway_timeout'
    when p_status = 546 then 'worker_limit'
    when p_status is not null then 'http_error'
    when p_timed_out then case p_receipt when 'response' then 'timed_out' end
    when p_error is not null then case when p_error ilike 'timeout%' then case p_receipt when 'response' then 'timed_out' end
      else 'unreachable' end
  end;
$$;
comment on function scheduler.answer_verdict(text, integer, boolean, text) is
  'The verdict that pg_net''s answer alone justifies; null when it proves nothing (a function still at work).';

-- The order of locks is the job's row, then the run's row. Pulse holds the rows of many jobs until it commits, so it
-- never waits for one: two that wait for each other's jobs would deadlock. The next pulse comes in a minute.
create or replace function scheduler.try_lock_job(p_job_name text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update skip locked;
  return found or not exists (select from public.scheduler_jobs where name = p_job_name);
end;
$$;
comment on function scheduler.try_lock_job(text) is
  'Locks the job''s row unless somebody else has it: false then. True also for a job that is not registered any more.';

create or replace function scheduler.read_answers(p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_answer record;
  v_verdict text;
  v_read integer := 0;
  v_since timestamptz := scheduler.requests_since();
begin
  for v_answer in
    -- Ids start again after a crash: an answer belongs to the newest run of that id that was sent before it.
    select distinct on (responses.id)
      responses.id as request_id, responses.status_code, responses.timed_out, responses.error_msg, responses.content,
      runs.id as run_id, runs.job_name, runs.status, runs.dispatched_at, runs.function_name, runs.receipt
    from public.scheduler_runs as runs
    -- pg_net stamps an answer with the begin of its own transaction, which can lie a moment before ours.
    join net._http_response as responses
      on responses.id = runs.request_id and responses.created >= runs.dispatched_at - interval '5 seconds'
    where runs.request_id is not null and runs.answered_at is null and runs.dispatched_at >= v_since
      and coalesce(responses.headers ->> 'x-run-id', runs.id::text) = runs.id::text
    order by responses.id, runs.dispatched_at desc
    limit 1000
  loop
    continue when not scheduler.try_lock_job(v_answer.job_name);
    update public.scheduler_runs
      set answered_at = p_now, response_status = v_answer.status_code, response_error = left(v_answer.error_msg, 500),
        verdict = case when verdict = 'ok' then scheduler.completed_verdict(v_answer.status_code) else verdict end
      where id = v_answer.run_id;
    -- Older runs with the same id lost theirs in the crash that reset the ids.
    update public.scheduler_runs
      set answered_at = p_now, response_error = 'the request id was used again before an answer came'
      where id in (
        select id from public.scheduler_runs
        where request_id = v_answer.request_id and answered_at is null and dispatched_at < v_answer.dispatched_at
        for no key update skip locked);
    v_read := v_read + 1;

    v_verdict := scheduler.answer_verdict(
      v_answer.receipt, v_answer.status_code, v_answer.timed_out, v_answer.error_msg);
    if v_answer.status = 'dispatched' and v_verdict is not null then
      perform scheduler.end_run(
        v_answer.run_id, array['dispatched'], case v_verdict when 'ok' then 'completed' else 'failed' end, v_verdict, p_now,
        p_error_message => case when v_verdict <> 'ok' then coalesce(
          case when v_answer.function_name is not null then scheduler.answer_message(v_answer.content) end,
          left(v_answer.error_msg, 500), format('HTTP %s', v_answer.status_code)) end,
        p_retryable => v_verdict <> 'bad_input', p_send_next => false);
    end if;
  end loop;
  return v_read;
end;
$$;
comment on function scheduler.read_answers(timestamptz) is
  'Ties pg_net''s answers to their runs and ends those that an answer alone decides. Returns how many it read.';

create or replace function scheduler.completed_verdict(p_status integer) returns text
language sql immutable set search_path = '' as $$
  select case when p_status is null then 'ok_unanswered' when p_status < 300 then 'ok' else 'ok_contradicted' end;
$$;
comment on function scheduler.completed_verdict(integer) is
  'The verdict of a run that delivered its receipt, given the HTTP status pg_net saw (null: none).';

-- Our own functions answer {"error": {"code", "message"}}; nothing else of a body is kept, it may hold anything.
create or replace function scheduler.answer_message(p_content text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return left(p_content::jsonb -> 'error' ->> 'message', 500);
exception when data_exception or program_limit_exceeded then
  -- No JSON, JSON that jsonb cannot hold (\u0000), or nested too deep.
  return null;
end;
$$;
comment on function scheduler.answer_message(text) is 'The message in a function''s error answer, null when it holds none.';

create or replace function scheduler.judge_silent_runs(p_now timestamptz, p_job_name text default null) returns integer
language plpgsql set search_path = '' as $$
declare
  v_run record;
  v_judged integer := 0;
  v_receipt_timeout interval := make_interval(secs => scheduler.setting('receipt_timeout_seconds'));
  v_heartbeat_timeout interval := make_interval(secs => scheduler.setting('heartbeat_timeout_seconds'));
  v_grace interval := make_interval(secs => scheduler.setting('deadline_grace_seconds'));
begin
  for v_run in
    select runs.id, runs.job_name, runs.status, runs.request_id, runs.heartbeat_at, runs.dispatched_at, case
        when runs.status = 'running' and runs.started_at + make_interval(secs => runs.timeout_seconds) + v_grace < p_now
          then 'timed_out'
        when runs.status = 'running' then 'stalled'
        when runs.response_status between 200 and 299 then 'no_receipt'
        when exists (select from net.http_request_queue as waiting where waiting.id = runs.request_id) then 'not_sent'
        else 'lost'
      end as verdict
    from public.scheduler_runs as runs
    where (p_job_name is null or runs.job_name = p_job_name) and ((runs.status = 'running' and (
        runs.heartbeat_at < p_now - v_heartbeat_timeout
        or runs.started_at + make_interval(secs => runs.timeout_seconds) + v_grace < p_now))
      or (runs.status = 'dispatched' and runs.dispatched_at < p_now - v_receipt_timeout - case runs.receipt
        when 'response' then make_interval(secs => runs.timeout_seconds) else interval '0' end))
    limit 1000
  loop
    continue when not scheduler.try_lock_job(v_run.job_name);
    -- A heartbeat may have come since.
    perform from public.scheduler_runs
      where id = v_run.id and status = v_run.status and heartbeat_at is not distinct from v_run.heartbeat_at
      for no key update;
    continue when not found;
    if v_run.verdict = 'not_sent' then
      -- Taken back, so that it cannot go out beside its retry. If pg_net holds the row it is being sent at this moment.
      delete from net.http_request_queue where id in (
        select id from net.http_request_queue where id = v_run.request_id for update skip locked);
      continue when not found and v_run.dispatched_at > p_now - interval '1 hour';
    end if;
    if scheduler.end_run(v_run.id, array[v_run.status], 'failed', v_run.verdict, p_now,
      p_error_message => (select meaning from scheduler.verdicts where verdict = v_run.verdict), p_send_next => false) then
      v_judged := v_judged + 1;
    end if;
  end loop;

  if p_job_name is not null then
    return v_judged;
  end if;
  -- Nothing more will be heard of these requests.
  update public.scheduler_runs
    set answered_at = p_now, response_error = 'no answer was seen',
      verdict = case when verdict = 'ok' then 'ok_unanswered' else verdict end
    where request_id is not null and answered_at is null and completed_at is not null
      and dispatched_at < p_now - v_receipt_timeout - make_interval(secs => timeout_seconds);
  return v_judged;
end;
$$;
comment on function scheduler.judge_silent_runs(timestamptz, text) is
  'Ends runs (of one job, or of all) of which nothing was heard for too long: lost, not_sent, no_receipt, stalled, timed_out. Returns how many.';

create or replace function scheduler.send_all_queued(p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_job public.scheduler_jobs;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  for v_name in
    select distinct job_name from public.scheduler_runs
    where status = 'queued' and (run_after is null or run_after <= p_now)
    order by job_name
    limit 1000
  loop
    continue when not scheduler.try_lock_job(v_name);
    select * into v_job from public.scheduler_jobs where name = v_name;
    begin
      if v_job.enabled then
        v_sent := v_sent + scheduler.send_queued(v_job, p_now);
      else
        perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', p_now,
          p_error_message => 'the job was disabled or taken out of the registry while this run waited', p_send_next => false)
        from public.scheduler_runs where job_name = v_name and status = 'queued';
      end if;
    exception when others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
      raise warning 'cannot send what waits of the job %: %', v_name, sqlerrm;
    end;
  end loop;
  return jsonb_build_object('sent', v_sent, 'errors', v_errors);
end;
$$;
comment on function scheduler.send_all_queued(timestamptz) is
  'Sends retries and waiting runs whose time has come; cancels those whose job is gone or disabled. {"sent": runs, "errors": {job: message}}.';

create or replace function scheduler.settle_overdue(p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_settled integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  -- A minute's patience: pg_cron's own entry comes first.
  for v_job in
    select * from public.scheduler_jobs
    where enabled and next_run_at <= p_now - interval '1 minute'
    order by next_run_at
    for no key update skip locked
  loop
    begin
      perform scheduler.settle(v_job, p_now - interval '1 minute', p_now);
      v_settled := v_settled + 1;
    exception when others then
      -- One job that cannot be settled (its zone was dropped, say) must not stop the pulse for all others.
      v_errors := v_errors || jsonb_build_object(v_job.name, sqlerrm);
      raise warning 'cannot settle the job %: %', v_job.name, sqlerrm;
    end;
  end loop;
  return jsonb_build_object('settled', v_settled, 'errors', v_errors);
end;
$$;
comment on function scheduler.settle_overdue(timestamptz) is
  'Gives occurrences that nobody dispatched their rows, by the misfire policy. {"settled": jobs, "errors": {job: message}}; a job with an error keeps its cursor and is tried again.';

create or replace function scheduler.mend_cron_entries() returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_mended integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  for v_name in
    select jobs.name
    from public.scheduler_jobs as jobs
    left join cron.job as entries on entries.jobname = jobs.name and entries.username = current_user
    where jobs.enabled
      and (entries.jobid is null or not entries.active or entries.schedule <> jobs.cron_entry)
      and coalesce(entries.command = format('select scheduler.dispatch(%L)', jobs.name), true)
  loop
    begin
      perform scheduler.sync_cron_entry(v_name);
      v_mended := v_mended + 1;
    exception when others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
    end;
  end loop;
  return jsonb_build_object('mended', v_mended, 'errors', v_errors);
end;
$$;
comment on function scheduler.mend_cron_entries() is
  'Puts back pg_cron entries that were removed, switched off or changed; the registry is the truth. {"mended": entries, "errors": {job: message}}.';

create or replace function scheduler.prune(p_now timestamptz, p_limit integer default 5000) returns integer
language plpgsql set search_path = '' as $$
declare
  v_pruned integer := 0;
  v_count integer;
begin
  delete from public.scheduler_runs where id in (
    select id from public.scheduler_runs
    where status in ('completed', 'skipped') and completed_at < p_now - make_interval(days => scheduler.setting('keep_successes_days'))
    limit p_limit);
  get diagnostics v_count = row_count;
  v_pruned := v_pruned + v_count;

  delete from public.scheduler_runs where id in (
    select id from public.scheduler_runs
    where status in ('failed', 'missed', 'cancelled') and completed_at < p_now - make_interval(days => scheduler.setting('keep_failures_days'))
    limit p_limit);
  get diagnostics v_count = row_count;
  v_pruned := v_pruned + v_count;

  -- pg_cron never prunes its own log, and gives it no index but the run id: the oldest ids are looked at first.
  delete from cron.job_run_details where runid in (
    select runid from (
      select runid, status, start_time, end_time from cron.job_run_details order by runid limit 4 * p_limit
    ) as oldest
    where coalesce(end_time, start_time) < p_now - make_interval(days =>
        case status when 'failed' then scheduler.setting('keep_cron_failures_days') else scheduler.setting('keep_cron_successes_days') end)
    limit p_limit);
  get diagnostics v_count = row_count;
  return v_pruned + v_count;
end;
$$;
comment on function scheduler.prune(timestamptz, integer) is
  'Deletes old rows of the ledger and of cron.job_run_details, at most p_limit of each kind; failures are kept longer than successes. Returns how many.';

-- A step that fails is undone alone: the others, and the pulse's own mark, stay.
create or replace function scheduler.pulse_step(p_step text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
begin
  return case p_step
    when 'answers' then jsonb_build_object('answers', scheduler.read_answers(p_now))
    when 'judged' then jsonb_build_object('judged', scheduler.judge_silent_runs(p_now))
    when 'settled' then scheduler.settle_overdue(p_now)
    when 'sent' then scheduler.send_all_queued(p_now)
    when 'mended' then scheduler.mend_cron_entries()
    when 'pruned' then jsonb_build_object('pruned', scheduler.prune(p_now))
  end;
exception when others then
  raise warning 'the pulse''s step % failed: %', p_step, sqlerrm;
  return jsonb_build_object('errors', jsonb_build_object('step ' || p_step, sqlerrm));
end;
$$;
comment on function scheduler.pulse_step(text, timestamptz) is
  'One step of the pulse: its count, and {"errors": {job or step: message}} for what failed.';

create or replace function scheduler.pulse(p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_state scheduler.pulse_state;
  v_steps text[] := array['answers', 'judged', 'settled', 'sent', 'mended'];
  v_step text;
  v_told jsonb;
  v_errors jsonb := jsonb_build_object();
  v_report jsonb := jsonb_build_object('beat', true);
begin
  select * into v_state from scheduler.pulse_state for update skip locked;
  if not found then
    if not exists (select from scheduler.pulse_state) then
      insert into scheduler.pulse_state default values on conflict do nothing;  -- somebody emptied it
    end if;
    return jsonb_build_object('beat', false, 'reason', 'another pulse is at work');
  end if;

  if v_state.last_pruned_at is null or v_state.last_pruned_at <= p_now - interval '1 hour' then
    v_steps := v_steps || 'pruned'::text;
  end if;
  foreach v_step in array v_steps loop
    v_told := scheduler.pulse_step(v_step, p_now);
    v_errors := v_errors || coalesce(v_told -> 'errors', jsonb_build_object());
    v_report := v_report || v_told;
  end loop;
  v_report := v_report || jsonb_build_object('errors', v_errors);

  -- A full batch means there is more: the next pulse goes on at once.
  update scheduler.pulse_state set
    last_pulse_at = p_now,
    errors = v_errors,
    last_pruned_at = case when (v_report ->> 'pruned')::integer < 5000 then p_now else last_pruned_at end;
  return v_report;
end;
$$;
comment on function scheduler.pulse(timestamptz) is
  'What pg_cron calls every minute: reads answers, judges silent runs, settles missed occurrences, sends retries, mends pg_cron''s entries, prunes hourly. Returns the counts. Safe to call twice at once: the second does nothing.';

revoke all on function scheduler.answer_verdict(text, integer, boolean, text) from public, anon, authenticated, service_role;
revoke all on function scheduler.try_lock_job(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.read_answers(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.completed_verdict(integer) from public, anon, authenticated, service_role;
revoke all on function scheduler.answer_message(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.judge_silent_runs(timestamptz, text) from public, anon, authenticated, service_role;
revoke all on function scheduler.send_all_queued(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.settle_overdue(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.mend_cron_entries() from public, anon, authenticated, service_role;
revoke all on function scheduler.prune(timestamptz, integer) from public, anon, authenticated, service_role;
revoke all on function scheduler.pulse_step(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.pulse(timestamptz) from public, anon, authenticated, service_role;
