-- The figures of the causes of failing code in the health check.

create function code_monitor.code_health() returns jsonb
language sql stable set search_path = '' as $$
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
      'unseen_seconds', scheduler.seconds_since(unseen.oldest),
      'oldest_proposal_seconds', scheduler.seconds_since(proposals.oldest)
    ),
    'details', jsonb_build_object('open', causes.open, 'proposed', causes.proposed),
    'notes', '[]'::jsonb
  )
  from causes, proposals, unseen;
$$;
comment on function code_monitor.code_health() is
  'Figures of the causes of failing Python code: open ones, those that came back after a fix, failures that were '
    'not collected, and how long the oldest proposal waits for a person.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('code', 'code-monitor', 'Code failures', 2, 'code_monitor.code_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('code', 'open_causes', 'open causes', 'count', 'higher', 10, 100, null),
  ('code', 'came_back', 'came back after a fix', 'count', 'higher', 1, 10, null),
  -- The monitor runs every two hours.
  ('code', 'unseen_seconds', 'not looked at for', 'seconds', 'higher', 18000, 86400, null),
  ('code', 'oldest_proposal_seconds', 'oldest proposal waits', 'seconds', 'higher', 259200, 1209600, null);
