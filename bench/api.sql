-- A thousand jobs of every minute and a million runs, a thousand each, with their counters and two months of roll-ups.
select scheduler.register_job(format('bench-%s', lpad(i::text, 4, '0')), '* * * * *', target => 'bench',
  receipt => 'response', alias => format('service-%s', i),
  time_zone => (array['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'])[1 + i % 4])
from generate_series(1, 1000) as i;

set session_replication_role = replica;

-- Made anew after the rows, which is faster.
create temporary table bench_indexes as
select indexname, indexdef from pg_indexes
where schemaname = 'public' and tablename = 'scheduler_runs' and indexname <> 'scheduler_runs_pkey';
do $$
declare
  v_index record;
begin
  for v_index in select * from bench_indexes loop
    execute format('drop index public.%I', v_index.indexname);
  end loop;
end;
$$;

insert into public.scheduler_runs (
  job_name, function_name, status, trigger, scheduled_for, dispatched_at, request_id, answered_at, response_status,
  started_at, heartbeat_at, completed_at, duration_ms, verdict, result, error_message, created_at
)
select format('bench-%s', lpad((1 + i % 1000)::text, 4, '0')), 'bench',
  case when failed then 'failed' else 'completed' end,
  'cron', at, at + interval '40 ms', i, at + interval '90 ms', 202, at + interval '80 ms', at + interval '80 ms',
  at + ms * interval '1 ms', ms, case when failed then 'job_error' else 'ok' end,
  case when not failed then '{"summary": "42 rows were looked at, 3 changed"}'::jsonb end,
  case when failed then 'the provider answered 500' end, at
from generate_series(0, 999999) as i, lateral (
  select date_trunc('minute', now()) - i / 1000 * interval '1 min' as at, i % 50 = 7 as failed,
    (500 + 4000 * power(random(), 4))::integer as ms) as moment;

do $$
declare
  v_index record;
begin
  for v_index in select * from bench_indexes loop
    execute v_index.indexdef;
  end loop;
end;
$$;

-- Nothing fires them: a cursor in the past would make all of them overdue.
update public.scheduler_jobs set next_run_at = date_trunc('minute', now()) + interval '1 hour',
  created_at = now() - interval '60 days';

update scheduler.run_counters as counters set completed = 90000, failed = 1800, skipped = 600, missed = 90,
  cancelled = 10, lost = 20, retries = 250, duration_sum_ms = 90000::bigint * 1300, fire_lag_sum_ms = 90000 * 40,
  last_success_at = date_trunc('minute', now()), durations = array(
    select case when place between 16 and 28 then 90000 / 13 else 0 end from generate_series(1, 71) as place),
  fire_lags = array(
    select case when place between 5 and 10 then 90000 / 6 else 0 end from generate_series(1, 71) as place);

insert into scheduler.rollups (job_name, taken_at, step, completed, failed, deferred, cancelled, skipped, missed, lost,
  retries, durations, duration_sum_ms, fire_lags, fire_lag_sum_ms)
select job_name, at, step, completed * share, failed * share, 0, cancelled * share, skipped * share, missed * share,
  lost * share, retries * share, array(select amount * share from unnest(durations) as amount), duration_sum_ms * share,
  array(select amount * share from unnest(fire_lags) as amount), fire_lag_sum_ms * share
from scheduler.run_counters cross join scheduler.metric_windows() as windows,
  generate_series(
    now() - case windows.name when '30d' then interval '60 days' else length + step end, now(), step) as at,
  lateral (select 1 - extract(epoch from now() - at)::double precision / 86400 / 61 as share) as shares
on conflict do nothing;

-- Two years of days of each: all are noisy, and each seventh grows towards its interval.
insert into scheduler.job_days (job_name, day, completed, failed, verdicts, sent, wall_ms, success_rows, failure_rows,
  durations, shortest_ms, longest_ms, hour_runs, hour_ms)
select format('bench-%s', lpad(i::text, 4, '0')), day, 1410, 30, '{"ok": 1410, "job_error": 30}', 1440, 1410 * 1300,
  1410, 30, format('[%s:%s]={40,90,180,300,320,220,130,70,40,20}', low, low + 9)::integer[],
  power(1.05, low - 1), power(1.05, low + 9), case when ago <= 50 then hours.runs else '{}' end,
  case when ago <= 50 then hours.ms else '{}' end
from generate_series(1, 1000) as i, generate_series(1, 730) as ago,
  lateral (select (now() at time zone 'UTC')::date - ago as day,
    case when i % 7 = 0 then 195 + (730 - ago) / 40 else 140 end + (random() * 2)::integer as low) as shape,
  (select array_agg(58 + hour % 3 order by hour) as runs, array_agg((75000 + hour * 100)::bigint order by hour) as ms
    from generate_series(0, 23) as hour) as hours;

set session_replication_role = origin;
