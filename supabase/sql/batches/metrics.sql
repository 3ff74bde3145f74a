-- What a scrape shows of the daily batch.

create function batches.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with open as (
    select count(*) as jobs, min(created_at) as oldest from public.batch_jobs where completed_at is null
  ), ended as (
    select coalesce(sum(tasks_completed), 0) as completed, coalesce(sum(tasks_failed), 0) as failed
    from public.batch_jobs where completed_at > p_now - interval '24 hours' and status <> 'cancelled'
  )
  select json_build_array(
    scheduler.metric_group('{}',
      scheduler.metric('batch_not_begun_seconds', round(coalesce(extract(epoch from p_now - batches.due_since(p_now)),
        0), 3)),
      scheduler.metric('batch_jobs_open', open.jobs),
      scheduler.metric('batch_oldest_open_seconds',
        round(extract(epoch from greatest(p_now - coalesce(open.oldest, p_now), interval '0')), 3))),
    scheduler.metric_group('{"status": ["completed", "failed"]}',
      scheduler.metric('batch_tasks_by_status', json_build_array(ended.completed, ended.failed))),
    (select scheduler.metric_group(json_build_object('provider', json_agg(name)),
        scheduler.metric('batch_provider_failures_in_row', json_agg(failures_in_row)))
      from (select name, failures_in_row from public.batch_providers where enabled
        order by name limit 100) as providers))
  from open, ended;
$$;
comment on function batches.metrics(timestamptz) is
  'What a scrape shows of the daily batch: what is due, open, and ended in 24 hours, and the first 100 enabled '
    'providers.';

insert into scheduler.metric_sources (function_name, pack) values ('batches.metrics', 'batches');
insert into scheduler.metric_families (family, pack, type, help) values
  ('batch_not_begun_seconds', 'batches', 'gauge', 'How long a daily batch has been due that has not begun; 0 when '
    'none is.'),
  ('batch_jobs_open', 'batches', 'gauge', 'Batch jobs that are not over.'),
  ('batch_oldest_open_seconds', 'batches', 'gauge', 'How long the oldest of them has been open; 0 when there is none.'),
  ('batch_tasks_by_status', 'batches', 'gauge', 'Tasks of the batch jobs that ended in the last 24 hours, by how; '
    'cancelled jobs are left out.'),
  ('batch_provider_failures_in_row', 'batches', 'gauge', 'Calls of the provider that failed, or were told to wait, '
    'since it last answered; at batch_processor.failures_to_open its breaker opens.');
