-- Judges runs of which no receipt, heartbeat or answer came for too long.

create function scheduler.silence_verdict(
  p_run public.scheduler_runs, p_now timestamptz, p_receipt_timeout interval, p_heartbeat_timeout interval,
    p_grace interval
) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_deadline constant timestamptz := p_run.started_at + make_interval(secs => p_run.timeout_seconds);
begin
  return case
    when p_run.status = 'dispatched' and p_run.dispatched_at < p_now - p_receipt_timeout
        - case p_run.receipt when 'response' then make_interval(secs => p_run.timeout_seconds) else interval '0' end
      then case when p_run.response_status between 200 and 299 then 'no_receipt' else 'lost' end
    when p_run.status <> 'running' then null
    -- A heartbeat that stopped long before the deadline is the cause, whenever it is noticed.
    when p_run.heartbeat_at < least(p_now, v_deadline) - p_heartbeat_timeout then 'stalled'
    when v_deadline + p_grace < p_now then 'timed_out'
  end;
end;
$$;
comment on function scheduler.silence_verdict(public.scheduler_runs, timestamptz, interval, interval, interval) is
  'What a run''s silence means at p_now: lost, no_receipt, stalled, timed_out; null while it may still be heard of.';

create function scheduler.silent_runs(p_now timestamptz, p_job_names text[] default null)
returns table (id uuid, job_name text, status text, request_id bigint, dispatched_at timestamptz, verdict text)
language plpgsql stable set search_path = '' rows 100 as $$
#variable_conflict use_column
begin
  return query
  -- Offset 0: without it the settings are read again for each run, and 5,000 runs take 280 ms instead of 90.
  select runs.id, runs.job_name, runs.status, runs.request_id, runs.dispatched_at, judged.verdict
  from (select
    make_interval(secs => scheduler.setting('scheduler.receipt_timeout_seconds')) as receipt_timeout,
    make_interval(secs => scheduler.setting('scheduler.heartbeat_timeout_seconds')) as heartbeat_timeout,
    make_interval(secs => scheduler.setting('scheduler.deadline_grace_seconds')) as grace offset 0) as settings,
  public.scheduler_runs as runs,
  lateral (select scheduler.silence_verdict(runs, p_now, receipt_timeout, heartbeat_timeout,
    grace) as verdict) as judged
  where runs.status in ('dispatched', 'running') and (p_job_names is null or runs.job_name = any (p_job_names))
    and judged.verdict is not null;
end;
$$;
comment on function scheduler.silent_runs(timestamptz, text[]) is
  'The runs (of these jobs, null: of all) of which nothing was heard for too long, and what that means.';

-- By its id and its header: ids start again, and a stranger's request must not be taken out of the queue.
create function scheduler.take_back_request(p_request_id bigint, p_run_id uuid) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from net.http_request_queue as waiting using (
    select ctid from net.http_request_queue
    where id = p_request_id and headers ->> 'x-run-id' = p_run_id::text
    for update skip locked) as free
  where waiting.ctid = free.ctid;
  return found;
end;
$$;
comment on function scheduler.take_back_request(bigint, uuid) is
  'Takes a run''s request out of pg_net''s queue, so that it cannot go out beside a retry. False when it is not '
    'there, or is being sent at this moment.';

create function scheduler.request_waits(p_request_id bigint, p_run_id uuid) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from net.http_request_queue
    where id = p_request_id and headers ->> 'x-run-id' = p_run_id::text);
$$;
comment on function scheduler.request_waits(bigint, uuid) is 'Whether a run''s request still is in pg_net''s queue.';

create function scheduler.judge_silent_runs(p_job_name text, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_run record;
  v_verdict text;
  v_judged integer := 0;
begin
  for v_run in select * from scheduler.silent_runs(p_now, array[p_job_name]) limit 1000 loop
    -- A receipt may have come since, or be on its way. It wins.
    perform from public.scheduler_runs where id = v_run.id for no key update;
    continue when not exists (select from scheduler.silent_runs(p_now, array[p_job_name]) as still
      where still.id = v_run.id);
    v_verdict := v_run.verdict;
    if v_verdict = 'lost' and scheduler.request_waits(v_run.request_id, v_run.id) then
      v_verdict := 'not_sent';
      -- If pg_net holds the row it is being sent at this moment.
      continue when not scheduler.take_back_request(v_run.request_id, v_run.id)
        and v_run.dispatched_at > p_now - interval '1 hour';
    end if;
    if scheduler.end_run(v_run.id, array[v_run.status], 'failed', v_verdict, p_now,
      p_error_message => (select meaning from scheduler.verdicts where verdict = v_verdict), p_send_next => false) then
      v_judged := v_judged + 1;
    end if;
  end loop;
  return v_judged;
end;
$$;
comment on function scheduler.judge_silent_runs(text, timestamptz) is
  'Ends runs of a job of which nothing was heard for too long: lost, not_sent, no_receipt, stalled, timed_out. '
    'Returns how many. The caller holds the job''s row lock and has read the answers.';
