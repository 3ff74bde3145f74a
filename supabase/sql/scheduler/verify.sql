-- The deployment check: whether all that Daybook needs is there and works together.

-- A call goes out only when its transaction is over, so verify() reads the answer to the call of the one before it.
create table scheduler.verify_calls (
  request_id bigint not null,
  asked_at timestamptz not null check (isfinite(asked_at)),
  function_name text not null
);
alter table scheduler.verify_calls enable row level security;
revoke all on scheduler.verify_calls from public, anon, authenticated, service_role;
comment on table scheduler.verify_calls is
  'The last call by which verify() asked a function whether it takes the secret.';

create type scheduler.check_result as (check_name text, state text, detail text);
comment on type scheduler.check_result is
  'One check of verify(): its name, its state (ok, failed, asked: say verify() again in a few seconds), and what was '
    'found.';

create function scheduler.check_extensions() returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  select 'extension ' || wanted, case when extversion is null then 'failed' else 'ok' end,
    coalesce('version ' || extversion, 'not installed: create extension ' || wanted)
  from unnest(array['pg_cron', 'pg_net', 'supabase_vault']) as wanted
    left join pg_catalog.pg_extension on extname = wanted
  order by wanted;
$$;
comment on function scheduler.check_extensions() is
  'Whether pg_cron, pg_net and Vault are installed, and in which version.';

create function scheduler.check_entries() returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  with compared as (
    select name, case
        when jobid is null then 'missing'
        when not active then 'inactive'
        when entries.schedule <> cron_entry then 'other times'
        when command <> format('select scheduler.dispatch(%L)', name) then 'other command' end as fault
    from public.scheduler_jobs left join cron.job as entries on jobname = name and username = current_user
    where enabled and scheduler_jobs.schedule is not null
    union all
    select jobname, 'no such job' from cron.job
    where username = current_user and command ~ '^select scheduler\.dispatch\('''
      and not exists (select from public.scheduler_jobs where name = jobname and enabled)
  )
  select 'entries of pg_cron', case when count(fault) = 0 then 'ok' else 'failed' end,
    case when count(fault) = 0 then format('%s, as registered', count(*))
      else string_agg(format('%s: %s', name, fault), ', ' order by name) filter (where fault is not null)
        || '; the pulse mends them within a minute' end
  from compared;
$$;
comment on function scheduler.check_entries() is 'Whether pg_cron''s entries are those of the registry.';

create function scheduler.check_entries_zone() returns setof scheduler.check_result
language plpgsql stable set search_path = '' as $$
declare
  v_zone constant text := coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT');
  v_is_utc constant boolean := scheduler.knows_time_zone(v_zone) and not exists (
    select from unnest(array['2026-01-01 12:00', '2026-07-01 12:00']::timestamp[]) as at
    where (at at time zone 'UTC') at time zone v_zone <> at);
begin
  return next ('zone of the entries', case when v_is_utc then 'ok' else 'failed' end,
    case when v_is_utc then 'pg_cron reads them in UTC'
      else format('pg_cron reads them in %s (cron.timezone), and they are written in UTC', v_zone) end
    )::scheduler.check_result;
exception when insufficient_privilege then
  return next ('zone of the entries', 'failed', format('%s may not read cron.timezone', current_user)
    )::scheduler.check_result;
end;
$$;
comment on function scheduler.check_entries_zone() is
  'Whether pg_cron reads its entries in UTC, in which Daybook writes them: cron.timezone is GMT unless somebody has '
    'set it.';

create function scheduler.check_pulse(p_now timestamptz) returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  select 'pulse', case when age <= 90 and errors = '{}' then 'ok' else 'failed' end, case
    when age is null then 'it has not beaten yet: is pg_cron at work in this database?'
    when age > 90 then format('its last beat was %s s ago', round(age))
    when errors <> '{}' then format('its last beat failed in part: %s', left(errors::text, 300))
    else format('its last beat was %s s ago', greatest(0, round(age))) end
  from (select extract(epoch from p_now - last_pulse_at) as age, errors from scheduler.pulse_state) as state;
$$;
comment on function scheduler.check_pulse(timestamptz) is
  'Whether the pulse has beaten in the last 90 seconds, and without an error.';

create function scheduler.check_rights() returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  with tables as (
    select c.oid, format('%I.%I', nspname, relname) as name, relrowsecurity, nspname
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = relnamespace
    where relkind = 'r' and (nspname = 'scheduler' or nspname = 'public' and relname like 'scheduler\_%')
  ), open_tables as (
    select name || ' to ' || role as fault from tables, unnest(array['anon', 'authenticated']) as role
    where has_table_privilege(role, oid, 'select,insert,update,delete')
  ), open_functions as (
    select format('%s to %s', p.oid::regprocedure, role) as fault
    from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = pronamespace,
      unnest(array['anon', 'authenticated']) as role
    where nspname = 'public' and (proname like 'scheduler\_%' or proname = 'try_mark_daily_run')
      and has_function_privilege(role, p.oid, 'execute')
  )
  select 'row level security', case when count(*) = 0 then 'ok' else 'failed' end,
    case when count(*) = 0 then 'on for every table' else 'off for ' || string_agg(name, ', ' order by name) end
  from tables where not relrowsecurity
  union all
  select 'grants', case when count(*) = 0 then 'ok' else 'failed' end,
    case when count(*) = 0 then 'nothing is open to anon and authenticated'
      else 'open: ' || string_agg(fault, ', ' order by fault) end
  from (table open_tables union all table open_functions) as found
  union all
  select 'schema scheduler', case when bool_or(has_schema_privilege(role, 'scheduler', 'usage')) then 'failed' else 'ok'
      end,
    coalesce('open to ' || string_agg(role, ', ') filter (where has_schema_privilege(role, 'scheduler', 'usage')),
      'closed to the roles of the API')
  from unnest(array['anon', 'authenticated', 'service_role']) as role;
$$;
comment on function scheduler.check_rights() is
  'Whether row level security is on, and nothing of the scheduler is open to anon and authenticated.';

create function scheduler.check_tables() returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  select 'tables', case when count(missing) = 0 then 'ok' else 'failed' end,
    coalesce('missing: ' || string_agg(missing, ', ' order by missing), 'all there')
  from (
    select wanted as missing from unnest(array['scheduler_jobs', 'scheduler_runs', 'scheduler_locks', 'scheduler_state',
      'scheduler_settings', 'scheduler_activity', 'scheduler_audit', 'scheduler_groups', 'scheduler_incidents',
      'scheduler_breakers', 'scheduler_calendars', 'scheduler_calendar_spans', 'scheduler_budgets',
      'scheduler_alert_channels', 'scheduler_alert_rules', 'scheduler_alerts', 'scheduler_alert_deliveries',
      'scheduler_operators']) as wanted
    where to_regclass('public.' || wanted) is null) as gone;
$$;
comment on function scheduler.check_tables() is 'Whether the public tables of the scheduler are there.';

create function scheduler.check_dependencies() returns setof scheduler.check_result
language sql stable set search_path = '' as $$
  with faults as (
    select coalesce(scheduler.dependency_circle(name, depends_on), (
      select format('%s depends on %s, which is not registered', name, needed) from unnest(depends_on) as needed
      where not exists (select from public.scheduler_jobs as jobs where jobs.name = needed) limit 1)) as fault
    from public.scheduler_jobs where depends_on <> '{}'
  )
  select 'dependencies', case when count(fault) = 0 then 'ok' else 'failed' end,
    coalesce(string_agg(fault, '; ' order by fault), format('%s with dependencies, no circle', scheduler.count_text(
      count(*), 'job')))
  from faults;
$$;
comment on function scheduler.check_dependencies() is
  'Whether all dependencies are registered and none close a circle.';

-- Taken and given back in a subtransaction that is undone: nobody sees it.
create function scheduler.check_lock(p_now timestamptz) returns setof scheduler.check_result
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_taken boolean;
  v_freed boolean;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := 'scheduler-verify';
  v_run.status := 'running';
  v_run.trigger := 'manual';
  v_run.scheduled_for := p_now;
  begin
    insert into public.scheduler_runs (id, job_name, status, trigger, scheduled_for)
      values (v_run.id, v_run.job_name, v_run.status, v_run.trigger, v_run.scheduled_for);
    v_taken := scheduler.try_lock('scheduler-verify', v_run.id, 'verify', p_now, p_now + interval '1 minute');
    perform scheduler.end_run(v_run.id, array['running'], 'completed', 'ok', p_now);
    v_freed := not exists (select from public.scheduler_locks where name = 'scheduler-verify');
    raise exception 'this is undone';
  exception when raise_exception then
    null;
  end;
  return next ('lock', case when v_taken and v_freed then 'ok' else 'failed' end,
    case when not v_taken then 'could not be taken' when not v_freed then 'was not freed as its run ended'
      else 'taken, and freed as its run ended' end)::scheduler.check_result;
exception when others then
  return next ('lock', 'failed', sqlerrm)::scheduler.check_result;
end;
$$;
comment on function scheduler.check_lock(timestamptz) is 'Whether a lock can be taken, and is free when its run ends.';

create function scheduler.check_vault() returns setof scheduler.check_result
language plpgsql stable set search_path = '' as $$
declare
  v_fault text;
begin
  select coalesce(
      scheduler.secret_fault('project_url', max(decrypted_secret) filter (where name = 'project_url'), 1),
      scheduler.project_url_fault(max(decrypted_secret) filter (where name = 'project_url')),
      scheduler.secret_fault('cron_secret', max(decrypted_secret) filter (where name = 'cron_secret'), 32))
    into v_fault from vault.decrypted_secrets where name in ('project_url', 'cron_secret');
  return next ('Vault', case when v_fault is null then 'ok' else 'failed' end,
    coalesce(v_fault, 'project_url and cron_secret are there'))::scheduler.check_result;
exception when others then
  return next ('Vault', 'failed', scheduler.hosts_only(sqlerrm))::scheduler.check_result;
end;
$$;
comment on function scheduler.check_vault() is
  'Whether Vault holds the project''s URL and a cron secret that can be sent.';

create function scheduler.answer_of_verify(p_call scheduler.verify_calls, p_now timestamptz)
returns setof scheduler.check_result
language plpgsql set search_path = '' as $$
declare
  v_answer record;
  v_clock timestamptz;
begin
  select status_code, timed_out, error_msg, headers into v_answer from net._http_response
    where id = p_call.request_id and created >= p_call.asked_at - interval '5 seconds';
  if not found then
    -- pg_net gives up after 5 seconds.
    return next ('secret', case when p_call.asked_at < p_now - interval '10 seconds' then 'failed' else 'asked' end,
      format('%s has not answered yet, asked %s s ago', p_call.function_name,
        greatest(0, round(extract(epoch from p_now - p_call.asked_at)))))::scheduler.check_result;
    return;
  end if;
  -- A function looks at the secret first, and then refuses a GET with 405.
  return next ('secret', case when v_answer.status_code in (200, 405) then 'ok' else 'failed' end, case
    when v_answer.status_code in (200, 405) then format('%s takes it', p_call.function_name)
    when v_answer.status_code in (401, 403) then format('%s refuses it: make CRON_SECRET of the functions and '
      'cron_secret in Vault the same', p_call.function_name)
    when v_answer.status_code = 404 then format('%s is not deployed', p_call.function_name)
    else format('%s answered %s', p_call.function_name, coalesce('HTTP ' || v_answer.status_code,
      scheduler.hosts_only(v_answer.error_msg), 'nothing in time')) end)::scheduler.check_result;
  -- It is read once: the next verify() asks anew.
  delete from scheduler.verify_calls;
  v_clock := scheduler.http_date(coalesce(v_answer.headers ->> 'date', v_answer.headers ->> 'Date'));
  return next ('clock', case when abs(extract(epoch from v_clock - p_call.asked_at)) > 30 then 'failed' else 'ok' end,
    case when v_clock is null then 'the answer has no date to compare with'
      else format('that of the functions is %s s off that of the database',
        round(abs(extract(epoch from v_clock - p_call.asked_at)))) end)::scheduler.check_result;
end;
$$;
comment on function scheduler.answer_of_verify(scheduler.verify_calls, timestamptz) is
  'What a function said to the last call of verify(): whether it took the secret, and how far its clock is off.';

create function scheduler.http_date(p_text text) returns timestamptz
language plpgsql stable set search_path = '' set datestyle = 'ISO, MDY' as $$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end;
$$;
comment on function scheduler.http_date(text) is 'The moment of an HTTP Date header; null when it cannot be read.';

create function scheduler.check_function(p_now timestamptz) returns setof scheduler.check_result
language plpgsql set search_path = '' as $$
declare
  v_call scheduler.verify_calls;
  v_function text;
  v_url text;
  v_secret text;
begin
  -- An older question may be of another secret.
  select * into v_call from scheduler.verify_calls where asked_at > p_now - interval '1 minute';
  if found then
    return query select * from scheduler.answer_of_verify(v_call, p_now);
    return;
  end if;
  select function_name into v_function from public.scheduler_jobs
    where enabled and function_name is not null and secret_name = 'cron_secret'
    order by function_name <> 'system-health', name limit 1;
  if v_function is null then
    return next ('secret', 'failed', 'no enabled job has an edge function that could be asked whether it takes it'
      )::scheduler.check_result;
    return;
  elsif exists (select from scheduler.check_vault() where state <> 'ok') then
    return;
  end if;
  select max(decrypted_secret) filter (where name = 'project_url'),
      max(decrypted_secret) filter (where name = 'cron_secret')
    into v_url, v_secret from vault.decrypted_secrets where name in ('project_url', 'cron_secret');
  delete from scheduler.verify_calls;
  insert into scheduler.verify_calls (request_id, asked_at, function_name)
    values (net.http_get(rtrim(v_url, '/') || '/functions/v1/' || v_function,
      headers => jsonb_build_object('x-cron-secret', v_secret), timeout_milliseconds => 5000), p_now, v_function);
  return next ('secret', 'asked', format('%s is asked whether it takes it: say verify() again in a few seconds',
    v_function))::scheduler.check_result;
end;
$$;
comment on function scheduler.check_function(timestamptz) is
  'Says what a function answered to the question of the verify() before, whether it takes the secret; where there was '
    'none in the last minute, or its answer was read, it asks.';

create function scheduler.verify(p_now timestamptz default clock_timestamp())
returns setof scheduler.check_result
language sql set search_path = '' as $$
  select * from scheduler.check_extensions()
  union all select * from scheduler.check_tables()
  union all select * from scheduler.check_entries()
  union all select * from scheduler.check_entries_zone()
  union all select * from scheduler.check_pulse(p_now)
  union all select * from scheduler.check_rights()
  union all select * from scheduler.check_dependencies()
  union all select * from scheduler.check_lock(p_now)
  union all select * from scheduler.check_vault()
  union all select * from scheduler.check_function(p_now);
$$;
comment on function scheduler.verify(timestamptz) is
  'The deployment check, a row a check: extensions, tables, pg_cron''s entries against the registry and their zone, '
    'the pulse, rights, dependencies, a lock taken and freed, Vault, and a real call by which a function says whether '
    'it takes the secret, and what its clock shows. The call leaves with this transaction: its answer is read by the '
    'next verify(). Changes nothing else.';
