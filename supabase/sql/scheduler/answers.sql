-- Reads pg_net's answers and decides which of them end a run.

-- The meaning of an answer without a receipt. Null: it decides nothing yet, as the receipt may still come.
create function scheduler.answer_verdict(p_receipt text, p_status integer, p_timed_out boolean, p_error text)
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
    when p_error is not null then case when p_error ilike 'timeout%' then case p_receipt when 'response'
      then 'timed_out' end
      else 'unreachable' end
  end;
$$;
comment on function scheduler.answer_verdict(text, integer, boolean, text) is
  'The verdict that pg_net''s answer alone justifies; null when it proves nothing (a function still at work).';

create function scheduler.completed_verdict(p_status integer) returns text
language sql immutable set search_path = '' as $$
  select case when p_status is null then 'ok_unanswered' when p_status < 300 then 'ok' else 'ok_contradicted' end;
$$;
comment on function scheduler.completed_verdict(integer) is
  'The verdict of a run that delivered its receipt, given the HTTP status pg_net saw (null: none).';

-- Daybook's functions answer {"error": {"code", "message"}}. The rest of a body may hold secrets and is not kept.
create function scheduler.answer_message(p_content text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return left(p_content::jsonb -> 'error' ->> 'message', 500);
exception when data_exception or program_limit_exceeded then
  -- No JSON, JSON that jsonb cannot hold (\u0000), or nested too deep.
  return null;
end;
$$;
comment on function scheduler.answer_message(text) is
  'The message in a function''s error answer, null when it holds none.';

-- pg_net sends a batch a second time when its worker was stopped in the first. The answer to the first request is lost,
-- and the function refuses the second with {"error": {"code": "run_refused"}}. Such an answer contradicts no receipt.
create function scheduler.is_second_refused(p_status integer, p_content text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_status = 409 and p_content::jsonb -> 'error' ->> 'code' = 'run_refused';
exception when data_exception or program_limit_exceeded then
  return false;
end;
$$;
comment on function scheduler.is_second_refused(integer, text) is
  'Whether an answer is our own function''s refusal of a run that it was asked for already.';

-- Without nested loops: while the statistics of pg_net's answers are old, 5,000 runs and as many answers took 6.4 s
-- instead of 0.16 s.
create function scheduler.unread_answers(p_job_names text[] default null)
returns table (run_id uuid, job_name text, status text, status_code integer, error text, verdict text, message text)
language plpgsql stable set search_path = '' set enable_nestloop = off rows 100 as $$
#variable_conflict use_column
begin
  return query
  with asking as (
    select * from public.scheduler_runs as runs
    where runs.request_id is not null and runs.answered_at is null
      and runs.dispatched_at >= (select since from scheduler.request_epoch)
      -- Several runs can have one id; the join below finds the run that an answer belongs to.
      and (p_job_names is null or runs.request_id in (
        select request_id from public.scheduler_runs
        where job_name = any (p_job_names) and request_id is not null and answered_at is null))
  ), answers as (
    -- Ids start again after a crash: an answer belongs to the newest run of that id that was sent before it.
    select distinct on (responses.id)
      asking.id, asking.job_name, asking.status, asking.receipt, asking.function_name is not null as is_function,
      responses.status_code, responses.timed_out, scheduler.hosts_only(responses.error_msg) as error, responses.content,
      asking.status <> 'dispatched' and scheduler.is_second_refused(responses.status_code,
        responses.content) as second_refused
    from asking
    join net._http_response as responses on responses.id = asking.request_id
      -- pg_net stamps an answer with the begin of its own transaction, which can lie a moment before ours.
      and responses.created >= asking.dispatched_at - interval '5 seconds'
    -- pg_net has an index of its answers by time only.
    where responses.created >= (select min(dispatched_at) - interval '5 seconds' from asking)
      and coalesce(responses.headers ->> 'x-run-id', asking.id::text) = asking.id::text
    order by responses.id, asking.dispatched_at desc
  )
  select id, job_name, status,
    case when not second_refused then status_code end,
    case when second_refused then 'the answer is lost; a second request for the run was refused' else left(error,
      500) end,
    scheduler.answer_verdict(receipt, status_code, timed_out, error),
    coalesce(case when is_function then scheduler.answer_message(content) end, left(error, 500), format('HTTP %s',
      status_code))
  from answers
  where p_job_names is null or job_name = any (p_job_names);
end;
$$;
comment on function scheduler.unread_answers(text[]) is
  'Answers that pg_net has to runs of these jobs (null: of all) and that are not in the ledger yet, with the verdict '
    'that they justify and its message. An answer is a run''s by its request id, its time and, where it has one, its '
    'x-run-id.';

create function scheduler.read_answers(p_job_name text, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_answer record;
  v_read integer := 0;
begin
  for v_answer in select * from scheduler.unread_answers(array[p_job_name]) loop
    update public.scheduler_runs
      set answered_at = p_now, response_status = v_answer.status_code, response_error = v_answer.error,
        verdict = case when verdict = 'ok' then scheduler.completed_verdict(v_answer.status_code) else verdict end
      where id = v_answer.run_id;
    v_read := v_read + 1;
    if v_answer.verdict is not null then
      perform scheduler.end_run(
        v_answer.run_id, array['dispatched'], case v_answer.verdict when 'ok' then 'completed' else 'failed' end,
        v_answer.verdict, p_now, p_error_message => case when v_answer.verdict <> 'ok' then v_answer.message end,
        p_retryable => v_answer.verdict <> 'bad_input', p_send_next => false);
    end if;
  end loop;
  return v_read;
end;
$$;
comment on function scheduler.read_answers(text, timestamptz) is
  'Ties pg_net''s answers to the runs of a job and ends those that an answer alone decides. Returns how many it read. '
    'The caller holds the job''s row lock.';

-- An answer does not end a run that is at work or over, so this takes no lock of a job and skips rows that are locked.
create function scheduler.note_answers(p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_count integer;
begin
  with free as (
    select id from public.scheduler_runs
    where request_id is not null and answered_at is null and status <> 'dispatched'
    for no key update skip locked
  ), noted as (
    update public.scheduler_runs as runs
      set answered_at = p_now, response_status = answers.status_code, response_error = answers.error,
        verdict = case when runs.verdict = 'ok' then scheduler.completed_verdict(answers.status_code)
          else runs.verdict end
      from scheduler.unread_answers() as answers
      where runs.id = answers.run_id and runs.id in (select id from free)
      returning 1
  )
  select count(*) into v_count from noted;
  return v_count;
end;
$$;
comment on function scheduler.note_answers(timestamptz) is
  'Writes down the answers to runs that are at work or over. Returns how many.';

create function scheduler.close_unanswered(p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_count integer;
begin
  with closed as (
    update public.scheduler_runs as runs
      set answered_at = p_now, response_error = 'no answer was seen',
        verdict = case when verdict = 'ok' then 'ok_unanswered' else verdict end
      where id in (
        select id from public.scheduler_runs
        where request_id is not null and answered_at is null and completed_at is not null
          and dispatched_at < p_now - make_interval(
            secs => timeout_seconds + scheduler.setting('scheduler.receipt_timeout_seconds'))
        for no key update skip locked)
        and id not in (select run_id from scheduler.unread_answers())
      returning 1
  )
  select count(*) into v_count from closed;
  return v_count;
end;
$$;
comment on function scheduler.close_unanswered(timestamptz) is
  'Gives up on the answers to runs that are over and were dispatched too long ago, unless one lies unread. Returns '
    'how many.';
