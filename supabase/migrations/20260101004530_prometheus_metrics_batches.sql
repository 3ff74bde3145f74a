-- What a scrape shows of the daily batch. Nothing here reads a setting that can be wrong: a scrape has to succeed.

create or replace function scheduler.batch_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with open as (
    select count(*) as jobs, min(created_at) as oldest from public.batch_jobs where completed_at is null
  ), ended as (
    select coalesce(sum(tasks_completed), 0) as completed, coalesce(sum(tasks_failed), 0) as failed
    from public.batch_jobs where completed_at > p_now - interval '24 hours' and status <> 'cancelled'
  ), providers as (
    select name, failures_in_row from public.batch_providers where enabled order by name limit 100
  )
  select json_build_object(
    'not_begun_seconds', round(coalesce(extract(epoch from p_now - scheduler.batch_due_since(p_now)), 0), 3),
    'open', open.jobs,
    'oldest_open_seconds', round(extract(epoch from greatest(p_now - coalesce(open.oldest, p_now), interval '0')), 3),
    'tasks_by_status', json_build_object('completed', ended.completed, 'failed', ended.failed),
    'failures_in_row', (select coalesce(json_object_agg(name, failures_in_row), '{}') from providers)
  )
  from open, ended;
$$;
comment on function scheduler.batch_metrics(timestamptz) is
  'Figures of the daily batch: {"not_begun_seconds", "open", "oldest_open_seconds", "tasks_by_status" (of batch jobs that ended in 24 hours), "failures_in_row": {enabled provider: failed calls since its last answer} (the first 100)}.';

revoke all on function scheduler.batch_metrics(timestamptz) from public, anon, authenticated, service_role;
