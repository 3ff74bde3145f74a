-- The verbs an operator calls in the SQL console.

create or replace function scheduler.assert_job(p_job_name text) returns public.scheduler_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name for no key update;
  if not found then
    raise exception using errcode = '22023', message = format('there is no job named %L', p_job_name),
      hint = format('the jobs are: %s', (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs));
  end if;
  return v_job;
end;
$$;
comment on function scheduler.assert_job(text) is 'The job''s row, locked. Raises 22023 and names the jobs there are when it is unknown.';

create or replace function scheduler.run_now(
  p_job_name text, p_payload jsonb default null, p_now timestamptz default clock_timestamp()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_run_id uuid;
  v_held record;
begin
  if p_payload is not null and jsonb_typeof(p_payload) <> 'object' then
    raise exception using errcode = '22023',
      message = format('cannot run %s: payload must be a JSON object, got %s', p_job_name, left(p_payload::text, 100));
  end if;
  select run_id, acquired_at into v_held from public.scheduler_locks where name = p_job_name and expires_at > p_now;
  if v_job.overlap_policy <> 'allow' and v_held.run_id is not null then
    raise exception using errcode = '55006',
      message = format('cannot run %s now: run %s has been under way since %s', p_job_name, v_held.run_id, v_held.acquired_at),
      hint = format('wait for it, or end it: select scheduler.release_lock(%L, ''reason'')', p_job_name);
  end if;
  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload
  ) values (
    v_job.name, v_job.function_name, 'queued', 'manual', p_now, v_job.max_attempts, v_job.timeout_seconds,
    coalesce(p_payload, v_job.payload)
  ) returning id into v_run_id;
  perform scheduler.send_run(v_job, v_run_id, p_now);
  return v_run_id;
end;
$$;
comment on function scheduler.run_now(text, jsonb, timestamptz) is
  'Runs a job at once through the real dispatch path, also when it is paused or disabled, with its own payload unless another is given. Returns the run. Raises 55006 when another run holds the job''s lock, 22023 for an unknown job or a payload that is no object.';

create or replace function scheduler.pause(
  p_job_name text, p_reason text, p_author text, p_until timestamptz default null, p_now timestamptz default now()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
begin
  if coalesce(btrim(p_reason), '') = '' or coalesce(btrim(p_author), '') = '' then
    raise exception using errcode = '22023',
      message = format('cannot pause %s: reason and author must be given', p_job_name),
      hint = format('select scheduler.pause(%L, ''why'', ''who'', now() + interval ''2 hours'')', p_job_name);
  end if;
  if p_until <= p_now then
    raise exception using errcode = '22023',
      message = format('cannot pause %s: until must be in the future, got %s', p_job_name, p_until);
  end if;
  update public.scheduler_jobs
    set paused_at = case when scheduler.is_paused(v_job, p_now) then paused_at else p_now end, paused_until = p_until, pause_reason = btrim(p_reason), paused_by = btrim(p_author), updated_at = now()
    where name = v_job.name;
  return format('%s is paused %s; %s', v_job.name,
    coalesce('until ' || to_char(p_until at time zone v_job.time_zone, 'YYYY-MM-DD HH24:MI ') || v_job.time_zone, 'until somebody resumes it'),
    case when v_job.schedule is null then 'what is enqueued waits' else 'its occurrences are recorded as skipped' end);
end;
$$;
comment on function scheduler.pause(text, text, text, timestamptz, timestamptz) is
  'Pauses a job with a reason and an author, until a moment or until resume. Its occurrences become skipped rows; what already runs goes on. Raises 22023 for an unknown job, a missing reason or author, an end that is past.';

create or replace function scheduler.resume(p_job_name text, p_now timestamptz default now()) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
begin
  if not scheduler.is_paused(v_job, p_now) then
    return format('%s was not paused', v_job.name);
  end if;
  -- What came due in the pause and nobody looked at belongs to the pause.
  if v_job.enabled then
    perform scheduler.record_due(v_job, p_now);
  end if;
  update public.scheduler_jobs
    set paused_at = null, paused_until = null, pause_reason = null, paused_by = null, updated_at = now()
    where name = v_job.name
    returning * into v_job;
  if v_job.schedule is null then
    return format('%s runs again when it is enqueued or called', v_job.name);
  end if;
  return format('%s runs again; next at %s', v_job.name,
    to_char(v_job.next_run_at at time zone v_job.time_zone, 'YYYY-MM-DD HH24:MI ') || v_job.time_zone);
end;
$$;
comment on function scheduler.resume(text, timestamptz) is
  'Ends a pause. What came due in it stays skipped. Raises 22023 for an unknown job.';

create or replace function scheduler.release_lock(p_job_name text, p_reason text, p_now timestamptz default now()) returns text
language plpgsql set search_path = '' as $$
declare
  v_run_id uuid;
begin
  perform scheduler.assert_job(p_job_name);
  if coalesce(btrim(p_reason), '') = '' then
    raise exception using errcode = '22023', message = format('cannot release the lock of %s: a reason must be given', p_job_name);
  end if;
  select run_id into v_run_id from public.scheduler_locks where name = p_job_name;
  if v_run_id is null then
    return format('nobody holds the lock of %s', p_job_name);
  end if;
  perform scheduler.end_run(v_run_id, array['queued', 'dispatched', 'running'], 'cancelled', 'cancelled', p_now,
    p_error_message => format('its lock was released: %s', btrim(p_reason)));
  delete from public.scheduler_locks where run_id = v_run_id;
  return format('run %s is cancelled and the lock of %s is free; if the function is still at work, its next heartbeat tells it to stop',
    v_run_id, p_job_name);
end;
$$;
comment on function scheduler.release_lock(text, text, timestamptz) is
  'Cancels the run that holds the job''s lock, with a reason, and frees the lock; what waited is sent. Raises 22023 for an unknown job or a missing reason.';

create or replace function scheduler.next_runs(p_job_name text default null, p_count integer default 5, p_now timestamptz default now())
returns table (job_name text, run_at timestamptz, local_time timestamp, time_zone text, note text)
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_at timestamptz;
begin
  if p_count is null or p_count not between 1 and 1000 then
    raise exception using errcode = '22023', message = format('count must be from 1 to 1000, got %s', coalesce(p_count::text, 'null'));
  end if;
  if p_job_name is not null and not exists (select from public.scheduler_jobs where name = p_job_name) then
    raise exception using errcode = '22023', message = format('there is no job named %L', p_job_name);
  end if;
  for v_job in
    select * from public.scheduler_jobs where enabled and (p_job_name is null or name = p_job_name) order by next_run_at, name
  loop
    if v_job.schedule is null then
      job_name := v_job.name;
      run_at := null;
      local_time := null;
      time_zone := v_job.time_zone;
      note := 'has no schedule: it runs when it is enqueued or called';
      return next;
      continue;
    end if;
    v_at := p_now;
    for i in 1 .. p_count loop
      v_at := scheduler.next_occurrence(v_job.schedule, v_job.time_zone, v_at);
      exit when v_at is null;
      job_name := v_job.name;
      run_at := v_at;
      local_time := v_at at time zone v_job.time_zone;
      time_zone := v_job.time_zone;
      note := case when scheduler.is_paused(v_job, v_at)
        then format('will be skipped: paused by %s: %s', v_job.paused_by, v_job.pause_reason) end;
      return next;
    end loop;
  end loop;
end;
$$;
comment on function scheduler.next_runs(text, integer, timestamptz) is
  'The next occurrences of one job, or of each enabled job: as an instant and as local time; a job without a schedule has one row that says so. Raises 22023 for an unknown job or a count outside 1 to 1000.';

-- Security definer because service_role, which calls it through REST, may only read scheduler_state.
create or replace function public.try_mark_daily_run(p_today_key text, p_scope text default 'global') returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_previous text;
  v_updated boolean;
  v_is_date boolean := p_today_key ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$';
begin
  if v_is_date then
    begin
      perform p_today_key::date;
    exception when datetime_field_overflow then
      v_is_date := false;
    end;
  end if;
  if v_is_date is not true then
    raise exception using errcode = '22023',
      message = format('cannot mark a daily run: today_key must be a local date as YYYY-MM-DD, got %s', coalesce(quote_literal(left(p_today_key, 40)), 'null'));
  end if;
  if coalesce(p_scope, '') = '' then
    raise exception using errcode = '22023', message = 'cannot mark a daily run: scope must not be empty';
  end if;
  -- The row's lock makes the callers of one scope take turns, so that each sees what the one before it left.
  insert into public.scheduler_state (scope, last_daily_run_key) values (p_scope, '') on conflict do nothing;
  select nullif(last_daily_run_key, '') into v_previous from public.scheduler_state where scope = p_scope for update;
  -- Only a later day counts: a scope moved west or over the date line does not get a day twice.
  v_updated := v_previous is null or p_today_key > v_previous;
  if v_updated then
    update public.scheduler_state set last_daily_run_key = p_today_key, updated_at = now() where scope = p_scope;
  end if;
  return jsonb_build_object(
    'updated', v_updated, 'previous_key', v_previous, 'new_key', case when v_updated then p_today_key else v_previous end);
end;
$$;
comment on function public.try_mark_daily_run(text, text) is
  'Marks the local day YYYY-MM-DD as run for a scope, once: {"updated": true} for exactly one caller a day and scope, {"updated": false} for every other and for an earlier day, with "previous_key" and "new_key". Without a scope it is the platform''s daily batch. Raises 22023 for a key that is no date.';

revoke all on function scheduler.assert_job(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.run_now(text, jsonb, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.pause(text, text, text, timestamptz, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.resume(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.release_lock(text, text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.next_runs(text, integer, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.try_mark_daily_run(text, text) from public, anon, authenticated;
grant execute on function public.try_mark_daily_run(text, text) to service_role;
