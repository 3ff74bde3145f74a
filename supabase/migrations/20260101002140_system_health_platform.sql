-- The components beside the devices. Invokers: service_role may read these tables.
-- Counting is bounded: by what is open (partial indexes) or by the last 24 hours (an index on the end).

create or replace function public.system_health_agents() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
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
      'error_percent', public.system_health_percent(in_error, watched),
      'silent_percent', public.system_health_percent(silent, watched)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'agents', watched, 'busy', busy, 'in_error', in_error, 'silent', silent, 'first_in_error', first_in_error)),
    'notes', '[]'::jsonb
  )
  from agents;
$$;
comment on function public.system_health_agents() is
  'Figures of the agents that are meant to be at work: those in error, and those not heard of for 15 minutes.';

create or replace function public.system_health_tasks() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  with open_tasks as (
    select count(*) as open,
      count(*) filter (where isfinite(due_at)) as with_due_date,
      count(*) filter (where due_at < now()) as overdue,
      count(*) filter (where status = 'in_progress' and updated_at < now() - interval '6 hours') as stuck,
      -- What is due later may wait until then.
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
      'failed_percent', public.system_health_percent(ended.failed, ended.ended, 5),
      'overdue_percent', public.system_health_percent(open_tasks.overdue, open_tasks.with_due_date, 5),
      'stuck_tasks', open_tasks.stuck,
      'oldest_pending_seconds', public.system_health_seconds_since(open_tasks.oldest_pending)
    ),
    'details', jsonb_build_object(
      'open', open_tasks.open, 'overdue', open_tasks.overdue, 'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_tasks, ended;
$$;
comment on function public.system_health_tasks() is
  'Figures of the tasks: open ones that are overdue, stuck (6 hours untouched) or waiting, and failures in 24 hours.';

create or replace function public.system_health_conversations() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  with open_conversations as (
    -- Who wrote longer ago than a day has gone; that belongs into a report of its own.
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
      'failed_percent', public.system_health_percent(ended.failed, ended.ended, 5),
      'unanswered_percent', public.system_health_percent(open_conversations.unanswered, open_conversations.active, 5),
      'longest_wait_seconds', public.system_health_seconds_since(open_conversations.waiting_since)
    ),
    'details', jsonb_build_object(
      'active', open_conversations.active, 'unanswered', open_conversations.unanswered,
      'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_conversations, ended;
$$;
comment on function public.system_health_conversations() is
  'Figures of the conversations of the last 24 hours: who waits for an answer (longer than 15 minutes), and what failed.';

create or replace function public.system_health_api_keys() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  with keys as (
    select count(*) as watched,
      count(*) filter (where status = 'invalid' or expires_at <= now()) as unusable,
      count(*) filter (where status in ('unreachable', 'rate_limited')) as troubled,
      max(consecutive_failures) as most_failures,
      extract(epoch from min(expires_at) filter (where expires_at > now() and isfinite(expires_at)) - now()) as expires_in,
      min(100.0 * rate_limit_remaining / rate_limit) filter (
        where rate_limit > 0 and rate_limit_resets_at > now()) as rate_limit_left,
      min(coalesce(checked_at, created_at)) as first_checked,
      string_agg(provider, ', ' order by provider) filter (where status = 'invalid' or expires_at <= now()) as unusable_at,
      (array_agg(provider order by expires_at) filter (where expires_at > now() and isfinite(expires_at)))[1] as expires_first
    from public.api_key_health
    where status <> 'not_configured'
  )
  select jsonb_build_object(
    'watched', watched,
    'figures', jsonb_build_object(
      'unusable_keys', unusable,
      'troubled_keys', troubled,
      'most_failures', most_failures,
      'expires_in_seconds', round(expires_in),
      'rate_limit_left_percent', round(rate_limit_left, 1),
      'check_age_seconds', public.system_health_seconds_since(first_checked)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'keys', watched, 'unusable_at', left(unusable_at, 200), 'expires_first', expires_first)),
    'notes', '[]'::jsonb
  )
  from keys;
$$;
comment on function public.system_health_api_keys() is
  'Figures of the API keys that are configured: unusable (invalid, expired), in trouble, expiring, near their rate limit, unchecked.';

create or replace function public.system_health_python() returns jsonb
language sql stable set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
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
      'failed_percent', public.system_health_percent(ended.failed, ended.ended, 5),
      'timed_out_percent', public.system_health_percent(ended.timed_out, ended.ended, 5),
      'stuck_executions', open_executions.stuck,
      'oldest_queued_seconds', public.system_health_seconds_since(open_executions.oldest_queued)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'ended', ended.ended, 'failed', ended.failed, 'timed_out', ended.timed_out,
      'average_duration_ms', ended.average_duration_ms)),
    'notes', '[]'::jsonb
  )
  from ended, open_executions;
$$;
comment on function public.system_health_python() is
  'Figures of the Python executions: failures and time-outs in 24 hours, and those that run or wait too long.';

revoke all on function public.system_health_agents() from public, anon, authenticated;
revoke all on function public.system_health_tasks() from public, anon, authenticated;
revoke all on function public.system_health_conversations() from public, anon, authenticated;
revoke all on function public.system_health_api_keys() from public, anon, authenticated;
revoke all on function public.system_health_python() from public, anon, authenticated;
grant execute on function public.system_health_agents() to service_role;
grant execute on function public.system_health_tasks() to service_role;
grant execute on function public.system_health_conversations() to service_role;
grant execute on function public.system_health_api_keys() to service_role;
grant execute on function public.system_health_python() to service_role;
