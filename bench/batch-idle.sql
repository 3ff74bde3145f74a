-- Ten thousand organizations with a zone and an hour of their own, an active prompt each, and nothing due: the cursors
-- say when each one's next day begins. A thousand batch jobs are over.
insert into public.organizations (name, time_zone, daily_run_at)
select 'Bench ' || i,
  (array['America/New_York', 'Europe/Vienna', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Kiritimati', 'UTC'])[1 + i % 6],
  make_time(i % 24, 0, 0)
from generate_series(1, 10000) as i;
insert into public.prompts (organization_id, text) select id, 'What is new?' from public.organizations;
insert into public.batch_jobs (organization_id, batch_date, time_zone, status, completed_at)
select id, '2026-01-01', 'UTC', 'completed', now() from public.organizations order by id limit 1000;
analyze public.organizations, public.prompts, public.batch_jobs;
