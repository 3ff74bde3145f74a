-- The forecasts: the pulse makes each once a day, so that a page of them is read and not reckoned.

-- No key to the jobs: the pulse would wait for whoever takes one out.
create table scheduler.job_forecasts (
  job_name text primary key,
  made_at timestamptz not null check (isfinite(made_at)),
  job_updated_at timestamptz not null check (isfinite(job_updated_at)),
  wall_clock_seconds integer,
  outgrows_limit text check (outgrows_limit in ('timeout', 'wall_clock', 'interval')),
  outgrows_on date check (isfinite(outgrows_on)),
  forecast jsonb not null,
  check ((outgrows_limit is null) = (outgrows_on is null))
);
create index job_forecasts_outgrows_on_idx on scheduler.job_forecasts (outgrows_on) where outgrows_on is not null;
alter table scheduler.job_forecasts enable row level security;
revoke all on scheduler.job_forecasts from public, anon, authenticated, service_role;

comment on table scheduler.job_forecasts is 'What is foreseen of each job, one row a job, made anew each UTC day.';
comment on column scheduler.job_forecasts.job_updated_at is
  'The version of the job that it was made for; wall_clock_seconds: of the plan. When either is another now it is made '
    'anew.';
comment on column scheduler.job_forecasts.outgrows_on is
  'The first day on which the job reaches a limit, and which limit; null: none is foreseen.';

create table scheduler.project_forecast (
  only_row boolean primary key default true check (only_row),
  made_at timestamptz not null check (isfinite(made_at)),
  made_with text not null,
  ledger jsonb not null,
  cost jsonb not null
);
alter table scheduler.project_forecast enable row level security;
revoke all on scheduler.project_forecast from public, anon, authenticated, service_role;
comment on table scheduler.project_forecast is
  'One row: what is foreseen of the ledger and of the cost of all jobs, made anew each UTC day.';
comment on column scheduler.project_forecast.made_with is 'The row of scheduler_plans that it was made with.';

create function scheduler.job_forecast(p_job public.scheduler_jobs, p_plan public.scheduler_plans, p_now timestamptz)
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_today constant date := scheduler.utc_day(p_now);
  v_trend constant scheduler.trend := scheduler.duration_trend(p_job.name, v_today);
  v_findings constant jsonb := scheduler.outgrown_limits(p_job, v_trend, p_plan, p_now)
    || coalesce(scheduler.failure_change(p_job.name, v_today), '[]') || scheduler.unusual_hours(p_job, v_today);
begin
  return jsonb_build_object(
    'days', (select count(*) from scheduler.job_days
      where job_name = p_job.name and day >= v_today - 182 and day < v_today),
    'duration', case when v_trend.days is not null and not p_job.continuous then jsonb_build_object(
      'p95_ms', round(greatest(0, v_trend.level)), 'ms_a_day', round(v_trend.slope::numeric, 3),
      'least_ms_a_day', round(v_trend.slope_least::numeric, 3),
      'most_ms_a_day', round(v_trend.slope_most::numeric, 3), 'days', v_trend.days, 'since', v_trend.first_day) end,
    'findings', coalesce((
      select jsonb_agg(finding || jsonb_build_object('sentence',
        scheduler.finding_sentence(p_job, finding, p_plan.plan)) order by place)
      from jsonb_array_elements(v_findings) with ordinality as findings (finding, place)), '[]'),
    'figures', scheduler.figure_trends(p_job, v_today),
    'cost', scheduler.job_cost(p_job.name, v_today));
end;
$$;
comment on function scheduler.job_forecast(public.scheduler_jobs, public.scheduler_plans, timestamptz) is
  'What is foreseen of a job: {"days": known in half a year, "duration": how its p95 stands and moves, "findings": '
    '[…], "figures", "cost"}; nulls where fewer than 14 days are known.';

create function scheduler.make_job_forecast(
  p_job public.scheduler_jobs, p_plan public.scheduler_plans, p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_forecast jsonb;
  v_first jsonb;
begin
  begin
    v_forecast := scheduler.job_forecast(p_job, p_plan, p_now);
  exception when query_canceled or others then
    -- The others are made all the same; this one again tomorrow.
    v_forecast := jsonb_build_object('days', 0, 'duration', null, 'findings', jsonb_build_array(), 'figures',
      jsonb_build_object(), 'cost', null, 'error', left(sqlerrm, 500));
    raise warning 'the forecast of % failed: %', p_job.name, sqlerrm;
  end;
  v_first := jsonb_path_query_first(v_forecast, '$.findings[*] ? (@.kind == "outgrows")');
  insert into scheduler.job_forecasts (job_name, made_at, job_updated_at, wall_clock_seconds, outgrows_limit,
      outgrows_on, forecast)
    values (p_job.name, p_now, p_job.updated_at, p_plan.wall_clock_seconds, v_first ->> 'limit',
      (v_first ->> 'on')::date, v_forecast)
    on conflict (job_name) do update set made_at = excluded.made_at, job_updated_at = excluded.job_updated_at,
      wall_clock_seconds = excluded.wall_clock_seconds, outgrows_limit = excluded.outgrows_limit,
      outgrows_on = excluded.outgrows_on, forecast = excluded.forecast;
end;
$$;
comment on function scheduler.make_job_forecast(public.scheduler_jobs, public.scheduler_plans, timestamptz) is
  'Makes the forecast of a job anew. One that fails says so in its "error".';

create function scheduler.make_project_forecast(p_plan public.scheduler_plans, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_today constant date := scheduler.utc_day(p_now);
begin
  insert into scheduler.ledger_days (day, rows, bytes)
    select v_today, rows, bytes from scheduler.ledger_size() on conflict do nothing;
  -- Hours are compared for six weeks; they would be more than half of two years.
  update scheduler.job_days set hour_runs = '{}', hour_ms = '{}'
    where day between v_today - 80 and v_today - 50 and hour_runs <> '{}';
  delete from scheduler.job_forecasts where not exists (select from public.scheduler_jobs where name = job_name);
  insert into scheduler.project_forecast (made_at, made_with, ledger, cost)
    values (p_now, coalesce(p_plan::text, ''), scheduler.ledger_forecast(v_today),
      scheduler.cost_forecast(p_plan, v_today))
    on conflict (only_row) do update set made_at = excluded.made_at, made_with = excluded.made_with,
      ledger = excluded.ledger, cost = excluded.cost;
end;
$$;
comment on function scheduler.make_project_forecast(public.scheduler_plans, timestamptz) is
  'Notes how large the ledger is today, forgets the hours of days before the last 50, and makes the forecasts of '
    'ledger and cost anew.';

create function scheduler.refresh_project_forecast(p_plan public.scheduler_plans, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
begin
  if not exists (
    select from scheduler.project_forecast
    where scheduler.utc_day(made_at) = scheduler.utc_day(p_now) and made_with = coalesce(p_plan::text, '')) then
    perform scheduler.make_project_forecast(p_plan, p_now);
  end if;
  return jsonb_build_object();
exception when query_canceled or others then
  -- Jobs get theirs all the same; this one is tried again when forecasts are looked at.
  raise warning 'the forecast of ledger and cost failed: %', sqlerrm;
  return jsonb_build_object('forecast of ledger and cost', sqlerrm);
end;
$$;
comment on function scheduler.refresh_project_forecast(public.scheduler_plans, timestamptz) is
  'Makes the forecasts of ledger and cost anew where they are not of today or of another plan. Returns what failed, as '
    'the pulse tells it: {what: message}.';

create function scheduler.stale_forecasts(p_plan public.scheduler_plans, p_now timestamptz)
returns setof public.scheduler_jobs
language sql stable set search_path = '' rows 100 as $$
  select jobs.* from public.scheduler_jobs as jobs left join scheduler.job_forecasts as made on job_name = name
  where job_name is null or scheduler.utc_day(made_at) <> scheduler.utc_day(p_now) or job_updated_at <> updated_at
    or made.wall_clock_seconds is distinct from p_plan.wall_clock_seconds
  order by name;
$$;
comment on function scheduler.stale_forecasts(public.scheduler_plans, timestamptz) is
  'The jobs of which the forecast is not of today, or of another version of the job or the plan.';

create function scheduler.attend_forecasts(p_now timestamptz, p_budget_ms integer) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_until constant timestamptz := clock_timestamp() + p_budget_ms * interval '1 millisecond';
  v_plan constant public.scheduler_plans := scheduler.plan_in_use();
  v_job public.scheduler_jobs;
  v_made integer := 0;
  v_is_left boolean := false;
  v_errors constant jsonb := scheduler.refresh_project_forecast(v_plan, p_now);
begin
  for v_job in select * from scheduler.stale_forecasts(v_plan, p_now) loop
    v_is_left := clock_timestamp() >= v_until;
    exit when v_is_left;
    perform scheduler.make_job_forecast(v_job, v_plan, p_now);
    v_made := v_made + 1;
  end loop;
  update scheduler.pulse_state set forecasts_left = v_is_left where forecasts_left <> v_is_left;
  return jsonb_build_object('forecasts', v_made, 'errors', v_errors);
end;
$$;
comment on function scheduler.attend_forecasts(timestamptz, integer) is
  'The pulse''s step for forecasts: makes those that are stale, for about p_budget_ms. What is left the next pulse '
    'makes.';

create function scheduler.forecast(p_job text default null)
returns table (job text, kind text, on_day date, earliest date, latest date, days integer, sentence text)
language plpgsql stable set search_path = '' as $$
declare
  v_name constant text := case when p_job is not null then (scheduler.job_named(p_job)).name end;
begin
  return query
    select name, finding ->> 'kind', (finding ->> 'on')::date, (finding ->> 'earliest')::date,
      (finding ->> 'latest')::date, (finding ->> 'days')::integer, finding ->> 'sentence'
    from public.scheduler_jobs join scheduler.job_forecasts on job_name = name,
      jsonb_array_elements(forecast -> 'findings') with ordinality as findings (finding, place)
    where v_name is null or name = v_name
    order by (finding ->> 'on')::date, name, place;
  if v_name is not null and not found then
    return query
      select v_name, 'nothing', null::date, null::date, null::date, known, v_name || case
        when known is null then ': the pulse has made no forecast yet'
        when made.error is not null then ': ' || made.error
        when known >= 14 then format(': nothing is foreseen (by %s days)', known)
        else format(': what comes is said from 14 days on, %s are known', known) end
      from (
        select max((forecast ->> 'days')::integer) as known, max(forecast ->> 'error') as error
        from scheduler.job_forecasts where job_name = v_name) as made;
  elsif v_name is null then
    return query
      select null, parts.kind, parts.on_day, null::date, null::date, parts.known, parts.said
      from scheduler.project_forecast, lateral (values
        (1, 'ledger', (ledger ->> 'held_on')::date, (ledger ->> 'days')::integer,
          scheduler.ledger_sentence(ledger)),
        (2, 'cost', (cost #>> '{invocations,exceeds_on}')::date, (cost #>> '{invocations,ahead,days}')::integer,
          scheduler.cost_sentence(cost))) as parts (place, kind, on_day, known, said)
      order by place;
  end if;
end;
$$;
comment on function scheduler.forecast(text) is
  'What is foreseen of a job (by its name or alias), or of all, the nearest day first, then of the ledger and of the '
    'cost: a row each, with the day, its interval, by how many days it is told, and a sentence. Made by the pulse, '
    'once a UTC day and when a job is changed. Raises SD001 for an unknown job.';
