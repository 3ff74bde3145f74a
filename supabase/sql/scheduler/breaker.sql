-- Breakers: a job that keeps failing is stopped, and tried again after a while.

create table public.scheduler_breakers (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  failures integer not null default 0 check (failures >= 0),
  opened_at timestamptz check (isfinite(opened_at)),
  tried_by uuid
) with (fillfactor = 50);
comment on table public.scheduler_breakers is
  'The breaker of each job that has one and has run: closed without opened_at; open for its job''s '
    'breaker_cooldown_seconds from then on; half-open after that.';
comment on column public.scheduler_breakers.failures is 'Failed runs in a row.';
comment on column public.scheduler_breakers.tried_by is 'The run that tries, once the breaker is half-open.';
alter table public.scheduler_breakers enable row level security;
revoke all on public.scheduler_breakers from public, anon, authenticated, service_role;
grant select on public.scheduler_breakers to service_role;

create function scheduler.breaker_state(
  p_opened_at timestamptz, p_cooldown_seconds integer, p_now timestamptz
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_opened_at is null then 'closed'
    -- A clock that went back must not keep it open for longer than the cool-down.
    when p_now < p_opened_at + make_interval(secs => p_cooldown_seconds)
      and p_now > p_opened_at - make_interval(secs => p_cooldown_seconds) then 'open'
    else 'half-open' end;
$$;
comment on function scheduler.breaker_state(timestamptz, integer, timestamptz) is
  'closed, open or half-open, by when it opened (null: it is closed) and its cool-down.';

-- The next state of a breaker, from its state and the end of a run.
create function scheduler.breaker_after(
  p_breaker public.scheduler_breakers, p_limit integer, p_run_id uuid, p_status text, p_now timestamptz
) returns public.scheduler_breakers
language plpgsql immutable set search_path = '' as $$
declare
  v_breaker public.scheduler_breakers := p_breaker;
  v_tried constant boolean := coalesce(p_breaker.tried_by = p_run_id, false);
begin
  if v_tried then
    v_breaker.tried_by := null;
  end if;
  if p_status = 'completed' then
    v_breaker.failures := 0;
    v_breaker.opened_at := null;
    v_breaker.tried_by := null;
  elsif p_status = 'failed' then
    v_breaker.failures := least(v_breaker.failures + 1, 1000000);
    -- Of runs that were under way when it opened only the one that tries decides.
    if v_breaker.opened_at is null and v_breaker.failures >= p_limit or v_tried then
      v_breaker.opened_at := p_now;
    end if;
  end if;
  return v_breaker;
end;
$$;
comment on function scheduler.breaker_after(public.scheduler_breakers, integer, uuid, text, timestamptz) is
  'What a breaker is after a run ended: a completed one closes it; after p_limit failures in a row, and after a '
    'failed try, it is open from p_now on; a cancelled or deferred try leaves room for another.';

create function scheduler.note_breaker(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns void
language plpgsql set search_path = '' as $$
declare
  v_breaker public.scheduler_breakers;
  v_after public.scheduler_breakers;
begin
  insert into public.scheduler_breakers (job_name) values (p_job.name) on conflict do nothing;
  select * into v_breaker from public.scheduler_breakers where job_name = p_job.name for update;
  v_after := scheduler.breaker_after(v_breaker, p_job.breaker_failures, p_run.id, p_run.status, p_now);
  if v_after = v_breaker or v_after is not distinct from v_breaker then
    return;
  end if;
  update public.scheduler_breakers
    set failures = v_after.failures, opened_at = v_after.opened_at, tried_by = v_after.tried_by
    where job_name = p_job.name;
  if v_breaker.opened_at is null and v_after.opened_at is not null then
    perform scheduler.log_activity(p_job.name, format('its breaker opens after %s in a row: the next try is in %s',
      scheduler.count_text(v_after.failures, 'failure'), scheduler.duration_text(p_job.breaker_cooldown_seconds)),
      'error', jsonb_build_object('run_id', p_run.id), p_now);
  elsif v_breaker.opened_at is not null and v_after.opened_at is null then
    perform scheduler.log_activity(p_job.name, 'its breaker closes: a run has completed',
      p_details => jsonb_build_object('run_id', p_run.id), p_now => p_now);
  end if;
end;
$$;
comment on function scheduler.note_breaker(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'Tells the job''s breaker how a run ended, and scheduler_activity when it opens or closes. The caller holds the '
    'job''s row lock.';

create function scheduler.breaker_hold(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns scheduler.hold
language plpgsql stable set search_path = '' as $$
declare
  v_breaker public.scheduler_breakers;
  v_state text;
  v_until timestamptz;
begin
  select * into v_breaker from public.scheduler_breakers where job_name = p_job.name;
  v_state := scheduler.breaker_state(v_breaker.opened_at, p_job.breaker_cooldown_seconds, p_now);
  if v_state = 'closed' or v_state = 'half-open' and not exists (
    select from public.scheduler_runs where id = v_breaker.tried_by and completed_at is null) then
    return null;
  end if;
  v_until := case v_state when 'open'
    then v_breaker.opened_at + make_interval(secs => p_job.breaker_cooldown_seconds) end;
  return ('breaker', p_job.name, v_until, case when p_run.trigger in ('cron', 'catch_up', 'dependency')
      and p_run.attempt = 1
    then format('breaker: %s failures in a row, open since %s; %s', v_breaker.failures,
      scheduler.local_text(v_breaker.opened_at, p_job.time_zone),
      case when v_until is null then format('run %s tries', v_breaker.tried_by)
        else format('the next try is in %s, after %s', scheduler.duration_text(extract(epoch from v_until - p_now)),
          scheduler.local_second_text(v_until, p_job.time_zone)) end) end)::scheduler.hold;
end;
$$;
comment on function scheduler.breaker_hold(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'Null when the job''s breaker lets the run go: closed, or half-open and no other run tries. Else a hold: '
    'occurrences are skipped, all other runs wait.';

create function scheduler.note_try(p_job public.scheduler_jobs, p_run_id uuid) returns void
language sql set search_path = '' as $$
  -- A person's run goes beside the one that tries, and does not take its place.
  update public.scheduler_breakers set tried_by = p_run_id
  where job_name = p_job.name and opened_at is not null and not exists (
    select from public.scheduler_runs where id = tried_by and completed_at is null);
$$;
comment on function scheduler.note_try(public.scheduler_jobs, uuid) is
  'The run that is sent now is the one that tries, where the job''s breaker is not closed.';

create function scheduler.close_breaker(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_breaker public.scheduler_breakers;
begin
  perform scheduler.assert_given(format('close the breaker of %s', p_job_name), 'reason and author',
    format('select scheduler.close_breaker(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  select * into v_breaker from public.scheduler_breakers where job_name = p_job_name for update;
  if v_breaker.opened_at is null then
    return format('the breaker of %s is %s', v_job.name, case when v_job.breaker_failures is null
      then 'not there: it is registered without breaker_failures' else 'closed' end);
  end if;
  update public.scheduler_breakers set failures = 0, opened_at = null, tried_by = null where job_name = p_job_name;
  perform scheduler.forget_waiting(v_job.name, '{breaker}');
  perform scheduler.wake_jobs(array[v_job.name], 'epoch');
  perform scheduler.audit('close_breaker', 'job', v_job.name, p_reason, p_author,
    jsonb_build_object('opened_at', v_breaker.opened_at, 'failures', v_breaker.failures), null, p_now);
  return format('the breaker of %s is closed; what waits is sent with the next pulse', v_job.name);
end;
$$;
comment on function scheduler.close_breaker(text, text, text, timestamptz) is
  'Closes the job''s breaker, with a reason and an author. Raises SD001 for an unknown job; 22023 for a missing '
    'reason or author.';
