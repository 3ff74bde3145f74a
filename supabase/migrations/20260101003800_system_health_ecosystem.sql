-- What system-health looks at in the tables of the ecosystem's jobs. Counting is bounded, as in the components before.

create or replace function public.system_health_actions() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
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
        then greatest(0, public.system_health_seconds_since(waiting.oldest_due)) end
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'waiting', waiting.waiting, 'ended', over.ended, 'most_overdue', left(waiting.first_receiver, 200))),
    'notes', '[]'::jsonb
  )
  from waiting, over;
$$;
comment on function public.system_health_actions() is
  'Figures of the scheduled actions: occurrences that died or were missed in 24 hours, and how long the one waits that is most overdue.';

create or replace function public.system_health_code() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  with causes as (
    select count(*) filter (where status = 'open') as open,
      count(*) filter (where status = 'proposed') as proposed,
      count(*) filter (where status = 'open' and reopened_count > 0) as came_back
    from public.code_failure_causes
    where status in ('open', 'proposed')
  ), proposals as (
    select min(answered_at) as oldest from public.code_fix_proposals where status = 'pending'
  ), unseen as (
    select min(finished_at) as oldest from public.eliza_python_executions where status = 'failed' and cause_id is null
  )
  select jsonb_build_object(
    'watched', causes.open + causes.proposed,
    'figures', jsonb_build_object(
      'open_causes', causes.open,
      'came_back', causes.came_back,
      'unseen_seconds', public.system_health_seconds_since(unseen.oldest),
      'oldest_proposal_seconds', public.system_health_seconds_since(proposals.oldest)
    ),
    'details', jsonb_build_object('open', causes.open, 'proposed', causes.proposed),
    'notes', '[]'::jsonb
  )
  from causes, proposals, unseen;
$$;
comment on function public.system_health_code() is
  'Figures of the causes for which Python code fails: open ones, those that came back after a fix, failures that nobody has looked at, and how long the oldest proposal waits for a person.';

revoke all on function public.system_health_actions() from public, anon, authenticated, service_role;
revoke all on function public.system_health_code() from public, anon, authenticated, service_role;
grant execute on function public.system_health_actions() to service_role;
grant execute on function public.system_health_code() to service_role;
