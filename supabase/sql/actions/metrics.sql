-- The metrics of the scheduled actions, by indexes that hold only the rows to count, or over an hour.

create function actions.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with waiting as (
    select count(*) as actions, min(next_attempt_at) as oldest
    from public.scheduled_actions where status = 'scheduled'
  ), finished as (
    select status, count(*) as occurrences from public.scheduled_action_occurrences
    where finished_at > p_now - interval '1 hour'
    group by status
  )
  select json_build_array(
    scheduler.metric_group('{}',
      scheduler.metric('scheduled_actions_waiting', waiting.actions),
      scheduler.metric('scheduled_actions_overdue_seconds',
        round(extract(epoch from greatest(p_now - coalesce(waiting.oldest, p_now), interval '0')), 3))),
    (select scheduler.metric_group(json_build_object('status', json_agg(status)),
        scheduler.metric('scheduled_action_occurrences_by_status', json_agg(coalesce(occurrences, 0))))
      from unnest(array['completed', 'dead', 'cancelled', 'missed']) as status left join finished using (status)))
  from waiting;
$$;
comment on function actions.metrics(timestamptz) is 'The metrics of the scheduled actions: those that wait, '
  'and the occurrences that ended in the last hour.';

insert into scheduler.metric_sources (function_name, pack) values ('actions.metrics', 'actions');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduled_actions_waiting', 'actions', 'gauge', 'Scheduled actions that are still to be executed, later or again.'),
  ('scheduled_actions_overdue_seconds', 'actions', 'gauge', 'Since the oldest of the waiting actions was to be tried; '
    '0 when none is due.'),
  ('scheduled_action_occurrences_by_status', 'actions', 'gauge', 'Occurrences of scheduled actions that ended in the '
    'last hour, by how.');
