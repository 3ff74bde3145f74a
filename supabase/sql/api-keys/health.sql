-- The figures of the API keys in the health check.

create function api_keys.api_keys_health() returns jsonb
language sql stable set search_path = '' as $$
  with keys as (
    select count(*) as watched,
      count(*) filter (where status = 'invalid' or expires_at <= now()) as unusable,
      count(*) filter (where status in ('unreachable', 'rate_limited')) as troubled,
      max(consecutive_failures) as most_failures,
      extract(epoch from min(expires_at) filter (where expires_at > now()
        and isfinite(expires_at)) - now()) as expires_in,
      min(100.0 * rate_limit_remaining / rate_limit) filter (
        where rate_limit > 0 and rate_limit_resets_at > now()) as rate_limit_left,
      min(coalesce(checked_at, created_at)) as first_checked,
      string_agg(provider, ', ' order by provider) filter (where status = 'invalid'
        or expires_at <= now()) as unusable_at,
      (array_agg(provider order by expires_at) filter (where expires_at > now()
        and isfinite(expires_at)))[1] as expires_first
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
      'check_age_seconds', scheduler.seconds_since(first_checked)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'keys', watched, 'unusable_at', left(unusable_at, 200), 'expires_first', expires_first)),
    'notes', '[]'::jsonb
  )
  from keys;
$$;
comment on function api_keys.api_keys_health() is
  'Figures of the API keys that are configured: unusable (invalid, expired), in trouble, expiring, near their rate '
    'limit, unchecked.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('api_keys', 'api-keys', 'API keys', 8, 'api_keys.api_keys_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('api_keys', 'unusable_keys', 'invalid or expired keys', 'count', 'higher', null, 1, 'unusable_at'),
  ('api_keys', 'troubled_keys', 'unreachable or limited', 'count', 'higher', 1, null, null),
  ('api_keys', 'most_failures', 'failures in a row', 'count', 'higher', 3, 10, null),
  ('api_keys', 'expires_in_seconds', 'next expiry in', 'seconds', 'lower', 1209600, 259200, 'expires_first'),
  ('api_keys', 'rate_limit_left_percent', 'rate limit left', 'percent', 'lower', 10, 1, null),
  -- Keys are checked every 6 hours.
  ('api_keys', 'check_age_seconds', 'oldest check', 'seconds', 'higher', 46800, 176400, null);
