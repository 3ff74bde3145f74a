-- The figures of the scheduled actions in the health check: only those that wait and those of the last 24 hours are
-- counted.

create function actions.actions_health() returns jsonb
language sql stable set search_path = '' as $$
  with waiting as (
    select count(*) as waiting, min(next_attempt_at) as oldest_due,
      (array_agg(receiver order by next_attempt_at))[1] as first_receiver
    from public.scheduled_actions
    where status = 'scheduled'
  ), over as (
    select count(*) as ended,
      count(*) filter (where status = 'dead') as dead,
      count(*) filter (where status = 'missed') as missed
    from public.scheduled_action_occurrences
    where finished_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', waiting.waiting + over.ended,
    'figures', jsonb_build_object(
      'dead_actions', over.dead,
      'missed_actions', over.missed,
      'overdue_seconds', case when waiting.waiting > 0
        then greatest(0, scheduler.seconds_since(waiting.oldest_due)) end
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'waiting', waiting.waiting, 'ended', over.ended, 'most_overdue', left(waiting.first_receiver, 200))),
    'notes', '[]'::jsonb
  )
  from waiting, over;
$$;
comment on function actions.actions_health() is
  'Figures of the scheduled actions: occurrences that died or were missed in 24 hours, and how long the one waits '
    'that is most overdue.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('actions', 'actions', 'Scheduled actions', 4, 'actions.actions_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('actions', 'overdue_seconds', 'most overdue', 'seconds', 'higher', 900, 7200, 'most_overdue'),
  ('actions', 'dead_actions', 'dead in 24 h', 'count', 'higher', 1, 25, null),
  ('actions', 'missed_actions', 'missed in 24 h', 'count', 'higher', 1, 100, null);
