-- The figures of the agents and their work in the health check. Only open rows are counted (partial indexes) and those
-- of the last 24 hours (an index on the end).

create function agents.agents_health() returns jsonb
language sql stable set search_path = '' as $$
  with agents as (
    select count(*) as watched,
      count(*) filter (where status = 'error') as in_error,
      count(*) filter (where status = 'busy') as busy,
      -- A new agent has a quarter of an hour for its first heartbeat.
      count(*) filter (where status in ('idle', 'busy')
        and coalesce(last_heartbeat_at, created_at) < now() - interval '15 minutes') as silent,
      (array_agg(name order by status_changed_at) filter (where status = 'error'))[1] as first_in_error
    from public.agents
    where status in ('idle', 'busy', 'error')
  )
  select jsonb_build_object(
    'watched', watched,
    'figures', jsonb_build_object(
      'error_percent', scheduler.percent(in_error, watched),
      'silent_percent', scheduler.percent(silent, watched)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'agents', watched, 'busy', busy, 'in_error', in_error, 'silent', silent, 'first_in_error', first_in_error)),
    'notes', '[]'::jsonb
  )
  from agents;
$$;
comment on function agents.agents_health() is
  'Figures of the agents that are meant to be at work: those in error, and those not heard of for 15 minutes.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('agents', 'agents', 'Agents', 6, 'agents.agents_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('agents', 'error_percent', 'agents in error', 'percent', 'higher', 10, 50, 'first_in_error'),
  ('agents', 'silent_percent', 'agents without heartbeat', 'percent', 'higher', 10, 50, null);

create function agents.tasks_health() returns jsonb
language sql stable set search_path = '' as $$
  with open_tasks as (
    select count(*) as open,
      count(*) filter (where isfinite(due_at)) as with_due_date,
      count(*) filter (where due_at < now()) as overdue,
      count(*) filter (where status = 'in_progress' and updated_at < now() - interval '6 hours') as stuck,
      -- A task that is due later may wait until then.
      min(created_at) filter (where status = 'pending' and (due_at is null or due_at < now())) as oldest_pending
    from public.tasks
    where status in ('pending', 'in_progress', 'blocked')
  ), ended as (
    select count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status in ('completed', 'failed')) as ended
    from public.tasks
    where completed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', open_tasks.open + ended.ended,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'overdue_percent', scheduler.percent(open_tasks.overdue, open_tasks.with_due_date, 5),
      'stuck_tasks', open_tasks.stuck,
      'oldest_pending_seconds', scheduler.seconds_since(open_tasks.oldest_pending)
    ),
    'details', jsonb_build_object(
      'open', open_tasks.open, 'overdue', open_tasks.overdue, 'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_tasks, ended;
$$;
comment on function agents.tasks_health() is
  'Figures of the tasks: open ones that are overdue, stuck (6 hours untouched) or waiting, and failures in 24 hours.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('tasks', 'agents', 'Tasks', 6, 'agents.tasks_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('tasks', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 10, 30, null),
  ('tasks', 'overdue_percent', 'overdue', 'percent', 'higher', 10, 50, null),
  ('tasks', 'stuck_tasks', 'stuck tasks', 'count', 'higher', 1, 10, null),
  ('tasks', 'oldest_pending_seconds', 'oldest pending task', 'seconds', 'higher', 86400, 604800, null);

create function agents.conversations_health() returns jsonb
language sql stable set search_path = '' as $$
  with open_conversations as (
    -- A person whose last message is older than a day has left: an answer does not reach them any more.
    select count(*) as active,
      count(*) filter (where waiting and last_user_message_at < now() - interval '15 minutes') as unanswered,
      min(last_user_message_at) filter (where waiting) as waiting_since
    from (
      select last_user_message_at,
        last_agent_message_at is null or last_agent_message_at < last_user_message_at as waiting
      from public.conversations
      where status = 'open' and last_user_message_at > now() - interval '24 hours'
    ) as recent
  ), ended as (
    select count(*) as ended, count(*) filter (where status = 'failed') as failed
    from public.conversations
    where closed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', open_conversations.active + ended.ended,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'unanswered_percent', scheduler.percent(open_conversations.unanswered, open_conversations.active, 5),
      'longest_wait_seconds', scheduler.seconds_since(open_conversations.waiting_since)
    ),
    'details', jsonb_build_object(
      'active', open_conversations.active, 'unanswered', open_conversations.unanswered,
      'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_conversations, ended;
$$;
comment on function agents.conversations_health() is
  'Figures of the conversations of the last 24 hours: those that wait for an answer (longer than 15 minutes), and '
    'those that failed.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('conversations', 'agents', 'Conversations', 4, 'agents.conversations_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('conversations', 'unanswered_percent', 'unanswered', 'percent', 'higher', 10, 40, null),
  ('conversations', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 5, 25, null),
  ('conversations', 'longest_wait_seconds', 'longest wait', 'seconds', 'higher', 3600, 43200, null);

create function agents.python_health() returns jsonb
language sql stable set search_path = '' as $$
  with ended as (
    select count(*) as ended,
      count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status = 'timed_out') as timed_out,
      round(avg(duration_ms)) as average_duration_ms
    from public.eliza_python_executions
    where finished_at > now() - interval '24 hours' and status <> 'cancelled'
  ), open_executions as (
    select count(*) as open,
      count(*) filter (where status = 'running'
        and started_at + make_interval(secs => timeout_seconds) < now() - interval '5 minutes') as stuck,
      min(created_at) filter (where status = 'queued') as oldest_queued
    from public.eliza_python_executions
    where status in ('queued', 'running')
  )
  select jsonb_build_object(
    'watched', ended.ended + open_executions.open,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'timed_out_percent', scheduler.percent(ended.timed_out, ended.ended, 5),
      'stuck_executions', open_executions.stuck,
      'oldest_queued_seconds', scheduler.seconds_since(open_executions.oldest_queued)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'ended', ended.ended, 'failed', ended.failed, 'timed_out', ended.timed_out,
      'average_duration_ms', ended.average_duration_ms)),
    'notes', '[]'::jsonb
  )
  from ended, open_executions;
$$;
comment on function agents.python_health() is
  'Figures of the Python executions: failures and time-outs in 24 hours, and those that run or wait too long.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('python', 'agents', 'Python executions', 4, 'agents.python_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('python', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 20, 50, null),
  ('python', 'timed_out_percent', 'timed out in 24 h', 'percent', 'higher', 10, 30, null),
  ('python', 'stuck_executions', 'stuck executions', 'count', 'higher', 1, 5, null),
  ('python', 'oldest_queued_seconds', 'oldest queued', 'seconds', 'higher', 600, 3600, null);
