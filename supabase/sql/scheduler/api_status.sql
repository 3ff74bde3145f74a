-- The API's status: every job, and one sentence over all.

create function scheduler.status_sentence(p_counts jsonb, p_trouble text[], p_pulse_age numeric, p_incident text)
returns text
language sql immutable set search_path = '' as $$
  select concat_ws(' ',
    case when p_incident is not null then format('All jobs are stopped: %s.', p_incident) end,
    case when total = 0 then 'No job is registered.'
      when healthy = total then format('%s healthy.', case total when 1 then 'The one job is'
        else format('All %s jobs are', total) end)
      else format('Of %s %s.', scheduler.count_text(total, 'job'), states) end,
    case when p_trouble <> '{}' then format('Look at %s.', array_to_string(p_trouble[1:5], ', ')
      || case when cardinality(p_trouble) > 5 then format(' and %s more', cardinality(p_trouble) - 5) else '' end) end,
    case when p_pulse_age is null then 'The pulse has not beaten yet.'
      when p_pulse_age > 90 then format('The pulse last beat %s s ago: is pg_cron at work?', round(p_pulse_age)) end)
  from (
    select coalesce(sum(jobs::bigint), 0)::bigint as total,
      coalesce(sum(jobs::bigint) filter (where state = 'healthy'), 0)::bigint as healthy,
      string_agg(format('%s %s %s', jobs, case jobs when '1' then 'is' else 'are' end, replace(case state
        when 'breaker_open' then 'stopped by a breaker' else state end, '_', ' ')), ', '
        order by array_position(array['failing', 'overdue', 'breaker_open', 'late', 'waiting', 'paused', 'disabled',
          'healthy'], state)) as states
    from jsonb_each_text(p_counts) as counted (state, jobs)
  ) as counts;
$$;
comment on function scheduler.status_sentence(jsonb, text[], numeric, text) is
  'The state of all jobs in a sentence or two, of how many are in each state, the names of those in trouble, the age '
    'of the last pulse in seconds (null: never) and who called an incident (null: none lasts).';

create function scheduler.job_budgets(p_job public.scheduler_jobs, p_budgets jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_job.budgets = '{}' then '{}'::jsonb else (
    select coalesce(jsonb_object_agg(name, budget), '{}')
    from jsonb_object_keys(p_job.budgets) as name, lateral (select p_budgets -> name as budget) as states
    where budget is not null) end;
end;
$$;
comment on function scheduler.job_budgets(public.scheduler_jobs, jsonb) is
  'Of the states of all budgets those of the budgets that the job is registered with.';

create function scheduler.all_budgets(p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(budget, jsonb_build_object('tokens', tokens_left, 'capacity', tokens)), '{}')
  from scheduler.budget_states(p_now);
$$;
comment on function scheduler.all_budgets(timestamptz) is
  'Each budget by its name: {"tokens": what it holds now, "capacity": what it grants in its span}.';

create function scheduler.status_jobs(p_names text[], p_states scheduler.job_condition[], p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'job', jobs.name, 'alias', jobs.alias, 'description', jobs.description, 'target', jobs.target,
    'schedule', jobs.schedule, 'time_zone', jobs.time_zone, 'continuous', jobs.continuous,
    'state', states.state, 'stopped_by',
      case when states.stop is not null then scheduler.stop_text(jobs, states.stop) end,
    'waits_for', states.waits_for, 'unsuccessful_occurrences', states.unsuccessful,
    'last_run', scheduler.run_brief(last_run), 'next_run_at', case when jobs.enabled then jobs.next_run_at end,
    'lock', case when locks.name is not null then jsonb_build_object('run_id', locks.run_id, 'holder', locks.holder,
      'acquired_at', locks.acquired_at, 'expires_at', locks.expires_at) end,
    'breaker', case when jobs.breaker_failures is not null then jsonb_build_object('state', states.breaker,
      'failures', coalesce(breakers.failures, 0), 'opened_at', breakers.opened_at) end,
    'parallel', case when jobs.parallel_limit is not null then jsonb_build_object('least', jobs.parallel_least,
      'most', jobs.parallel_limit, 'in_force', scheduler.limit_in_force(jobs)) end,
    'stretch', case when jobs.stretch_after is not null then jsonb_build_object(
      'idle_in_row', coalesce(stretches.idle_in_row, 0), 'asked_again_at', stretches.asked_again_at) end,
    'budgets', scheduler.job_budgets(jobs, (select scheduler.all_budgets(p_now))), 'group', jobs.group_name,
    'callable', jobs.function_name is not null and jobs.receipt = 'function' and jobs.secret_name = 'cron_secret')
    order by jobs.name), '[]')
  from unnest(p_states) as states
    join public.scheduler_jobs as jobs on jobs.name = states.name
    left join public.scheduler_locks as locks on locks.name = jobs.name
    left join public.scheduler_breakers as breakers on breakers.job_name = jobs.name
    left join scheduler.stretches on stretches.job_name = jobs.name
    left join lateral (
      select * from public.scheduler_runs where job_name = jobs.name order by created_at desc limit 1
    ) as last_run on true
  where states.name = any (p_names);
$$;
comment on function scheduler.status_jobs(text[], scheduler.job_condition[], timestamptz) is
  'What the status shows of each of these jobs, whose states are among those given.';

create function scheduler.api_status(p_cursor text default null, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_names constant text[] := array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101);
  v_states constant scheduler.job_condition[] := array(
    select states from scheduler.all_job_states(p_now) as states);
  v_counts jsonb;
  v_trouble text[];
  v_pulse_age numeric;
  v_incident jsonb;
begin
  select coalesce(jsonb_object_agg(state, jobs), '{}') into v_counts
    from (select state, count(*) as jobs from unnest(v_states) group by state) as counted;
  select coalesce(array_agg(name order by name), '{}') into v_trouble from unnest(v_states)
    where state in ('failing', 'overdue', 'breaker_open', 'late');
  select greatest(0, round(extract(epoch from p_now - last_pulse_at), 1)) into v_pulse_age
    from scheduler.pulse_state where last_pulse_at is not null;
  select jsonb_build_object('started_at', started_at, 'started_by', started_by, 'reason', reason) into v_incident
    from public.scheduler_incidents where ended_at is null;
  return jsonb_build_object(
    'timestamp', p_now,
    'sentence', scheduler.status_sentence(v_counts, v_trouble, v_pulse_age,
      'incident called by ' || (v_incident ->> 'started_by') || ': ' || rtrim(v_incident ->> 'reason', '.')),
    'incident', v_incident, 'pulse_age_seconds', v_pulse_age, 'counts', v_counts,
    'jobs', scheduler.status_jobs(v_names[1:100], v_states, p_now),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$$;
comment on function scheduler.api_status(text, timestamptz) is
  'Every job with its state, last and next run, lock, breaker, budgets and group, 100 a page by name; over all: a '
    'sentence, how many are in each state, the incident that lasts, the age of the pulse.';

-- The doors of the API. Security definer because service_role has no right in the private schemas.
create function public.scheduler_api_status(p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_status(p_cursor);
$$;
comment on function public.scheduler_api_status(text) is 'scheduler.api_status by the clock of the database.';
revoke all on function public.scheduler_api_status(text) from public, anon, authenticated;
grant execute on function public.scheduler_api_status(text) to service_role;
