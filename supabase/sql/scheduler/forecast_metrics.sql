-- What a scrape shows of the forecasts.

create function scheduler.forecast_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(
    (select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]'),
        'limit', coalesce(json_agg(outgrows_limit order by name), '[]')),
      scheduler.metric('scheduler_forecast_limit_days', json_agg(
        greatest(0, outgrows_on - scheduler.utc_day(p_now)) order by name)))
      from scheduler.job_forecasts join public.scheduler_jobs on name = job_name where outgrows_on is not null),
    (select scheduler.metric_group('{}',
      scheduler.metric('scheduler_forecast_invocations', (cost #>> '{invocations,ahead,next_30_days}')::numeric),
      scheduler.metric('scheduler_forecast_wall_seconds', (cost #>> '{wall_seconds,ahead,next_30_days}')::numeric),
      scheduler.metric('scheduler_ledger_rows', (ledger ->> 'rows')::numeric),
      scheduler.metric('scheduler_ledger_bytes', (ledger ->> 'bytes')::numeric))
      from (select true) as always left join scheduler.project_forecast on true));
$$;
comment on function scheduler.forecast_metrics(timestamptz) is
  'A value a job that reaches a limit, by job_name and limit, and those of the whole.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.forecast_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_forecast_limit_days', 'scheduler', 'gauge', 'In how many days the p95 of the job reaches a limit '
    '(timeout, wall_clock or interval, the first of them); 0 when it is there; absent when none is foreseen.'),
  ('scheduler_forecast_invocations', 'scheduler', 'gauge', 'Calls of edge functions by jobs that the next 30 days are '
    'expected to have; absent before 14 days are known.'),
  ('scheduler_forecast_wall_seconds', 'scheduler', 'gauge', 'Seconds of work by jobs that the next 30 days are '
    'expected to have; absent before 14 days are known.'),
  ('scheduler_ledger_rows', 'scheduler', 'gauge', 'Rows of the ledger, about; looked at once a day.'),
  ('scheduler_ledger_bytes', 'scheduler', 'gauge', 'Bytes of the ledger with its indexes; looked at once a day.');
