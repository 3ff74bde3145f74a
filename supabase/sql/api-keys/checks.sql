-- What a check of the API keys found. The keys themselves never come here.

-- One statement for all keys, after their rows were locked in one order: checks that overlap wait for each other, and
-- of
-- two the one that began later (p_now) stays.
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

  with checks as (
    select provider, key_last_four, http_status, latency_ms, expires_at, rate_limit, rate_limit_remaining,
      rate_limit_resets_at, error_message,
      case when status = 'valid' and expires_at <= p_now + make_interval(days => v_days) then 'expiring'
        else status end as status
    from jsonb_to_recordset(p_checks) as given (provider text, status text, key_last_four text, http_status integer,
      latency_ms integer, expires_at timestamptz, rate_limit bigint, rate_limit_remaining bigint,
      rate_limit_resets_at timestamptz, error_message text)
  ), before as materialized (
    select * from public.api_key_health where key_name = 'default'
  ), recorded as (
    insert into public.api_key_health as health (provider, key_name, key_last_four, status, status_since, checked_at,
      expires_at,
      rate_limit, rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status, consecutive_failures,
        error_message, updated_at)
    select provider, 'default', key_last_four, status, p_now, p_now, expires_at,
      rate_limit, rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status,
      case when status in ('valid', 'expiring', 'not_configured') then 0 else 1 end, error_message, p_now
    from checks
    order by provider
    on conflict (provider, key_name) do update set
      key_last_four = excluded.key_last_four,
      status = excluded.status,
      status_since = case when health.status = excluded.status then health.status_since else excluded.status_since end,
      checked_at = excluded.checked_at,
      -- An answer that does not tell of the same key's end does not undo it; that of a refused key counts if it has
      -- passed.
      expires_at = coalesce(excluded.expires_at, case
        when health.key_last_four = excluded.key_last_four
          and (excluded.status in ('unreachable', 'rate_limited')
            or excluded.status = 'invalid' and health.expires_at <= excluded.checked_at)
        then health.expires_at end),
      rate_limit = excluded.rate_limit,
      rate_limit_remaining = excluded.rate_limit_remaining,
      rate_limit_resets_at = excluded.rate_limit_resets_at,
      latency_ms = excluded.latency_ms,
      http_status = excluded.http_status,
      consecutive_failures = case when excluded.consecutive_failures = 0 then 0
        else health.consecutive_failures + 1 end,
      error_message = excluded.error_message,
      updated_at = excluded.checked_at
    where health.checked_at is null or health.checked_at < excluded.checked_at
    returning *
  )
  select jsonb_agg(jsonb_build_object(
      'provider', checks.provider,
      'status', coalesce(recorded.status, before.status, checks.status),
      'previous_status', before.status,
      'status_since', coalesce(recorded.status_since, before.status_since, p_now),
      'consecutive_failures', coalesce(recorded.consecutive_failures, before.consecutive_failures, 0),
      'expires_at', case when recorded.id is null then before.expires_at else recorded.expires_at end,
      'recorded', recorded.id is not null
    ) order by checks.provider) into v_keys
  from checks
  left join recorded using (provider)
  left join before using (provider);

  return jsonb_build_object(
    'keys', coalesce(v_keys, '[]'),
    'expiring_days', v_days,
    'left_alone', (
      select coalesce(jsonb_agg(name order by name), '[]')
      from (
        select case key_name when 'default' then provider else provider || '/' || key_name end as name
        from public.api_key_health
        where key_name <> 'default'
          or provider not in (select given.provider from jsonb_to_recordset(p_checks) as given (provider text))
        order by 1 limit 100) as others));
end;
$$;
comment on function api_keys.record_checks(jsonb, timestamptz) is
  'Records what a check that began at p_now found: [{provider, status, key_last_four, http_status, latency_ms, '
    'expires_at, rate_limit, rate_limit_remaining, rate_limit_resets_at, error_message}], each key default''s. A '
    'valid key that expires within the setting api_key_health.expiring_days becomes expiring. Rows of other keys are '
    'left alone. Returns {keys: [{provider, status, previous_status or null, status_since, consecutive_failures, '
    'expires_at, recorded: false if a later check was there first}], expiring_days, left_alone: [name]}.';

-- The ledger's clock, not the worker's, says which of two checks began later.
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
