-- A thousand jobs and a million finished runs. Registered by hand: what is measured is the pulse.
insert into public.scheduler_jobs (name, target, schedule, cron_entry, next_run_at)
select 'bench-' || i, 'bench', (i % 60) || ' * * * *', (i % 60) || ' * * * *',
  scheduler.next_occurrence((i % 60) || ' * * * *', 'UTC', now())
from generate_series(1, 1000) as i;

select count(cron.schedule(name, cron_entry, format('select scheduler.dispatch(%L)', name)))
from public.scheduler_jobs where name like 'bench-%';

insert into public.scheduler_runs (
  job_name, function_name, status, trigger, scheduled_for, dispatched_at, request_id, answered_at, response_status,
  started_at, heartbeat_at, completed_at, duration_ms, verdict, result, created_at
)
select 'bench-' || 1 + i % 1000, 'bench', case when i % 50 = 0 then 'failed' else 'completed' end, 'cron',
  at, at, i, at, 202, at, at, at + interval '3 s', 3000, case when i % 50 = 0 then 'job_error' else 'ok' end,
  '{"summary": "done"}', at
from generate_series(1, 1000000) as i, lateral (select now() - i / 1000 * interval '15 min' - i % 1000 * interval '1 ms' as at) as moment;

analyze public.scheduler_jobs, public.scheduler_runs;
