-- What pg_net's answers say of runs.

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

revoke all on function scheduler.answer_verdict(text, integer, boolean, text) from public, anon, authenticated, service_role;
revoke all on function scheduler.try_lock_job(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.read_answers(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.completed_verdict(integer) from public, anon, authenticated, service_role;
revoke all on function scheduler.answer_message(text) from public, anon, authenticated, service_role;
