-- The metrics of the API keys.

create function api_keys.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with keys as (
    select provider, key_name, status, expires_at from public.api_key_health order by provider, key_name limit 100
  )
  select json_build_array(
    (select scheduler.metric_group(
        json_build_object('provider', json_agg(provider), 'key_name', json_agg(key_name), 'status',
          json_agg(known.status)),
        scheduler.metric('api_key_status', json_agg((known.status = keys.status)::integer)))
      from keys, unnest(array['unchecked', 'valid', 'invalid', 'expiring', 'rate_limited', 'unreachable',
        'not_configured'])
        as known (status)),
    (select scheduler.metric_group(json_build_object('provider', json_agg(provider), 'key_name', json_agg(key_name)),
        scheduler.metric('api_key_expires_in_seconds', json_agg(round(extract(epoch from expires_at - p_now), 3))))
      from keys where isfinite(expires_at)));
$$;
comment on function api_keys.metrics(timestamptz) is 'The metrics of the API keys, the first 100: the status '
  'of each, and until it expires.';

insert into scheduler.metric_sources (function_name, pack) values ('api_keys.metrics', 'api-keys');
insert into scheduler.metric_families (family, pack, type, help) values
  ('api_key_status', 'api-keys', 'gauge', '1 for the status that the API key had when it was checked last, 0 for the '
    'others.'),
  ('api_key_expires_in_seconds', 'api-keys', 'gauge', 'Until the API key expires, negative after that; absent when '
    'its provider does not say.');
