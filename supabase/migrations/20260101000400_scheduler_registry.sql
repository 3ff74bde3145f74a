-- The registry: registering a job is one call, and pg_cron follows.

-- Postgres keeps cron entries per user; the scheduler's are those of the role that owns it.
create or replace function scheduler.sync_cron_entry(p_job_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_actual record;
  v_command text := format('select scheduler.dispatch(%L)', p_job_name);
  v_job_id bigint;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  select jobid, schedule, command, active, database into v_actual
    from cron.job where jobname = p_job_name and username = current_user;

  if v_job.name is null or not v_job.enabled or v_job.schedule is null then
    if v_actual.command = v_command then
      perform cron.unschedule(v_actual.jobid);
    end if;
    return;
  end if;

  if v_actual.command is not null and v_actual.command <> v_command then
    raise exception using errcode = '42710',
      message = format('cannot register the job %s: pg_cron has an entry of that name which is not Daybook''s', p_job_name),
      detail = format('its command is: %s', left(v_actual.command, 60)),
      hint = format('take it out first: select cron.unschedule(%L)', p_job_name);
  end if;

  if v_actual.schedule is distinct from v_job.cron_entry then
    v_job_id := cron.schedule(p_job_name, v_job.cron_entry, v_command);
    v_actual.active := (select active from cron.job where jobid = v_job_id);
    v_actual.jobid := v_job_id;
  end if;
  -- cron.schedule leaves an entry inactive that was inactive before.
  if not v_actual.active then
    perform cron.alter_job(job_id := v_actual.jobid, active := true);
  end if;
end;
$$;
comment on function scheduler.sync_cron_entry(text) is
  'Makes pg_cron''s entry of a job what the registry says: there and active, or gone. Changes nothing that is right. Raises 42710 when the name belongs to somebody else''s entry.';

create or replace function scheduler.register_job(
  name text,
  schedule text,
  time_zone text default 'UTC',
  target text default null,
  description text default '',
  payload jsonb default '{}',
  timeout_seconds integer default null,
  max_attempts integer default 3,
  backoff_base_seconds integer default 30,
  backoff_cap_seconds integer default 900,
  overlap_policy text default 'skip',
  misfire_policy text default 'once',
  misfire_grace_seconds integer default 300,
  misfire_cap integer default 24,
  receipt text default null,
  secret_name text default null,
  parallel_limit integer default null,
  run_if text default null,
  enabled boolean default true
) returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  v_target text := coalesce(register_job.target, register_job.name);
  v_is_url boolean := v_target like '%://%';
  v_entry text;
  v_timeout_seconds integer := coalesce(register_job.timeout_seconds, case when v_is_url then 30 else 120 end);
  v_old public.scheduler_jobs;
begin
  if register_job.name is null or register_job.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a job: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, got %s', coalesce(quote_literal(register_job.name), 'null'));
  end if;
  if v_target !~ '^[a-z0-9][a-z0-9_-]{0,62}$' and v_target !~ '^https://[^\s/@]+(/\S*)?$' then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: target must be an edge function''s slug or an https URL without user and password, got %L', register_job.name, v_target);
  end if;
  if v_is_url and register_job.receipt = 'function' then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: a URL has no receipt of its own, receipt must be ''response''', register_job.name);
  end if;
  if v_is_url and v_timeout_seconds > 50 then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: timeout_seconds of a URL must be at most 50, got %s', register_job.name, v_timeout_seconds),
      detail = 'pg_net holds back the answers to all other requests of its batch until the slowest has ended';
  end if;
  if register_job.parallel_limit is not null and register_job.overlap_policy is distinct from 'allow' then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: parallel_limit needs overlap_policy => ''allow'', got %s', register_job.name, coalesce(quote_literal(register_job.overlap_policy), 'null'));
  end if;
  if register_job.run_if is not null and not exists (
    select from pg_catalog.pg_proc where oid = to_regprocedure(register_job.run_if || '(timestamptz)') and prorettype = 'boolean'::regtype
  ) then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: run_if must name a function (timestamptz) returns boolean, with its schema, got %L', register_job.name, register_job.run_if);
  end if;
  if register_job.run_if is not null and register_job.schedule is null then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: run_if is asked for what a schedule makes due, and schedule is null', register_job.name);
  end if;
  perform scheduler.assert_time_zone(register_job.time_zone);
  if register_job.schedule is not null then
    v_entry := scheduler.compile_schedule(register_job.schedule, register_job.time_zone);
  end if;
  if v_entry is null and register_job.schedule is not null then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: the schedule %L never occurs', register_job.name, register_job.schedule);
  end if;

  select * into v_old from public.scheduler_jobs as jobs where jobs.name = register_job.name for no key update;
  -- What came due under the old times gets its rows before they are forgotten.
  if v_old.enabled and register_job.enabled and v_old.next_run_at <= now()
    and (v_old.schedule, v_old.time_zone) is distinct from (register_job.schedule, register_job.time_zone)
  then
    perform scheduler.record_due(v_old, now());
    select * into v_old from public.scheduler_jobs as jobs where jobs.name = register_job.name;
  end if;

  insert into public.scheduler_jobs as jobs (
    name, schedule, time_zone, target, description, payload, timeout_seconds, max_attempts, backoff_base_seconds,
    backoff_cap_seconds, overlap_policy, misfire_policy, misfire_grace_seconds, misfire_cap, receipt, secret_name,
    parallel_limit, run_if, enabled, cron_entry, next_run_at
  ) values (
    register_job.name, register_job.schedule, register_job.time_zone, v_target, register_job.description,
    register_job.payload, v_timeout_seconds, register_job.max_attempts, register_job.backoff_base_seconds,
    register_job.backoff_cap_seconds, register_job.overlap_policy, register_job.misfire_policy,
    register_job.misfire_grace_seconds, register_job.misfire_cap,
    coalesce(register_job.receipt, case when v_is_url then 'response' else 'function' end),
    coalesce(register_job.secret_name, case when v_is_url then '' else 'cron_secret' end),
    register_job.parallel_limit, register_job.run_if, register_job.enabled, v_entry,
    -- The cursor stays where it is unless the times themselves change or the job is switched on.
    case
      when register_job.schedule is null then null
      when v_old.name is not null and (v_old.enabled or not register_job.enabled) and v_old.next_run_at is not null
        and (v_old.schedule, v_old.time_zone) = (register_job.schedule, register_job.time_zone) then v_old.next_run_at
      else scheduler.next_occurrence(register_job.schedule, register_job.time_zone, now())
    end
  )
  on conflict (name) do update set
    schedule = excluded.schedule, time_zone = excluded.time_zone, target = excluded.target,
    description = excluded.description, payload = excluded.payload, timeout_seconds = excluded.timeout_seconds,
    max_attempts = excluded.max_attempts, backoff_base_seconds = excluded.backoff_base_seconds,
    backoff_cap_seconds = excluded.backoff_cap_seconds, overlap_policy = excluded.overlap_policy,
    misfire_policy = excluded.misfire_policy, misfire_grace_seconds = excluded.misfire_grace_seconds,
    misfire_cap = excluded.misfire_cap, receipt = excluded.receipt, secret_name = excluded.secret_name,
    parallel_limit = excluded.parallel_limit, run_if = excluded.run_if,
    enabled = excluded.enabled, cron_entry = excluded.cron_entry, next_run_at = excluded.next_run_at,
    updated_at = now()
  where (jobs.schedule, jobs.time_zone, jobs.target, jobs.description, jobs.payload, jobs.timeout_seconds,
      jobs.max_attempts, jobs.backoff_base_seconds, jobs.backoff_cap_seconds, jobs.overlap_policy, jobs.misfire_policy,
      jobs.misfire_grace_seconds, jobs.misfire_cap, jobs.receipt, jobs.secret_name, jobs.parallel_limit, jobs.run_if, jobs.enabled, jobs.cron_entry,
      jobs.next_run_at)
    is distinct from (excluded.schedule, excluded.time_zone, excluded.target, excluded.description, excluded.payload,
      excluded.timeout_seconds, excluded.max_attempts, excluded.backoff_base_seconds, excluded.backoff_cap_seconds,
      excluded.overlap_policy, excluded.misfire_policy, excluded.misfire_grace_seconds, excluded.misfire_cap,
      excluded.receipt, excluded.secret_name, excluded.parallel_limit, excluded.run_if, excluded.enabled, excluded.cron_entry, excluded.next_run_at);

  perform scheduler.sync_cron_entry(register_job.name);
end;
$$;
comment on function scheduler.register_job is
  'Registers a job, or changes it to exactly these values (a pause stays). With schedule => null it runs only when it is enqueued or called. Durations in seconds; timeout_seconds defaults to 120, to 30 for a URL. target defaults to the edge function named like the job. Raises 22023 for a wrong argument, 23514 for a value out of range, 42710 when pg_cron has a foreign entry of that name.';

create or replace function scheduler.unregister_job(p_job_name text) returns void
language plpgsql set search_path = '' as $$
begin
  delete from public.scheduler_jobs where name = p_job_name;
  if not found then
    raise exception using errcode = '22023', message = format('cannot unregister %L: no such job', p_job_name),
      hint = 'select name from public.scheduler_jobs';
  end if;
  perform scheduler.sync_cron_entry(p_job_name);
end;
$$;
comment on function scheduler.unregister_job(text) is
  'Takes a job out of the registry and out of pg_cron. Its runs stay in the ledger; those that wait are cancelled by the next pulse. Raises 22023 for an unknown job.';

-- One place says what being paused means: an occurrence in the pause, or a pause that holds now.
create or replace function scheduler.is_paused(p_job public.scheduler_jobs, p_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select p_job.paused_at is not null and p_job.paused_at <= p_at
    and (p_job.paused_until is null or p_at < p_job.paused_until);
$$;
comment on function scheduler.is_paused(public.scheduler_jobs, timestamptz) is 'Whether the job''s pause covers that moment.';

-- Asked before a row is written: what has nothing to do leaves none.
create or replace function scheduler.has_work(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_answer boolean;
begin
  if p_job.run_if is null then
    return true;
  end if;
  execute format('select %s($1)', to_regprocedure(p_job.run_if || '(timestamptz)')::regproc) into v_answer using p_occurrence;
  return coalesce(v_answer, false);
end;
$$;
comment on function scheduler.has_work(public.scheduler_jobs, timestamptz) is
  'Whether the job has anything to do for that occurrence, by its run_if; true without one.';

revoke all on function scheduler.sync_cron_entry(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.register_job from public, anon, authenticated, service_role;
revoke all on function scheduler.unregister_job(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.is_paused(public.scheduler_jobs, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.has_work(public.scheduler_jobs, timestamptz) from public, anon, authenticated, service_role;
