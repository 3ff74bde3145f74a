-- The results of the checks of API keys. The keys themselves are never stored.

create function api_keys.read_checks(p_checks jsonb, p_expiring_days integer, p_now timestamptz)
returns setof public.api_key_health
language sql stable set search_path = '' as $$
  select found.*
  from jsonb_populate_recordset(null::public.api_key_health, p_checks) as given,
    jsonb_populate_record(given, jsonb_build_object(
      'key_name', 'default',
      'status', case
        when given.status = 'valid' and given.expires_at <= p_now + make_interval(days => p_expiring_days)
        then 'expiring' else given.status end,
      'status_since', p_now,
      'checked_at', p_now,
      'consecutive_failures', (given.status not in ('valid', 'expiring', 'not_configured'))::integer,
      'updated_at', p_now)) as found;
$$;
comment on function api_keys.read_checks(jsonb, integer, timestamptz) is
  'The checks as rows of keys that were never checked before: since p_now, with one failure or none. A valid key that '
    'expires within p_expiring_days is expiring.';

create function api_keys.after_check(p_known public.api_key_health, p_found public.api_key_health)
returns public.api_key_health
language plpgsql immutable set search_path = '' as $$
begin
  if p_known.status = p_found.status then
    p_found.status_since := p_known.status_since;
  end if;
  if p_found.consecutive_failures > 0 then
    p_found.consecutive_failures := p_known.consecutive_failures + 1;
  end if;
  -- A provider that gave no answer does not contradict what it said before of the same key's expiry. For a refused key
  -- the known expiry stays only if it has passed: then it explains the refusal.
  if p_found.expires_at is null and p_known.key_last_four = p_found.key_last_four
    and (p_found.status in ('unreachable', 'rate_limited')
      or p_found.status = 'invalid' and p_known.expires_at <= p_found.checked_at)
  then
    p_found.expires_at := p_known.expires_at;
  end if;
  return p_found;
end;
$$;
comment on function api_keys.after_check(public.api_key_health, public.api_key_health) is
  'The row of a key after a check, from the row before and the check as a row of its own (api_keys.read_checks).';

create function api_keys.unchecked_names(p_checks jsonb) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(name order by name), '[]')
  from (
    select case key_name when 'default' then provider else provider || '/' || key_name end as name
    from public.api_key_health
    where key_name <> 'default'
      or provider not in (select given.provider from jsonb_to_recordset(p_checks) as given (provider text))
    order by 1 limit 100) as others;
$$;
comment on function api_keys.unchecked_names(jsonb) is
  'The names of the keys that are not among the checks, the first 100: provider, or provider/key_name.';

-- All keys are one statement, and their rows are locked in one order first. So overlapping checks wait for each other,
-- and the result of the check that began later (p_now) stays.
create function api_keys.record_checks(p_checks jsonb, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_days constant integer := scheduler.setting('api_key_health.expiring_days');
  v_keys jsonb;
begin
  perform scheduler.require_whole_numbers(coalesce(given ->> 'provider', 'a check'), given,
      array['http_status', 'latency_ms', 'rate_limit', 'rate_limit_remaining'])
    from jsonb_array_elements(p_checks) as given;
  perform from public.api_key_health where key_name = 'default' order by provider for update;

  with found as (
    select * from api_keys.read_checks(p_checks, v_days, p_now)
  ), before as (
    select * from public.api_key_health where key_name = 'default'
  ), recorded as (
    insert into public.api_key_health as health (provider, key_name, key_last_four, status, status_since, checked_at,
      expires_at, rate_limit, rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status,
      consecutive_failures, error_message, updated_at)
    select provider, key_name, key_last_four, status, status_since, checked_at,
      expires_at, rate_limit, rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status,
      consecutive_failures, error_message, updated_at
    from found
    order by provider
    on conflict (provider, key_name) do update set (key_last_four, status, status_since, checked_at,
      expires_at, rate_limit, rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status,
      consecutive_failures, error_message, updated_at) = (
      select after.key_last_four, after.status, after.status_since, after.checked_at,
        after.expires_at, after.rate_limit, after.rate_limit_remaining, after.rate_limit_resets_at, after.latency_ms,
        after.http_status, after.consecutive_failures, after.error_message, after.updated_at
      from api_keys.after_check(health, excluded) as after)
    where health.checked_at is null or health.checked_at < excluded.checked_at
    returning *
  )
  select jsonb_agg(jsonb_build_object(
      'provider', found.provider,
      'status', coalesce(recorded.status, before.status, found.status),
      'previous_status', before.status,
      'status_since', coalesce(recorded.status_since, before.status_since, p_now),
      'consecutive_failures', coalesce(recorded.consecutive_failures, before.consecutive_failures, 0),
      'expires_at', case when recorded.id is null then before.expires_at else recorded.expires_at end,
      'recorded', recorded.id is not null
    ) order by found.provider) into v_keys
  from found
  left join recorded using (provider)
  left join before using (provider);

  return jsonb_build_object('keys', coalesce(v_keys, '[]'), 'expiring_days', v_days,
    'left_alone', api_keys.unchecked_names(p_checks));
end;
$$;
comment on function api_keys.record_checks(jsonb, timestamptz) is
  'Records the results of a check that began at p_now: [{provider, status, key_last_four, http_status, latency_ms, '
    'expires_at, rate_limit, rate_limit_remaining, rate_limit_resets_at, error_message}], each key default''s. A '
    'valid key that expires within the setting api_key_health.expiring_days becomes expiring. Rows of other keys are '
    'not changed. Returns {keys: [{provider, status, previous_status or null, status_since, consecutive_failures, '
    'expires_at, recorded: false if a later check was there first}], expiring_days, left_alone: [name]}.';

-- The clock of the ledger decides which of two checks began later, not that of the worker.
create function api_keys.run_began_at(p_run_id uuid) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_began_at timestamptz := (select started_at from public.scheduler_runs where id = p_run_id);
begin
  if v_began_at is null then
    raise exception using errcode = 'SD002', message = format('there is no run %s that has begun',
      coalesce(p_run_id::text, 'null'));
  end if;
  return v_began_at;
end;
$$;
comment on function api_keys.run_began_at(uuid) is 'When a run began. Raises SD002 for one that has not.';

create function public.record_api_key_checks(p_checks jsonb, p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
  select api_keys.record_checks(p_checks, api_keys.run_began_at(p_run_id));
$$;
comment on function public.record_api_key_checks(jsonb, uuid) is
  'api_keys.record_checks of a check that began when its run did, by the ledger. Raises SD002 for a run that has not '
    'begun.';

revoke all on function public.record_api_key_checks(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.record_api_key_checks(jsonb, uuid) to service_role;
