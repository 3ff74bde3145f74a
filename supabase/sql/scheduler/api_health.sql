-- The API's health: what an outside watcher asks for.

create table scheduler.health_keys (
  key text primary key check (key ~ '^[a-z][a-z0-9_]*$'
    and key not in ('timestamp', 'services', 'stalled_services', 'budgets')),
  pack text not null,
  function_name text not null check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$')
);
alter table scheduler.health_keys enable row level security;
revoke all on scheduler.health_keys from public, anon, authenticated, service_role;
comment on table scheduler.health_keys is 'What packs add to the API''s health, one row a key.';
comment on column scheduler.health_keys.function_name is
  'The function (now timestamptz) returns jsonb that has its value.';

create function scheduler.health_of_packs(p_now timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_key scheduler.health_keys;
  v_value jsonb;
  v_values jsonb := jsonb_build_object();
begin
  for v_key in select * from scheduler.health_keys order by key loop
    begin
      execute format('select %s($1)', v_key.function_name) into v_value using p_now;
    exception when others then
      -- A pack that fails must not hide the others.
      v_value := jsonb_build_object('error', sqlerrm);
    end;
    v_values := v_values || jsonb_build_object(v_key.key, v_value);
  end loop;
  return v_values;
end;
$$;
comment on function scheduler.health_of_packs(timestamptz) is
  'The keys that packs add to the health, each with its value; {"error": why} where the function of a key failed.';

-- A job may have thousands of rows that were never sent, while it was paused for long: no further than 100 are read.
create function scheduler.last_begun(p_names text[]) returns table (job_name text, at timestamptz)
language sql stable set search_path = '' as $$
  select name, coalesce(begun.at, counters.last_success_at)
  from unnest(p_names) as name
    left join scheduler.run_counters as counters on counters.job_name = name
    left join lateral (
      select newest.at
      from (
        select coalesce(started_at, dispatched_at) as at from public.scheduler_runs as runs
        where runs.job_name = name order by created_at desc limit 100) as newest
      where newest.at is not null limit 1
    ) as begun on true;
$$;
comment on function scheduler.last_begun(text[]) is
  'When the newest run of each of these jobs began, or was sent; of a job with 100 newer rows that were not sent, when '
    'its last completed run ended. Null: never.';

create function scheduler.health_services(p_names text[], p_now timestamptz) returns setof jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('service', coalesce(jobs.alias, jobs.name), 'job', jobs.name, 'last_run', begun.at,
    'age_seconds', case when begun.at is not null then greatest(0, round(extract(epoch from p_now - begun.at))) end,
    'status', case when states.stalled then 'STALLED' else 'HEALTHY' end, 'state', states.state,
    'due_without_success', states.due_without_success)
  from scheduler.job_states(p_names, p_now) as states
    join public.scheduler_jobs as jobs on jobs.name = states.name
    join scheduler.last_begun(p_names) as begun on begun.job_name = states.name;
$$;
comment on function scheduler.health_services(text[], timestamptz) is
  'The health of each of these jobs: when it ran last, and HEALTHY or STALLED.';

create function scheduler.api_health(p_now timestamptz default clock_timestamp()) returns jsonb
language sql stable set search_path = '' as $$
  select scheduler.health_of_packs(p_now) || jsonb_build_object(
    'timestamp', p_now,
    'services', coalesce(jsonb_agg(service), '[]'),
    'stalled_services', coalesce(jsonb_agg(service -> 'service') filter (where service ->> 'status' = 'STALLED'), '[]'),
    'budgets', scheduler.all_budgets(p_now))
  from (
    select service
    from scheduler.health_services(array(select name from public.scheduler_jobs where enabled), p_now) as service
    order by service ->> 'service'
  ) as services;
$$;
comment on function scheduler.api_health(timestamptz) is
  'The health of every enabled job: {"timestamp", "services": [{"service": its alias or name, "job", "last_run", '
    '"age_seconds", "status": HEALTHY or STALLED, "state", "due_without_success"}], "stalled_services", "budgets": '
    '{"<name>": {"tokens", "capacity"}}}, and the keys of scheduler.health_keys. STALLED: two occurrences in a row are '
    'due without a completed run.';

create function scheduler.durations_of(p_job_name text) returns jsonb
language sql stable set search_path = '' as $$
  select to_jsonb(sample) from scheduler.sample_durations(p_job_name, 100) as sample;
$$;
comment on function scheduler.durations_of(text) is 'How long those of the job''s 100 newest runs took that began.';

create function scheduler.errors_of(p_job_name text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('failed', coalesce(max(counters.failed), 0), 'missed', coalesce(max(counters.missed), 0),
    'lost', coalesce(max(counters.lost), 0), 'failed_in_row', coalesce(max(counters.failed_in_row), 0),
    'missed_in_row', coalesce(max(counters.missed_in_row), 0),
    'last', (
      select jsonb_build_object('run_id', id, 'at', completed_at, 'verdict', verdict,
        'message', left(error_message, 500))
      from (
        select * from public.scheduler_runs where job_name = p_job_name order by created_at desc limit 100) as newest
      where status in ('failed', 'missed') limit 1))
  from scheduler.run_counters as counters where job_name = p_job_name;
$$;
comment on function scheduler.errors_of(text) is
  'How many runs of the job failed, were missed or lost since it was registered, how many in a row, and the last one '
    'among its 100 newest runs.';

create function scheduler.api_health_of(p_job text, p_now timestamptz default clock_timestamp()) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_job constant public.scheduler_jobs := scheduler.job_named(p_job);
begin
  return scheduler.health_services(array[v_job.name], p_now) || jsonb_build_object(
    'timestamp', p_now,
    'heartbeats', (
      select coalesce(jsonb_agg(jsonb_build_object('run_id', id, 'started_at', started_at, 'heartbeat_at', heartbeat_at,
        'age_seconds', greatest(0, round(extract(epoch from p_now - heartbeat_at))), 'progress', progress)
        order by started_at), '[]')
      from (
        select * from public.scheduler_runs where job_name = v_job.name and status = 'running'
        order by started_at limit 100) as at_work),
    'durations', scheduler.durations_of(v_job.name), 'errors', scheduler.errors_of(v_job.name),
    'budgets', scheduler.job_budgets(v_job, scheduler.all_budgets(p_now)));
end;
$$;
comment on function scheduler.api_health_of(text, timestamptz) is
  'The health of one job by its name or alias: what scheduler.api_health has of it, and its heartbeats, durations, '
    'errors and budgets. Raises SD001 for an unknown job.';

create function public.scheduler_api_health() returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_health();
$$;
comment on function public.scheduler_api_health() is 'scheduler.api_health by the clock of the database.';

create function public.scheduler_api_health_of(p_job text) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_health_of(p_job);
$$;
comment on function public.scheduler_api_health_of(text) is 'scheduler.api_health_of by the clock of the database.';

revoke all on function public.scheduler_api_health(), public.scheduler_api_health_of(text)
  from public, anon, authenticated;
grant execute on function public.scheduler_api_health(), public.scheduler_api_health_of(text) to service_role;
