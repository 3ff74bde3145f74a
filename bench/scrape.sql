-- A thousand jobs that have long been at work, ten million rows in the ledger, twenty thousand devices and a year of
-- theirs. Registered by hand, and with triggers off: what is measured is the scrape.
set session_replication_role = replica;

insert into public.scheduler_jobs (name, target, schedule, cron_entry, next_run_at)
select 'bench-' || i, 'bench', '* * * * *', '* * * * *', now() + interval '1 hour' from generate_series(1, 1000) as i;

insert into scheduler.run_counters (
  job_name, completed, failed, skipped, missed, cancelled, lost, retries, left_out,
  duration_counts, duration_sum_ms, fire_lag_counts, fire_lag_sum_ms, last_success_at
)
select 'bench-' || i, 9000 + i, 300, 600, 90, 10, 20, 250,
  '{"paused": 100, "overlap": 400, "queue_full": 100, "misfire_once": 90}',
  array[100, 4000, 3000, 1500, 500, 150, 30, 10, 5, 4, 1], 12345678, array[8000, 900, 50, 20, 15, 10, 3, 1, 1], 3456789,
  now() - interval '10 s'
from generate_series(1, 1000) as i;

insert into public.scheduler_runs (
  job_name, function_name, status, trigger, scheduled_for, dispatched_at, request_id, answered_at, response_status,
  started_at, heartbeat_at, completed_at, duration_ms, verdict, result, created_at
)
select 'bench-' || 1 + i % 1000, 'bench', case when i % 50 = 0 then 'failed' else 'completed' end, 'cron',
  at, at, i, at, 202, at, at, at + interval '3 s', 3000, case when i % 50 = 0 then 'job_error' else 'ok' end,
  '{"summary": "done"}', at
from generate_series(1, 10000000) as i, lateral (select now() - i / 1000 * interval '1 min' as at) as moment;

insert into public.devices (device_fingerprint, status)
select 'bench-' || i, case when i % 3 = 0 then 'offline' else 'online' end from generate_series(1, 20000) as i;

-- The fleet's days and the hours of 90 days.
insert into public.device_metrics_summary (granularity, period_start, charging_sessions_started, efficiency_energy_wh,
  efficiency_weight, pop_events, pop_events_validated, pop_events_rejected, pop_points, commands_issued)
select 'day', at, 48000, 1000000, 85000000, 96000, 80000, 5000, 800000, 48000
from generate_series(date_bin('24 hours', now(), '2000-01-01 00:00+00') - interval '730 days', now() - interval '24 hours', interval '24 hours') as at
union all
select 'hour', at, 2000, 40000, 3400000, 4000, 3300, 200, 33000, 2000
from generate_series(date_bin('1 hour', now(), '2000-01-01 00:00+00') - interval '90 days', now() - interval '1 hour', interval '1 hour') as at;

-- What is younger than the last hour that is summarized, and a day of commands.
insert into public.pop_events_ledger (device_id, event_type, points, status, occurred_at)
select id, 'sustained_connection', 10, 'validated', now() from public.devices limit 4000;
insert into public.charging_sessions (device_id, started_at) select id, now() from public.devices limit 2000;
insert into public.engagement_commands (device_id, command_type, status, issued_at)
select id, 'notify', case n when 1 then 'failed' else 'completed' end, now() - random() * interval '24 hours'
from (select id from public.devices limit 16000) as devices, generate_series(1, 3) as n;

analyze;
