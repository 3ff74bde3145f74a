-- What silence says of runs: judged when nothing was heard of them for too long.

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

revoke all on function scheduler.judge_silent_runs(timestamptz, text) from public, anon, authenticated, service_role;
