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

-- It may be written as people write functions: quoted or not, with its arguments or without.
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
  'The function (timestamptz) returns boolean that a run_if or defer_if names, with its schema; null when there is '
    'none.';

create function scheduler.asked_function_fault(p_field text, p_function text) returns text
language sql stable set search_path = '' as $$
  select case
    when p_function is null then null
    when scheduler.run_if_function(p_function) is null
      then format('%s must name a function (timestamptz) returns boolean, with its schema, got %L', p_field, p_function)
    when not has_function_privilege(scheduler.run_if_function(p_function), 'execute')
      then format('%s %s may not be executed by %s', p_field, p_function, current_user) end;
$$;
comment on function scheduler.asked_function_fault(text, text) is
  'What is wrong with the function that the value of that name gives; null when nothing is, or when it gives none.';

create function scheduler.catalogue_name(p_function text) returns text
language sql stable set search_path = '' as $$
  select format('%I.%I', nspname, proname) from pg_catalog.pg_proc
    join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
  where pg_proc.oid = scheduler.run_if_function(p_function);
$$;
comment on function scheduler.catalogue_name(text) is
  'A run_if or defer_if as the catalogue names its function, so that two ways of writing it are no change.';

-- Two values of which one makes the other mean nothing. In plpgsql, which keeps the plan: to plan it takes longer than
-- to ask it.
create function scheduler.contradiction(p_job public.scheduler_jobs) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select format('%s and %s contradict each other: %s', one, other, reason)
    from (values
      (p_job.continuous and p_job.overlap_policy <> 'skip', 'schedule => ''@continuous''', 'overlap_policy',
        'a continuous job has exactly one run under way, so it must be ''skip'''),
      (p_job.continuous and p_job.jitter_seconds > 0, 'schedule => ''@continuous''', 'jitter_seconds',
        'there is no occurrence to send later'),
      (p_job.continuous and p_job.receipt <> 'function', 'schedule => ''@continuous''', 'receipt',
        'a continuous job tells by its own receipt when it ends and whether it is idle, so it must be ''function'''),
      (p_job.schedule is null and not p_job.continuous and p_job.jitter_seconds > 0, 'schedule => null',
        'jitter_seconds', 'there is no occurrence to send later'),
      (p_job.jitter_seconds > 0 and p_job.jitter_seconds >= greatest(60, p_job.misfire_grace_seconds), 'jitter_seconds',
        'misfire_grace_seconds', 'an occurrence would be late before it is sent'),
      -- Null without an interval in seconds.
      (p_job.jitter_seconds >= scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')),
        'jitter_seconds', 'schedule', 'a run would be sent after the next occurrence'),
      (p_job.idle_seconds <> 30 and not p_job.continuous, 'idle_seconds', 'schedule',
        'only a continuous job is asked again after an idle time'),
      (p_job.defer_at_most_seconds <> 900 and p_job.defer_if is null, 'defer_at_most_seconds', 'defer_if',
        'nothing is put off'),
      (p_job.continuous and p_job.defer_if is not null, 'schedule => ''@continuous''', 'defer_if',
        'one run is always under way, so none can be put off'),
      (p_job.continuous and p_job.stretch_after is not null, 'schedule => ''@continuous''', 'stretch_after',
        'idle_seconds says when it is asked again'),
      (p_job.schedule is null and p_job.stretch_after is not null, 'schedule => null', 'stretch_after',
        'there is no occurrence to leave out'),
      (p_job.stretch_after is not null and p_job.receipt <> 'function', 'stretch_after', 'receipt',
        'only a function''s own receipt says that it found nothing, so it must be ''function'''),
      ((p_job.stretch_after is null) <> (p_job.stretch_at_most_seconds is null), 'stretch_after',
        'stretch_at_most_seconds', 'each needs the other'),
      (p_job.stretch_at_most_seconds < 2 * scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')),
        'stretch_at_most_seconds', 'schedule', 'no occurrence would ever be left out'),
      (p_job.parallel_least is not null and p_job.parallel_limit is null, 'parallel_least', 'parallel_limit',
        'without a most there is nothing to choose from'),
      (p_job.parallel_least > p_job.parallel_limit, 'parallel_least', 'parallel_limit',
        'the least is more than the most'),
      (p_job.breaker_cooldown_seconds <> 300 and p_job.breaker_failures is null, 'breaker_cooldown_seconds',
        'breaker_failures', 'without a number of failures there is no breaker'),
      (p_job.dependency_timeout_seconds <> 21600 and p_job.depends_on = '{}', 'dependency_timeout_seconds',
        'depends_on', 'nothing is waited for'),
      (p_job.on_dependency_timeout <> 'skip' and p_job.depends_on = '{}', 'on_dependency_timeout', 'depends_on',
        'nothing is waited for'),
      (p_job.on_dependency_failure <> 'skip' and p_job.depends_on = '{}', 'on_dependency_failure', 'depends_on',
        'nothing is waited for'),
      (p_job.key_limit is not null and p_job.overlap_policy <> 'allow', 'key_limit', 'overlap_policy',
        'without ''allow'' one run is under way whatever its key'),
      (p_job.key_limit > p_job.parallel_limit, 'key_limit', 'parallel_limit',
        'so many runs with one key can never be under way')
    ) as contradictions (holds, one, other, reason)
    where holds limit 1);
end;
$$;
comment on function scheduler.contradiction(public.scheduler_jobs) is
  'The first two of a job''s values that contradict each other, as a sentence that names both; null when none do.';

create function scheduler.unknown_name(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when p_job.group_name is not null and not exists (
      select from public.scheduler_groups where name = p_job.group_name)
      then format('there is no group named %L: register it with scheduler.register_group', p_job.group_name)
    when array_position(p_job.calendars, null) is not null then 'calendars must hold names of calendars, got null'
    else (
      select format('there is no calendar named %L: register it with scheduler.register_calendar', wanted)
      from unnest(p_job.calendars) as wanted
      where not exists (select from public.scheduler_calendars where name = wanted) limit 1) end;
end;
$$;
comment on function scheduler.unknown_name(public.scheduler_jobs) is
  'The first group or calendar that a job names and that is not registered; null when all are.';

create function scheduler.alias_fault(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when p_job.alias !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then format('alias must be 1 to 63 of a-z, 0-9, - and _, the '
      'first a letter or digit, got %L', p_job.alias)
    when p_job.alias = p_job.name then 'alias must be another name than the job''s own'
    else (
      select case when name = p_job.alias then format('alias %L is the name of a job', p_job.alias)
        when alias = p_job.name then format('its name is the alias of %s', name)
        else format('alias %L is that of %s', p_job.alias, name) end
      from public.scheduler_jobs
      where name = p_job.alias or alias in (p_job.alias, p_job.name) and name <> p_job.name
      order by name limit 1) end;
end;
$$;
comment on function scheduler.alias_fault(public.scheduler_jobs) is
  'What is wrong with the alias of a job, or with its name beside the aliases of others; null when nothing is.';

create function scheduler.range_fault(p_job public.scheduler_jobs) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select format('%s must be from %s to %s, got %s', field, least_value, most_value, coalesce(value::text, 'null'))
    from (values
      (1, 'timeout_seconds', p_job.timeout_seconds, 1, 86400),
      (2, 'max_attempts', p_job.max_attempts, 1, 20),
      (3, 'backoff_base_seconds', p_job.backoff_base_seconds, 1, 86400),
      (4, 'backoff_cap_seconds', p_job.backoff_cap_seconds, 1, 86400),
      (5, 'misfire_grace_seconds', p_job.misfire_grace_seconds, 0, 86400),
      (6, 'misfire_cap', p_job.misfire_cap, 1, 1000),
      (7, 'parallel_limit', coalesce(p_job.parallel_limit, 1), 1, 1000),
      (8, 'dependency_timeout_seconds', p_job.dependency_timeout_seconds, 1, 604800),
      (9, 'key_limit', coalesce(p_job.key_limit, 1), 1, 1000),
      (10, 'priority', p_job.priority, -10, 10),
      (11, 'priority_ages_after_seconds', p_job.priority_ages_after_seconds, 1, 86400),
      (12, 'breaker_failures', coalesce(p_job.breaker_failures, 1), 1, 1000),
      (13, 'breaker_cooldown_seconds', p_job.breaker_cooldown_seconds, 1, 86400),
      (14, 'idle_seconds', p_job.idle_seconds, 1, 86400),
      (15, 'jitter_seconds', p_job.jitter_seconds, 0, 3600),
      (16, 'defer_at_most_seconds', p_job.defer_at_most_seconds, 1, 86400),
      (17, 'stretch_after', coalesce(p_job.stretch_after, 1), 1, 1000),
      (18, 'stretch_at_most_seconds', coalesce(p_job.stretch_at_most_seconds, 1), 1, 86400),
      (19, 'parallel_least', coalesce(p_job.parallel_least, 1), 1, 1000)
    ) as ranges (place, field, value, least_value, most_value)
    where (value between least_value and most_value) is not true order by place limit 1);
end;
$$;
comment on function scheduler.range_fault(public.scheduler_jobs) is
  'The first number of a job that is out of its range, as the end of a sentence; null when none is.';

create function scheduler.figures_fault(p_figures text[]) returns text
language sql immutable set search_path = '' as $$
  select case
    when cardinality(p_figures) > 5 then format('figures must be at most 5, got %s', cardinality(p_figures))
    else (
      select case when figure is null or figure !~ '^[A-Za-z_][A-Za-z0-9_-]{0,62}$' then format('figures must be names '
          'of fields of the result: 1 to 63 letters, digits, - and _, the first a letter or _, got %s',
          coalesce(quote_literal(left(figure, 100)), 'null'))
        else format('figures must be named once each, got %L twice', figure) end
      from unnest(p_figures) with ordinality as figures (figure, place)
      where figure is null or figure !~ '^[A-Za-z_][A-Za-z0-9_-]{0,62}$'
        or figure = any (p_figures[place + 1:])
      order by place limit 1) end;
$$;
comment on function scheduler.figures_fault(text[]) is
  'What is wrong with the figures that a job names; null when nothing is.';

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
    scheduler.range_fault(p_job),
    (select format('%s must be %s, got %s', field, choices, coalesce(quote_literal(value), 'null'))
      from (values
        (1, 'overlap_policy', p_job.overlap_policy, '''skip'', ''queue'' or ''allow'''),
        (2, 'misfire_policy', p_job.misfire_policy, '''skip'', ''once'' or ''all'''),
        (3, 'receipt', p_job.receipt, '''function'' or ''response'''),
        (4, 'on_dependency_timeout', p_job.on_dependency_timeout, '''skip'' or ''run'''),
        (5, 'on_dependency_failure', p_job.on_dependency_failure, '''skip'' or ''run''')
      ) as listed (place, field, value, choices)
      where (position(quote_literal(value) in choices) > 0) is not true order by place limit 1),
    case
      when p_job.parallel_limit is not null and p_job.overlap_policy <> 'allow'
        then format('parallel_limit needs overlap_policy => ''allow'', got %L', p_job.overlap_policy)
    end,
    scheduler.asked_function_fault('run_if', p_job.run_if),
    case when p_job.run_if is not null and p_job.schedule is null
      then 'run_if is asked for what a schedule makes due, and schedule is null' end,
    scheduler.asked_function_fault('defer_if', p_job.defer_if),
    scheduler.contradiction(p_job),
    scheduler.unknown_name(p_job),
    scheduler.alias_fault(p_job),
    scheduler.figures_fault(p_job.figures),
    case when p_job.budgets <> '{}' then scheduler.budgets_fault(p_job.budgets) end,
    scheduler.dependency_fault(p_job));
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

create function scheduler.job_of(p_values jsonb) returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := jsonb_populate_record(null::public.scheduler_jobs, p_values);
  v_is_url constant boolean := coalesce(v_job.target, '') like '%://%';
begin
  v_job.continuous := coalesce(btrim(lower(v_job.schedule)) = '@continuous', false);
  v_job.schedule := case when not v_job.continuous then v_job.schedule end;
  v_job.target := coalesce(v_job.target, v_job.name);
  v_job.timeout_seconds := coalesce(v_job.timeout_seconds, case when v_is_url then 30 else 120 end);
  v_job.receipt := coalesce(v_job.receipt, case when v_is_url then 'response' else 'function' end);
  v_job.secret_name := coalesce(v_job.secret_name, case when v_is_url then '' else 'cron_secret' end);
  v_job.depends_on := coalesce(v_job.depends_on, '{}');
  v_job.budgets := coalesce(v_job.budgets, '{}');
  v_job.calendars := coalesce(v_job.calendars, '{}');
  v_job.figures := coalesce(v_job.figures, '{}');
  return v_job;
end;
$$;
comment on function scheduler.job_of(jsonb) is
  'The job that arguments of register_job describe: {argument: value}, with what stands for null.';

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
  enabled boolean default true,
  group_name text default null,
  depends_on text[] default '{}',
  dependency_timeout_seconds integer default 21600,
  on_dependency_timeout text default 'skip',
  on_dependency_failure text default 'skip',
  key_limit integer default null,
  priority integer default 0,
  priority_ages_after_seconds integer default 300,
  budgets jsonb default '{}',
  breaker_failures integer default null,
  breaker_cooldown_seconds integer default 300,
  idle_seconds integer default 30,
  jitter_seconds integer default 0,
  calendars text[] default '{}',
  alias text default null,
  defer_if text default null,
  defer_at_most_seconds integer default 900,
  stretch_after integer default null,
  stretch_at_most_seconds integer default null,
  parallel_least integer default null,
  figures text[] default '{}'
) returns void
language plpgsql set search_path = '' as $$
begin
  perform scheduler.put_job(scheduler.job_of(jsonb_build_object('name', name, 'schedule', schedule,
    'time_zone', time_zone, 'target', target, 'description', description, 'payload', payload,
    'timeout_seconds', timeout_seconds, 'max_attempts', max_attempts, 'backoff_base_seconds', backoff_base_seconds,
    'backoff_cap_seconds', backoff_cap_seconds, 'overlap_policy', overlap_policy, 'misfire_policy', misfire_policy,
    'misfire_grace_seconds', misfire_grace_seconds, 'misfire_cap', misfire_cap, 'receipt', receipt,
    'secret_name', secret_name, 'parallel_limit', parallel_limit, 'run_if', run_if, 'enabled', enabled,
    'group_name', group_name, 'depends_on', depends_on, 'dependency_timeout_seconds', dependency_timeout_seconds,
    'on_dependency_timeout', on_dependency_timeout, 'on_dependency_failure', on_dependency_failure,
    'key_limit', key_limit, 'priority', priority, 'priority_ages_after_seconds', priority_ages_after_seconds,
    'budgets', budgets, 'breaker_failures', breaker_failures, 'breaker_cooldown_seconds', breaker_cooldown_seconds,
    'idle_seconds', idle_seconds, 'jitter_seconds', jitter_seconds, 'calendars', calendars, 'alias', alias,
    'defer_if', defer_if, 'defer_at_most_seconds', defer_at_most_seconds, 'stretch_after', stretch_after,
    'stretch_at_most_seconds', stretch_at_most_seconds, 'parallel_least', parallel_least, 'figures', figures)));
end;
$$;
comment on function scheduler.register_job is
  'Registers a job, or changes it to exactly these values (a pause stays). With schedule => null it runs only when it '
    'is enqueued or called, or after the jobs in depends_on; with ''@continuous'' one run follows the other. '
    'Durations in seconds; timeout_seconds defaults to 120, to 30 for a URL. target defaults to the edge function '
    'named like the job. Raises 22023 for a wrong argument, 42710 when pg_cron has a foreign entry of that name.';

create function scheduler.checked_job(p_job public.scheduler_jobs) returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_fault text;
begin
  if p_job.name is null or p_job.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a job: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(p_job.name), 'null'));
  end if;
  v_fault := scheduler.job_fault(p_job);
  if v_fault is null then
    perform scheduler.assert_time_zone(v_job.time_zone);
    if v_job.schedule is not null then
      -- An entry of the same schedule is right: dispatch compiles it again before an occurrence that it does not cover.
      v_job.cron_entry := coalesce((
        select cron_entry from public.scheduler_jobs
        where name = p_job.name and schedule = p_job.schedule and time_zone = p_job.time_zone),
        scheduler.compile_schedule(p_job.schedule, p_job.time_zone));
      v_fault := case when v_job.cron_entry is null then format('the schedule %L never occurs', v_job.schedule) end;
    end if;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: %s', v_job.name, v_fault);
  end if;
  v_job.run_if := scheduler.catalogue_name(v_job.run_if);
  v_job.defer_if := scheduler.catalogue_name(v_job.defer_if);
  return v_job;
end;
$$;
comment on function scheduler.checked_job(public.scheduler_jobs) is
  'The job with its pg_cron entry, its run_if and its defer_if as the catalogue names them. Raises 22023 for a value '
    'that cannot be registered.';

-- The catalogue lists the columns: a second list here would have to agree with it.
create function scheduler.write_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  -- What registering leaves as it is.
  v_kept constant text[] := array[
    'function_name', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'created_at', 'updated_at',
      'dependents'];
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

create function scheduler.cursor_of(p_job public.scheduler_jobs, p_old public.scheduler_jobs)
returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_has_same_times constant boolean :=
    (p_old.schedule, p_old.time_zone) is not distinct from (p_job.schedule, p_job.time_zone);
begin
  -- The cursor stays where it is unless the times themselves change or the job is switched on.
  if v_job.schedule is null then
    v_job.next_run_at := null;
  elsif v_has_same_times and (p_old.enabled or not v_job.enabled) and p_old.next_run_at is not null then
    v_job.next_run_at := p_old.next_run_at;
    v_job.previous_run_at := p_old.previous_run_at;
  else
    v_job.next_run_at := scheduler.next_occurrence(v_job.schedule, v_job.time_zone, now());
  end if;
  return v_job;
end;
$$;
comment on function scheduler.cursor_of(public.scheduler_jobs, public.scheduler_jobs) is
  'The job with its cursor: that of its old row, or the next occurrence from now on.';

create function scheduler.stops_of(p_job public.scheduler_jobs, p_old public.scheduler_jobs)
returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_incident public.scheduler_incidents;
begin
  select paused_at, paused_until into v_job.group_paused_at, v_job.group_paused_until
    from public.scheduler_groups where name = v_job.group_name;
  v_job.stopped_at := p_old.stopped_at;
  v_job.stopped_until := p_old.stopped_until;
  -- A job that is registered while an incident lasts is stopped as well.
  select * into v_incident from public.scheduler_incidents where ended_at is null;
  if v_incident.id is not null then
    v_job.stopped_at := coalesce(v_job.stopped_at, v_incident.started_at);
    v_job.stopped_until := null;
  end if;
  return v_job;
end;
$$;
comment on function scheduler.stops_of(public.scheduler_jobs, public.scheduler_jobs) is
  'The job with what stops it: the pause of its group, an incident.';

create function scheduler.registered_values(p_job public.scheduler_jobs) returns jsonb
language sql immutable set search_path = '' as $$
  select to_jsonb(p_job) - array['name', 'function_name', 'dependents', 'created_at', 'updated_at', 'cron_entry',
    'next_run_at', 'previous_run_at', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'stopped_at',
    'stopped_until', 'group_paused_at', 'group_paused_until']
  where p_job.name is not null;
$$;
comment on function scheduler.registered_values(public.scheduler_jobs) is
  'What a job was registered with, without what the scheduler itself keeps in its row; null of no job.';

create function scheduler.put_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_old public.scheduler_jobs;
  v_fault text;
begin
  -- One registration at a time: two could close a circle of dependencies that neither sees.
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  select * into v_old from public.scheduler_jobs where name = v_job.name for no key update;
  v_job.dependents := coalesce(v_old.dependents, '{}');
  v_job := scheduler.checked_job(v_job);
  perform scheduler.require_seconds(v_job);
  if v_old.enabled and v_job.enabled
    and (v_old.schedule, v_old.time_zone) is distinct from (v_job.schedule, v_job.time_zone) then
    -- Occurrences that came due under the old times are recorded before the times change.
    v_fault := scheduler.try_record_due(v_old, now());
    if v_fault is not null then
      v_fault := 'what came due under its old times is not in the ledger: ' || v_fault;
      raise warning '%: %', v_job.name, v_fault;
      perform scheduler.log_activity(v_job.name, v_fault, 'warning');
    end if;
  end if;
  v_job := scheduler.stops_of(scheduler.cursor_of(v_job, v_old), v_old);
  perform scheduler.write_job(v_job);
  perform scheduler.link_job(v_job, v_old);
  perform scheduler.sync_cron_entry(v_job.name);
  perform scheduler.audit_registration('register_job', 'job', v_job.name, scheduler.registered_values(v_old),
    scheduler.registered_values(v_job));
end;
$$;
comment on function scheduler.put_job(public.scheduler_jobs) is
  'Writes a job into the registry and makes pg_cron follow, as register_job describes it: what it does once all '
    'values are there.';

create function scheduler.link_job(p_job public.scheduler_jobs, p_old public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
begin
  if p_job.depends_on <> '{}' or p_old.depends_on <> '{}' then
    perform scheduler.link_dependents(p_job.name, p_job.depends_on);
  end if;
  if p_job.group_name is distinct from p_old.group_name then
    perform scheduler.free_slot(id) from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running');
    perform scheduler.wake_group(p_old.group_name, 'epoch');
    perform scheduler.join_slots(p_job);
  end if;
  if p_old.continuous and not p_job.continuous then
    perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', now(),
      p_error_message => 'the job is not continuous any more', p_send_next => false)
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and trigger = 'continuous';
  end if;
  if p_job.continuous and not p_old.continuous then
    -- What waits for a time would hold up the first run.
    perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', now(),
      p_error_message => 'the job is continuous now', p_send_next => false)
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and trigger <> 'manual';
  end if;
  if p_job.breaker_failures is null and p_old.breaker_failures is not null then
    delete from public.scheduler_breakers where job_name = p_job.name;
  end if;
  if (p_job.schedule, p_job.time_zone, p_job.stretch_after, p_job.stretch_at_most_seconds)
    is distinct from (p_old.schedule, p_old.time_zone, p_old.stretch_after, p_old.stretch_at_most_seconds) then
    perform scheduler.end_stretch(p_job, now());
  end if;
  if p_job.parallel_least is null and p_old.parallel_least is not null then
    delete from scheduler.parallel_states where job_name = p_job.name;
  end if;
  -- What waits may go now; a continuous job begins.
  if p_job.enabled and (p_job.continuous or p_old.name is not null) then
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  elsif not p_job.enabled then
    perform scheduler.wake_if_waiting(p_job.name);
  end if;
end;
$$;
comment on function scheduler.link_job(public.scheduler_jobs, public.scheduler_jobs) is
  'After a job was written: tells its dependencies and its group, and has the next pulse look at it.';

create function scheduler.unregister_job(p_job_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_job := scheduler.assert_job(p_job_name);
  if v_job.dependents <> '{}' then
    raise exception using errcode = 'SD205',
      message = format('cannot take %s out: %s on it', p_job_name, array_to_string(v_job.dependents, ', ')
        || case cardinality(v_job.dependents) when 1 then ' depends' else ' depend' end),
      hint = 'register them without it in depends_on, or take them out first';
  end if;
  perform scheduler.free_slot(id) from public.scheduler_runs
    where job_name = p_job_name and status in ('dispatched', 'running');
  perform scheduler.wake_group(v_job.group_name, 'epoch');
  perform scheduler.release_reservation(budget, job_name) from scheduler.budget_reservations
    where job_name = p_job_name order by budget;
  delete from public.scheduler_jobs where name = p_job_name;
  perform scheduler.link_dependents(p_job_name, v_job.depends_on);
  delete from scheduler.wakes where job_name = p_job_name;
  perform scheduler.wake_if_waiting(p_job_name);
  perform scheduler.sync_cron_entry(p_job_name);
  perform scheduler.audit_registration('unregister_job', 'job', p_job_name, scheduler.registered_values(v_job), null);
end;
$$;
comment on function scheduler.unregister_job(text) is
  'Takes a job out of the registry and out of pg_cron. Its runs stay in the ledger; those that wait are cancelled by '
    'the next pulse. Raises SD001 for an unknown job; SD205 while other jobs depend on it.';

create function scheduler.ask_function(p_question text, p_field text, p_function text, p_at timestamptz)
returns boolean
language plpgsql set search_path = '' as $$
declare
  v_function constant regprocedure := scheduler.run_if_function(p_function);
  v_answer boolean;
begin
  if v_function is null then
    raise exception using errcode = '42883',
      message = format('cannot ask %s: its %s %s is no function (timestamptz) returns boolean any more', p_question,
        p_field, p_function),
      hint = format('create it again, or register the job with another %s', p_field);
  end if;
  begin
    execute format('select %s($1)', v_function::oid::regproc) into v_answer using p_at;
  exception when others then
    raise exception using errcode = sqlstate,
      message = format('cannot ask %s: its %s %s failed: %s', p_question, p_field, p_function, left(sqlerrm, 500));
  end;
  return coalesce(v_answer, false);
end;
$$;
comment on function scheduler.ask_function(text, text, text, timestamptz) is
  'What a job''s run_if or defer_if says of a moment; null counts as false. Raises when it cannot be asked, naming the '
    'question, the function and the reason: 42883 when it is gone, else the code that it failed with.';

-- Asked before a row is written: an occurrence without work leaves no row.
create function scheduler.has_work(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  return p_job.run_if is null
    or scheduler.ask_function(format('whether %s has anything to do', p_job.name), 'run_if', p_job.run_if,
      p_occurrence);
end;
$$;
comment on function scheduler.has_work(public.scheduler_jobs, timestamptz) is
  'Whether the job has anything to do for that occurrence, by its run_if; true without one. Raises when it cannot be '
    'asked, naming the job, the run_if and the reason: 42883 when the function is gone, else the code that it failed '
    'with.';
