-- Four organizations, each with a batch job that has $1 tasks: prompts for four providers.
with made as (
  insert into public.organizations (name) select 'Bench ' || i from generate_series(1, 4) as i returning id
),
asked as (
  insert into public.prompts (organization_id, text)
  select id, 'Question ' || i from made, generate_series(1, $1::integer / 4) as i
  returning id, organization_id
),
batches as (
  insert into public.batch_jobs (organization_id, batch_date, time_zone, tasks_total)
  select id, '2026-01-01', 'UTC', $1 from made
  returning id, organization_id
),
tasks as (
  insert into public.batch_tasks (job_id, prompt_id, provider)
  select batches.id, asked.id, providers.name
  from batches join asked using (organization_id) cross join public.batch_providers as providers
)
select id from batches;
