-- What the other jobs of the ecosystem keep: actions, API keys, causes of failures. Each by an index that holds only what
-- it counts, or over an hour.

create or replace function scheduler.platform_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with waiting as (
    select count(*) as actions, min(next_attempt_at) as oldest
    from public.scheduled_actions where status = 'scheduled'
  ), finished as (
    select status, count(*) as occurrences from public.scheduled_action_occurrences
    where finished_at > p_now - interval '1 hour'
    group by status
  ), keys as (
    select provider, key_name, status, expires_at from public.api_key_health
    order by provider, key_name
    limit 100
  )
  select json_build_object(
    'actions_waiting', waiting.actions,
    'actions_overdue_seconds', round(extract(epoch from greatest(p_now - coalesce(waiting.oldest, p_now), interval '0')), 3),
    'occurrences_by_status', (select coalesce(json_object_agg(status, occurrences), '{}') from finished),
    'api_keys', (
      select coalesce(json_agg(json_build_array(provider, key_name, status, round(extract(epoch from expires_at - p_now), 3))), '[]')
      from keys),
    'open_code_failure_causes', (select count(*) from public.code_failure_causes where status = 'open'),
    'pending_code_fix_proposals', (select count(*) from public.code_fix_proposals where status = 'pending')
  )
  from waiting;
$$;
comment on function scheduler.platform_metrics(timestamptz) is
  'Figures of the other jobs: {"actions_waiting", "actions_overdue_seconds", "occurrences_by_status" (ended in the last hour), "api_keys": [[provider, key name, status, seconds until it expires or null]] (the first 100), "open_code_failure_causes", "pending_code_fix_proposals"}.';

revoke all on function scheduler.platform_metrics(timestamptz) from public, anon, authenticated, service_role;
