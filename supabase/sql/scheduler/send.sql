-- Hands runs to pg_net.

-- Why a run's request cannot be made from what Vault holds; null when it can.
create function scheduler.secret_fault(p_name text, p_secret text, p_min_length integer) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_secret is null then
      format('Vault has no secret named %s: select vault.create_secret(''…'', %L)', p_name, p_name)
    when p_secret ~ '[\r\n]' then format('the secret %s in Vault contains a line break', p_name)
    when p_secret ~ '^\s|\s$' then format('the secret %s in Vault begins or ends with a blank', p_name)
    when p_secret collate "C" ~ '[^ -~]' then
      format('the secret %s in Vault contains a character outside printable ASCII', p_name)
    when length(p_secret) < p_min_length then
      format('the secret %s in Vault must have at least %s characters', p_name, p_min_length)
  end;
$$;
comment on function scheduler.secret_fault(text, text, integer) is
  'What is wrong with a secret, without showing it: missing, a line break (which would inject a header), blanks '
    'around it or a character outside printable ASCII (neither arrives in a header as it was sent), too short. Null '
    'when nothing is.';

create function scheduler.requests_since() returns timestamptz
language plpgsql set search_path = '' as $$
declare
  v_queue constant oid := 'net.http_request_queue'::regclass;
  v_since timestamptz;
begin
  select since into v_since from scheduler.request_epoch where queue = v_queue;
  if not found then
    -- The newest request that may be from before, not p_now: transactions that began a little earlier than this one are
    -- still sending.
    insert into scheduler.request_epoch as epoch (queue, since)
      select v_queue, coalesce(max(sent_at) + interval '1 microsecond', '-infinity')
      from (
        select dispatched_at as sent_at from public.scheduler_runs where request_id is not null and answered_at is null
        union all
        select sent_at from public.scheduler_alert_deliveries where status = 'sent'
        union all
        select pinged_at from scheduler.alert_pings where answered_at is null) as unanswered
      on conflict (only_row) do update set queue = excluded.queue, since = excluded.since
        where epoch.queue <> excluded.queue;
    select since into v_since from scheduler.request_epoch;
  end if;
  return v_since;
end;
$$;
comment on function scheduler.requests_since() is
  'Since when pg_net''s request ids count up without a break: -infinity, or, after a crash or after pg_net was '
    'dropped and created, just after the last request that was sent before it.';

-- A secret may have been put into Vault under the wrong name, and a URL may hold one: of a URL only the host is kept.
create function scheduler.hosts_only(p_text text) returns text
language sql immutable set search_path = '' as $$
  select regexp_replace(p_text, '[a-z][a-z0-9+.-]*://(?:[^\s/?#"''<>]*@)?([^\s/?#"''<>@]*)[^\s"''<>]*', '\1', 'gi');
$$;
comment on function scheduler.hosts_only(text) is 'The text with each URL in it cut down to its host (and port).';

create function scheduler.project_url_fault(p_url text) returns text
language sql immutable set search_path = '' as $$
  select case when p_url !~ '^https?://([a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/*$'
    then 'project_url in Vault must be the project''s URL and nothing more, such as https://<ref>.supabase.co' end;
$$;
comment on function scheduler.project_url_fault(text) is
  'What is wrong with the project''s URL, without showing it (it may be a secret put under the wrong name); null when '
    'nothing is.';

create function scheduler.try_lock(
  p_name text, p_run_id uuid, p_holder text, p_now timestamptz, p_expires_at timestamptz
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_held record;
  v_verdict text;
begin
  insert into public.scheduler_locks (name, run_id, holder, acquired_at, expires_at)
    values (p_name, p_run_id, p_holder, p_now, p_expires_at)
    on conflict (name) do nothing;
  if found then
    return true;
  end if;
  select run_id, expires_at into v_held from public.scheduler_locks where name = p_name;
  if v_held.run_id is null or v_held.expires_at > p_now then
    return false;
  end if;
  -- The run's row comes before the lock's row: a receipt on its way may be about to make the lock last longer.
  select case status when 'running' then 'timed_out' else 'lost' end into v_verdict
    from public.scheduler_runs where id = v_held.run_id for no key update;
  select run_id, expires_at into v_held from public.scheduler_locks where name = p_name;
  if v_held.expires_at > p_now then
    return false;
  end if;
  -- Pulse judges a silent run long before its lock expires; this is for the day on which pulse stood still.
  perform scheduler.take_back_request(request_id, id) from public.scheduler_runs where id = v_held.run_id
    and status = 'dispatched';
  perform scheduler.end_run(
    v_held.run_id, array['dispatched', 'running'], 'failed', v_verdict, p_now,
    p_error_message => 'its lock expired before a receipt came', p_send_next => false
  );
  delete from public.scheduler_locks where name = p_name and run_id = v_held.run_id;
  -- What the end of that run let go can have sent a run of this job, even this one.
  insert into public.scheduler_locks (name, run_id, holder, acquired_at, expires_at)
    values (p_name, p_run_id, p_holder, p_now, p_expires_at)
    on conflict do nothing;
  return found;
end;
$$;
comment on function scheduler.try_lock(text, uuid, text, timestamptz, timestamptz) is
  'Takes the lock for the run, or says false when another run holds it. The caller holds the job''s row lock.';

create function scheduler.request_timeout_ms(p_job public.scheduler_jobs, p_timeout_seconds integer) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return case p_job.receipt when 'response' then p_timeout_seconds * 1000
    else scheduler.setting('scheduler.request_timeout_ms') end;
end;
$$;
comment on function scheduler.request_timeout_ms(public.scheduler_jobs, integer) is
  'How long pg_net waits for the answer: as long as a run may take where the answer is its receipt.';

create function scheduler.post_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_timeout_ms integer, out request_id bigint, out fault text
)
language plpgsql set search_path = '' as $$
declare
  v_is_url constant boolean := p_job.function_name is null;
  v_base_url text;
  v_secret text;
begin
  select max(decrypted_secret) filter (where name = p_job.secret_name),
      max(decrypted_secret) filter (where name = 'project_url')
    into v_secret, v_base_url
    from vault.decrypted_secrets where name in (p_job.secret_name, case when not v_is_url then 'project_url' end);
  if not v_is_url then
    fault := coalesce(
      scheduler.secret_fault('project_url', v_base_url, 1),
      scheduler.project_url_fault(v_base_url),
      scheduler.secret_fault(p_job.secret_name, v_secret, 32)
    );
  elsif p_job.secret_name <> '' then
    fault := scheduler.secret_fault(p_job.secret_name, v_secret, 1);
  end if;
  if fault is null then
    request_id := net.http_post(
      url := case when v_is_url then p_job.target else rtrim(v_base_url, '/') || '/functions/v1/' || p_job.target end,
      body := p_run.payload,
      headers := jsonb_strip_nulls(jsonb_build_object(
        'Content-Type', 'application/json',
        'x-cron-secret', case when not v_is_url then v_secret end,
        'Authorization', case when v_is_url and p_job.secret_name <> '' then 'Bearer ' || v_secret end,
        'x-run-id', p_run.id,
        'x-job-name', p_run.job_name,
        'x-attempt', p_run.attempt::text
      )),
      timeout_milliseconds := p_timeout_ms
    );
  end if;
exception when others then
  -- pg_net refuses a bad URL by raising, and quotes it; Vault refuses a secret that it cannot decrypt.
  -- Raising here would take the receipt of the run before this one with it.
  fault := scheduler.hosts_only(sqlerrm);
end;
$$;
comment on function scheduler.post_run(public.scheduler_jobs, public.scheduler_runs, integer) is
  'Hands a run''s request to pg_net: its id, or why it could not be made, without a secret and of a URL only the host.';

create function scheduler.take_limits(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_timeout_ms integer, p_now timestamptz
) returns scheduler.hold
language plpgsql set search_path = '' as $$
declare
  v_hold scheduler.hold;
begin
  if (case when p_job.parallel_least is null then p_job.parallel_limit else scheduler.limit_in_force(p_job) end) <= (
    select count(*) from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running'))
    or scheduler.is_backfill(p_run) and exists (
      select from public.scheduler_runs as runs
      where job_name = p_job.name and status in ('dispatched', 'running') and scheduler.is_backfill(runs)) then
    return ('parallel_limit', null, null, null)::scheduler.hold;
  end if;
  if scheduler.takes_lock(p_job) and not scheduler.try_lock(
    p_job.name, p_run.id, 'dispatch', p_now,
    p_now + make_interval(secs => p_timeout_ms / 1000.0 + 2 * scheduler.setting('scheduler.receipt_timeout_seconds'))
  ) then
    return ('lock', p_job.name, null, null)::scheduler.hold;
  end if;
  if p_job.group_name is not null and not scheduler.take_slot(p_job.group_name, p_run.id) then
    delete from public.scheduler_locks where run_id = p_run.id;
    -- A slot that somebody gives back at this moment could not be taken.
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
    return ('group', p_job.group_name, null, null)::scheduler.hold;
  end if;
  if p_job.budgets <> '{}' and p_job.function_name is null then
    v_hold := scheduler.take_for_url(p_job, p_now);
    if v_hold.kind is not null then
      perform scheduler.free_slot(p_run.id);
      delete from public.scheduler_locks where run_id = p_run.id;
    end if;
  end if;
  return v_hold;
end;
$$;
comment on function scheduler.take_limits(public.scheduler_jobs, public.scheduler_runs, integer, timestamptz) is
  'Takes the job''s lock, a slot of its group and (a URL) the tokens of its budgets for the run; the hold, and '
    'nothing taken, where one of them or the parallel limit is used up. Of back-filled runs one goes at a time. The '
    'caller holds the job''s row lock.';

create function scheduler.send_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz, p_is_ordered boolean default false
) returns text
language plpgsql set search_path = '' as $$
declare
  v_timeout_ms constant integer := scheduler.request_timeout_ms(p_job, p_run.timeout_seconds);
  v_hold scheduler.hold;
  v_posted record;
begin
  if p_run.trigger <> 'manual' and not p_is_ordered and (p_job.stopped_at is null or p_job.stopped_until is not null)
    and scheduler.incident_lasts() then
    -- Another transaction held the job's row when it was started.
    v_hold.kind := 'incident';
  elsif not scheduler.is_plain(p_job) then
    v_hold := case when p_is_ordered then scheduler.limit_hold(p_job, p_run)
      else scheduler.hold_of(p_job, p_run, p_now) end;
  end if;
  if v_hold.skip_reason is not null then
    perform scheduler.skip_waiting(p_job, p_run, v_hold, p_now);
    return 'over';
  end if;
  if v_hold.kind is null then
    v_hold := scheduler.take_limits(p_job, p_run, v_timeout_ms, p_now);
  end if;
  if v_hold.kind is not null then
    return scheduler.hold_back(p_run, v_hold, p_now);
  end if;

  perform scheduler.requests_since();
  v_posted := scheduler.post_run(p_job, p_run, v_timeout_ms);
  if v_posted.fault is not null then
    -- Its slot is not handed on: the next run would come to the same end, and so on for all that wait.
    perform scheduler.free_slot(p_run.id);
    perform scheduler.end_run(
      p_run.id, array['queued'], 'failed', 'misconfigured', p_now, p_error_message => v_posted.fault,
        p_send_next => false
    );
    return 'over';
  end if;
  if p_job.breaker_failures is not null then
    perform scheduler.note_try(p_job, p_run.id);
  end if;

  -- An older run with this id was sent before pg_net's ids began again: the answer to come is not its own.
  update public.scheduler_runs
    set answered_at = p_now, response_error = 'the request id was used again before an answer came'
    where id in (
      select id from public.scheduler_runs
      where request_id = v_posted.request_id and answered_at is null for no key update skip locked);
  update public.scheduler_runs
    set status = 'dispatched', dispatched_at = p_now, request_id = v_posted.request_id, waiting = null,
      -- Where it really went: the job may have been changed while its retry waited.
      function_name = p_job.function_name, receipt = p_job.receipt
    where id = p_run.id;
  return 'sent';
end;
$$;
comment on function scheduler.send_run(public.scheduler_jobs, public.scheduler_runs, timestamptz, boolean) is
  'Sends a queued run: takes the job''s lock and queues the request: sent. Where it is held back it stays queued, '
    'says why, and the answer is waits (this run alone) or full (nothing of the job may go). A run that a person has '
    'ordered is asked about the lock and the limits alone. Over when the run came to its end here: a request that '
    'cannot be made is misconfigured, one whose dependency failed is skipped. The caller holds the job''s row lock.';

create function scheduler.hold_back(
  p_run public.scheduler_runs, p_hold scheduler.hold, p_now timestamptz
) returns text
language plpgsql set search_path = '' as $$
declare
  v_is_new constant boolean := scheduler.waits_for_other(p_run, p_hold);
begin
  if scheduler.waits_alone((p_hold).kind) then
    perform scheduler.mark_waiting_alone(p_run, p_hold, p_now);
    return 'waits';
  end if;
  if v_is_new then
    perform scheduler.mark_waiting(p_run, p_hold, p_now);
  end if;
  -- A run that joined others that are put off has said its own time, for which there is no wake yet.
  if (p_hold).until is not null and (v_is_new or (p_hold).kind = 'defer_if' and not exists (
    select from scheduler.wakes where job_name = p_run.job_name and wake_at = (p_hold).until)) then
    perform scheduler.wake_jobs(array[p_run.job_name], (p_hold).until);
  end if;
  return 'full';
end;
$$;
comment on function scheduler.hold_back(public.scheduler_runs, scheduler.hold, timestamptz) is
  'Writes down what a run waits for: waits where it waits alone, full where all of its job does. The caller holds the '
    'job''s row lock.';

create function scheduler.let_due_go(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  -- Retries, jitter and all else that waited for a time; behind a run that waits for something they wait for it, too.
  update public.scheduler_runs as runs set run_after = null,
      waiting = case when waiting ->> 'for' = 'dependency' then waiting
        else coalesce(scheduler.own_wait(p_job, (select scheduler.line_waits_for(p_job, p_now)),
          scheduler.put_off_from(runs, p_now)), waiting) end
    where job_name = p_job.name and status = 'queued' and run_after <= p_now;
end;
$$;
comment on function scheduler.let_due_go(public.scheduler_jobs, timestamptz) is
  'Puts the job''s runs whose time has come among those that go as soon as the job may. The caller holds the job''s '
    'row lock.';

create function scheduler.send_next(p_job public.scheduler_jobs, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_run constant public.scheduler_runs := scheduler.next_waiting(p_job, p_now);
begin
  return case when v_run.id is null then 'none' else scheduler.send_run(p_job, v_run, p_now) end;
end;
$$;
comment on function scheduler.send_next(public.scheduler_jobs, timestamptz) is
  'send_run of the job''s run that goes next; none when none may go. The caller holds the job''s row lock.';

create function scheduler.send_queued(p_job public.scheduler_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_outcome text;
  v_opens boolean;
  v_sent integer := 0;
begin
  if not exists (select from public.scheduler_runs where job_name = p_job.name and status = 'queued') then
    return 0;
  end if;
  if scheduler.has_slots(p_job) then
    v_opens := scheduler.opens_line();
    perform scheduler.stand_in_line(p_job.group_name, p_job.name);
    return case when v_opens then (scheduler.send_line(p_now) ->> 'sent')::integer else 0 end;
  end if;
  perform scheduler.let_due_go(p_job, p_now);
  for i in 1 .. 100 loop
    v_outcome := scheduler.send_next(p_job, p_now);
    v_sent := v_sent + (v_outcome = 'sent')::integer;
    exit when v_outcome in ('none', 'full');
  end loop;
  if v_outcome not in ('none', 'full') then
    -- More may go than one transaction sends.
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  end if;
  return v_sent;
end;
$$;
comment on function scheduler.send_queued(public.scheduler_jobs, timestamptz) is
  'Sends what of the job is due and waiting, as far as it may go, at most 100 runs (the next pulse goes on); returns '
    'how many. A job that shares a limit stands in line with the others of its group. The caller holds the job''s row '
    'lock.';

-- A receipt or a request for a run does not fail because pg_net is gone: the run goes on waiting, and the pulse tries
-- again and reports the failure.
create function scheduler.try_send_queued(p_job public.scheduler_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
begin
  return scheduler.send_queued(p_job, p_now);
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    raise warning 'what waits of the job % cannot be sent: %', p_job.name, scheduler.hosts_only(sqlerrm);
    return 0;
end;
$$;
comment on function scheduler.try_send_queued(public.scheduler_jobs, timestamptz) is
  'send_queued, which undoes itself alone when it fails: 0 then, with a warning. The caller holds the job''s row lock.';

create function scheduler.following_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_retryable boolean, p_resume_at timestamptz,
    p_now timestamptz
) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_next public.scheduler_runs;
begin
  if not coalesce(p_job.enabled, false) then
    return null;
  elsif p_run.status = 'deferred' then
    -- A call by hand has told its caller; nobody waits for a continuation.
    if p_run.trigger = 'manual' and p_run.request_id is null then
      return null;
    end if;
    v_next := scheduler.next_attempt(p_run, 'deferred', p_run.failures);
    v_next.run_after := greatest(p_resume_at, p_now);
    v_next.waiting := scheduler.wait_facts('budget', p_run.error_detail ->> 'budget', p_now, v_next.run_after);
  elsif p_job.continuous then
    if p_run.trigger in ('continuous', 'deferred') and scheduler.stop_now(p_job, p_now) is null then
      return scheduler.continuous_run(p_job, p_run, p_now);
    end if;
  elsif p_run.status = 'failed' and p_retryable and p_run.failures + 1 < p_run.max_attempts then
    v_next := scheduler.next_attempt(p_run, 'retry', p_run.failures + 1);
    v_next.run_after := p_now + scheduler.failure_wait(p_job, v_next.failures, random());
    v_next.waiting := scheduler.wait_facts('retry', null, p_now, v_next.run_after);
  end if;
  return v_next;
end;
$$;
comment on function scheduler.following_run(
  public.scheduler_jobs, public.scheduler_runs, boolean, timestamptz, timestamptz
) is
  'The run that follows one that has ended: its retry after a wait that grows, its continuation from p_resume_at on, '
    'the next one of a continuous job; null when none does. Writes nothing: see add_runs.';

create function scheduler.let_go(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_goes_on boolean, p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_group constant text := scheduler.free_slot(p_run.id);
begin
  if p_job.breaker_failures is not null then
    perform scheduler.note_breaker(p_job, p_run, p_now);
  end if;
  if p_run.key is not null then
    perform scheduler.release_key(p_job, p_run.key, p_now);
  end if;
  if v_group is not null then
    perform scheduler.stand_in_line(v_group, null);
  end if;
  -- Dependents wait for the occurrence's last attempt.
  if p_job.dependents <> '{}' and not p_goes_on then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
end;
$$;
comment on function scheduler.let_go(public.scheduler_jobs, public.scheduler_runs, boolean, timestamptz) is
  'Gives back what a run that has ended held: its slot, its key, its place as the one that tries; and sends what of '
    'other jobs waited for it. The caller holds the job''s row lock, and has opened the line.';

create function scheduler.learn_from(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
begin
  if p_job.stretch_after is not null then
    perform scheduler.note_stretch(p_job, p_run);
  end if;
  if p_job.parallel_least is not null then
    perform scheduler.note_parallel(p_job, p_run);
  end if;
end;
$$;
comment on function scheduler.learn_from(public.scheduler_jobs, public.scheduler_runs) is
  'Keeps what a job that gives way knows of its work and its target, after a run has ended. The caller holds the '
    'job''s row lock.';

create function scheduler.add_following(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_retryable boolean, p_resume_at timestamptz,
    p_now timestamptz
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_next constant public.scheduler_runs := scheduler.following_run(p_job, p_run, p_retryable, p_resume_at, p_now);
begin
  if v_next.id is not null then
    perform scheduler.add_runs(array[v_next]);
  elsif p_job.continuous then
    -- A call by hand, or a run from before the job was continuous, was in the way of the next one.
    perform scheduler.keep_going(p_job, p_now);
  end if;
  perform scheduler.log_run(p_run, v_next.id is not null and v_next.trigger = 'retry');
  return v_next.id is not null;
end;
$$;
comment on function scheduler.add_following(
  public.scheduler_jobs, public.scheduler_runs, boolean, timestamptz, timestamptz
) is
  'Writes the run that follows one that has ended (see following_run) and the line of that one in scheduler_activity. '
    'Returns whether a run follows. The caller holds the job''s row lock.';

-- Ends a run, for receipts, answers, verdicts of silence and operators alike.
-- Lock order everywhere: the job's row, the run's row, the lock's row.
create function scheduler.end_run(
  p_run_id uuid,
  p_from text[],
  p_status text,
  p_verdict text,
  p_now timestamptz,
  p_result jsonb default null,
  p_error_message text default null,
  p_error_detail jsonb default null,
  p_retryable boolean default true,
  p_send_next boolean default true,
  p_resume_at timestamptz default null
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_goes_on boolean;
  v_opens boolean;
begin
  select jobs.* into v_job from public.scheduler_jobs as jobs
    where jobs.name = (select job_name from public.scheduler_runs where id = p_run_id)
    for no key update;
  update public.scheduler_runs set
    status = p_status,
    -- The answer may have been read before the receipt came.
    verdict = case when p_verdict = 'ok' and answered_at is not null
      then scheduler.completed_verdict(response_status) else p_verdict end,
    completed_at = greatest(p_now, started_at),
    duration_ms = case when started_at is not null
      then least(extract(epoch from greatest(p_now, started_at) - started_at) * 1000, 2147483647)::integer end,
    result = coalesce(p_result, result),
    error_message = p_error_message,
    error_detail = p_error_detail
  where id = p_run_id and status = any (p_from)
  returning * into v_run;
  if not found then
    return false;
  end if;

  delete from public.scheduler_locks where run_id = p_run_id;
  v_goes_on := scheduler.add_following(v_job, v_run, p_retryable, p_resume_at, p_now);
  if v_job.stretch_after is not null or v_job.parallel_least is not null then
    perform scheduler.learn_from(v_job, v_run);
  end if;
  if not scheduler.is_plain(v_job) or v_job.dependents <> '{}' then
    v_opens := scheduler.opens_line();
    perform scheduler.let_go(v_job, v_run, v_goes_on, p_now);
  end if;
  if p_send_next and v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  return true;
end;
$$;
comment on function scheduler.end_run(
  uuid, text[], text, text, timestamptz, jsonb, text, jsonb, boolean, boolean, timestamptz
) is
  'Ends a run that is in one of the given statuses: releases its lock, plans what follows it (a retry; what a '
    'deferred run left, from p_resume_at on), writes its line into scheduler_activity if it matters, sends what '
    'waited for it. False, and nothing changed, when it is in no such status.';
