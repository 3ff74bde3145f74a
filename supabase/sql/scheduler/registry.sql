-- The registry: registering a job is one call, and pg_cron follows.

-- Postgres keeps cron entries per user; the scheduler's are those of the role that owns it.
create function scheduler.sync_cron_entry(p_job_name text) returns void
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
      message = format('cannot register the job %s: pg_cron has an entry of that name which is not Daybook''s',
        p_job_name),
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
  'Makes pg_cron''s entry of a job what the registry says: there and active, or gone. Changes nothing that is right. '
    'Raises 42710 when the name belongs to somebody else''s entry.';

-- A run_if may be written as people write functions: quoted or not, with its arguments or without.
create function scheduler.run_if_function(p_run_if text) returns regprocedure
language plpgsql stable set search_path = '' as $$
begin
  return (
    select oid from pg_catalog.pg_proc
    where oid = to_regprocedure(case when right(btrim(p_run_if), 1) = ')' then p_run_if
      else p_run_if || '(timestamptz)' end)
      and prokind = 'f' and prorettype = 'boolean'::regtype and not proretset
      and pronargs = 1 and proargtypes[0] = 'timestamptz'::regtype);
exception when syntax_error_or_access_rule_violation or invalid_text_representation or feature_not_supported then
  return null;  -- no name of a function at all
end;
$$;
comment on function scheduler.run_if_function(text) is
  'The function (timestamptz) returns boolean that a run_if names, with its schema; null when there is none.';

-- Finds the fault in a job's values and names the value. It has no side effect, so a table of cases tests it.
create function scheduler.job_fault(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_is_url constant boolean := p_job.target like '%://%';
begin
  return coalesce(
    case
      when p_job.name = 'scheduler-pulse' then 'that name is the scheduler''s own pulse'
      when p_job.target !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' and p_job.target !~ '^https://[^\s/@]+(/\S*)?$'
        then format('target must be an edge function''s slug (letters, digits, - and _) or an https URL without user '
          'and password, got %L', p_job.target)
      when v_is_url and p_job.receipt = 'function' then 'a URL has no receipt of its own, receipt must be ''response'''
      when v_is_url and p_job.timeout_seconds > 50 then format(
        'timeout_seconds of a URL must be at most 50, got %s: pg_net holds back the answers to all other requests of '
          'its batch until the slowest has ended',
        p_job.timeout_seconds)
      when not v_is_url and p_job.secret_name !~ '\S' then 'secret_name must name a secret in Vault, got a blank one'
      when p_job.description is null then 'description must be a text, got null'
      when p_job.enabled is null then 'enabled must be true or false, got null'
      when jsonb_typeof(p_job.payload) is distinct from 'object'
        then format('payload must be a JSON object, got %s', coalesce(left(p_job.payload::text, 100), 'null'))
    end,
    (select format('%s must be from %s to %s, got %s', field, least_value, most_value, coalesce(value::text, 'null'))
      from (values
        (1, 'timeout_seconds', p_job.timeout_seconds, 1, 86400),
        (2, 'max_attempts', p_job.max_attempts, 1, 20),
        (3, 'backoff_base_seconds', p_job.backoff_base_seconds, 1, 86400),
        (4, 'backoff_cap_seconds', p_job.backoff_cap_seconds, 1, 86400),
        (5, 'misfire_grace_seconds', p_job.misfire_grace_seconds, 0, 86400),
        (6, 'misfire_cap', p_job.misfire_cap, 1, 1000),
        (7, 'parallel_limit', coalesce(p_job.parallel_limit, 1), 1, 1000)
      ) as ranges (place, field, value, least_value, most_value)
      where (value between least_value and most_value) is not true order by place limit 1),
    (select format('%s must be %s, got %s', field, choices, coalesce(quote_literal(value), 'null'))
      from (values
        (1, 'overlap_policy', p_job.overlap_policy, '''skip'', ''queue'' or ''allow'''),
        (2, 'misfire_policy', p_job.misfire_policy, '''skip'', ''once'' or ''all'''),
        (3, 'receipt', p_job.receipt, '''function'' or ''response''')
      ) as listed (place, field, value, choices)
      where (position(quote_literal(value) in choices) > 0) is not true order by place limit 1),
    case
      when p_job.parallel_limit is not null and p_job.overlap_policy <> 'allow'
        then format('parallel_limit needs overlap_policy => ''allow'', got %L', p_job.overlap_policy)
      when p_job.run_if is null then null
      when scheduler.run_if_function(p_job.run_if) is null
        then format('run_if must name a function (timestamptz) returns boolean, with its schema, got %L', p_job.run_if)
      when not has_function_privilege(scheduler.run_if_function(p_job.run_if), 'execute')
        then format('run_if %s may not be executed by %s', p_job.run_if, current_user)
      when p_job.schedule is null then 'run_if is asked for what a schedule makes due, and schedule is null'
    end);
end;
$$;
comment on function scheduler.job_fault(public.scheduler_jobs) is
  'The first thing that is wrong with a job''s values (its schedule and time zone apart), as the end of the sentence '
    '"cannot register the job: …"; null when nothing is.';

-- One job whose times cannot be read must not stop the verbs that change it.
create function scheduler.try_record_due(p_job public.scheduler_jobs, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
begin
  if p_job.enabled then
    perform scheduler.hear_job(p_job.name, p_now);
    perform scheduler.record_due(p_job, p_now);
  end if;
  return null;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    return sqlerrm;
end;
$$;
comment on function scheduler.try_record_due(public.scheduler_jobs, timestamptz) is
  'Hears the job''s runs and gives every occurrence of it up to p_now its row, unless it is disabled. Returns why '
    'that cannot be done (its time zone is unknown, say), null when it was. The caller holds the job''s row lock.';

create function scheduler.register_job(
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
  v_job public.scheduler_jobs;
  v_is_url constant boolean := coalesce(register_job.target, '') like '%://%';
begin
  if register_job.name is null or register_job.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a job: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(register_job.name), 'null'));
  end if;
  v_job.name := register_job.name;
  v_job.schedule := register_job.schedule;
  v_job.time_zone := register_job.time_zone;
  v_job.target := coalesce(register_job.target, register_job.name);
  v_job.description := register_job.description;
  v_job.payload := register_job.payload;
  v_job.timeout_seconds := coalesce(register_job.timeout_seconds, case when v_is_url then 30 else 120 end);
  v_job.max_attempts := register_job.max_attempts;
  v_job.backoff_base_seconds := register_job.backoff_base_seconds;
  v_job.backoff_cap_seconds := register_job.backoff_cap_seconds;
  v_job.overlap_policy := register_job.overlap_policy;
  v_job.misfire_policy := register_job.misfire_policy;
  v_job.misfire_grace_seconds := register_job.misfire_grace_seconds;
  v_job.misfire_cap := register_job.misfire_cap;
  v_job.receipt := coalesce(register_job.receipt, case when v_is_url then 'response' else 'function' end);
  v_job.secret_name := coalesce(register_job.secret_name, case when v_is_url then '' else 'cron_secret' end);
  v_job.parallel_limit := register_job.parallel_limit;
  v_job.run_if := register_job.run_if;
  v_job.enabled := register_job.enabled;
  perform scheduler.put_job(v_job);
end;
$$;
comment on function scheduler.register_job is
  'Registers a job, or changes it to exactly these values (a pause stays). With schedule => null it runs only when it '
    'is enqueued or called. Durations in seconds; timeout_seconds defaults to 120, to 30 for a URL. target defaults '
    'to the edge function named like the job. Raises 22023 for a wrong argument, 42710 when pg_cron has a foreign '
    'entry of that name.';

create function scheduler.checked_job(p_job public.scheduler_jobs) returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_fault text := scheduler.job_fault(p_job);
begin
  if v_fault is null then
    perform scheduler.assert_time_zone(v_job.time_zone);
    if v_job.schedule is not null then
      v_job.cron_entry := scheduler.compile_schedule(v_job.schedule, v_job.time_zone);
      v_fault := case when v_job.cron_entry is null then format('the schedule %L never occurs', v_job.schedule) end;
    end if;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: %s', v_job.name, v_fault);
  end if;
  -- As the catalogue names it, so that two ways of writing it are no change.
  v_job.run_if := (
    select format('%I.%I', nspname, proname) from pg_catalog.pg_proc
      join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
    where pg_proc.oid = scheduler.run_if_function(v_job.run_if));
  return v_job;
end;
$$;
comment on function scheduler.checked_job(public.scheduler_jobs) is
  'The job with its pg_cron entry and its run_if as the catalogue names it. Raises 22023 for a value that cannot be '
    'registered.';

-- The catalogue lists the columns: a second list here would have to agree with it.
create function scheduler.write_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  -- What registering leaves as it is.
  v_kept constant text[] := array[
    'function_name', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'created_at', 'updated_at'];
  v_columns constant text[] := array(
    select quote_ident(attname) from pg_catalog.pg_attribute
    where attrelid = 'public.scheduler_jobs'::regclass and attnum > 0 and not attisdropped and attname <> all (v_kept)
    order by attnum);
begin
  -- A row that has these values already is not written.
  if exists (
    select from public.scheduler_jobs as jobs
    where name = p_job.name and to_jsonb(jobs) - v_kept = to_jsonb(p_job) - v_kept) then
    return;
  end if;
  execute format('insert into public.scheduler_jobs (%1$s) select %2$s
      on conflict (name) do update set (%1$s, updated_at) = row(%3$s, now())',
    array_to_string(v_columns, ', '),
    (select string_agg('($1).' || name, ', ' order by place) from unnest(v_columns) with ordinality as c (name, place)),
    (select string_agg('excluded.' || name, ', ' order by place)
      from unnest(v_columns) with ordinality as c (name, place)))
    using p_job;
end;
$$;
comment on function scheduler.write_job(public.scheduler_jobs) is
  'Writes a job''s row, new or over the one of its name; a pause and created_at stay. Changes nothing that is right.';

create function scheduler.put_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.checked_job(p_job);
  v_old public.scheduler_jobs;
  v_has_same_times boolean;
  v_fault text;
begin
  perform scheduler.require_seconds(v_job);
  select * into v_old from public.scheduler_jobs where name = v_job.name for no key update;
  v_has_same_times := (v_old.schedule, v_old.time_zone) is not distinct from (v_job.schedule, v_job.time_zone);
  if v_old.enabled and v_job.enabled and not v_has_same_times then
    -- Occurrences that came due under the old times are recorded before the times change.
    v_fault := scheduler.try_record_due(v_old, now());
    if v_fault is not null then
      v_fault := 'what came due under its old times is not in the ledger: ' || v_fault;
      raise warning '%: %', v_job.name, v_fault;
      perform scheduler.log_activity(v_job.name, v_fault, 'warning');
    end if;
  end if;
  -- The cursor stays where it is unless the times themselves change or the job is switched on.
  v_job.next_run_at := case
    when v_job.schedule is null then null
    when v_has_same_times and (v_old.enabled or not v_job.enabled) and v_old.next_run_at is not null
      then v_old.next_run_at
    else scheduler.next_occurrence(v_job.schedule, v_job.time_zone, now())
  end;
  perform scheduler.write_job(v_job);
  perform scheduler.sync_cron_entry(v_job.name);
end;
$$;
comment on function scheduler.put_job(public.scheduler_jobs) is
  'Writes a job into the registry and makes pg_cron follow, as register_job describes it: what it does once all '
    'values are there.';

create function scheduler.unregister_job(p_job_name text) returns void
language plpgsql set search_path = '' as $$
begin
  delete from public.scheduler_jobs where name = p_job_name;
  if not found then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  perform scheduler.sync_cron_entry(p_job_name);
end;
$$;
comment on function scheduler.unregister_job(text) is
  'Takes a job out of the registry and out of pg_cron. Its runs stay in the ledger; those that wait are cancelled by '
    'the next pulse. Raises SD001 for an unknown job.';

-- One place says what being paused means: an occurrence in the pause, or a pause that holds now.
create function scheduler.is_paused(p_job public.scheduler_jobs, p_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select p_job.paused_at is not null and p_job.paused_at <= p_at
    and (p_job.paused_until is null or p_at < p_job.paused_until);
$$;
comment on function scheduler.is_paused(public.scheduler_jobs, timestamptz) is 'Whether the job''s pause covers that '
  'moment.';

-- Asked before a row is written: an occurrence without work leaves no row.
create function scheduler.has_work(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_function regprocedure;
  v_answer boolean;
begin
  if p_job.run_if is null then
    return true;
  end if;
  v_function := scheduler.run_if_function(p_job.run_if);
  if v_function is null then
    raise exception using errcode = '42883',
      message = format('cannot ask whether %s has anything to do: its run_if %s is no function (timestamptz) returns '
        'boolean any more', p_job.name, p_job.run_if),
      hint = 'create it again, or register the job with another run_if';
  end if;
  begin
    execute format('select %s($1)', v_function::oid::regproc) into v_answer using p_occurrence;
  exception when others then
    raise exception using errcode = sqlstate,
      message = format('cannot ask whether %s has anything to do: its run_if %s failed: %s', p_job.name, p_job.run_if,
        left(sqlerrm, 500));
  end;
  return coalesce(v_answer, false);
end;
$$;
comment on function scheduler.has_work(public.scheduler_jobs, timestamptz) is
  'Whether the job has anything to do for that occurrence, by its run_if; true without one. Raises when it cannot be '
    'asked, naming the job, the run_if and the reason: 42883 when the function is gone, else the code that it failed '
    'with.';
