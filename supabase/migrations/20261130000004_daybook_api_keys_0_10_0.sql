-- Daybook 0.10.0, pack api-keys. Made of supabase/sql/api-keys: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'api-keys';
  v_schemas constant text[] := array['api_keys'];
  v_relations constant text[] := array['api_key_health'];
  v_functions constant text[] := array['record_api_key_checks'];
  v_jobs constant text[] := array['api-key-health-monitor'];
  v_there text[] := array(
    select format('schema %I', nspname) from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union
    select format('%s public.%I',
      case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
        when 'c' then 'type' else 'table' end, relname)
    from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union
    select format('type public.%I', typname) from pg_catalog.pg_type
    where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r') and typname = any (v_relations)
    union
    select format('function public.%I', proname) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions));
begin
  if to_regclass('cron.job') is not null then
    v_there := v_there || array(select format('pg_cron entry %s', jobname) from cron.job where jobname = any (v_jobs));
  end if;
  if v_pack <> 'scheduler' then
    v_there := v_there || array(select format('job %s', name) from public.scheduler_jobs where name = any (v_jobs));
  end if;
  if v_there <> '{}' then
    raise exception using errcode = '42710',
      message = format('cannot install the pack %s: the database has these already, and they are not Daybook''s: %s',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing)),
      hint = 'rename or drop them, or run: deno task install <project> --move-aside';
  end if;
end;
$guard$;

create schema api_keys;
revoke all on schema api_keys from public, anon, authenticated, service_role;
comment on schema api_keys is 'What the pack api-keys keeps to itself. Not exposed through REST.';

-- What opens other people's doors: one row a key. The key itself is not here and never was.
create table public.api_key_health (
  id uuid primary key default gen_random_uuid(),
  provider text not null check (provider ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  key_name text not null default 'default' check (length(key_name) between 1 and 100),
  key_last_four text check (length(key_last_four) <= 4),
  status text not null default 'unchecked'
    check (status in ('unchecked', 'valid', 'invalid', 'expiring', 'rate_limited', 'unreachable', 'not_configured')),
  status_since timestamptz not null default now() check (isfinite(status_since)),
  checked_at timestamptz check (isfinite(checked_at)),
  expires_at timestamptz check (expires_at > '-infinity'),
  rate_limit bigint check (rate_limit >= 0),
  rate_limit_remaining bigint check (rate_limit_remaining >= 0),
  rate_limit_resets_at timestamptz check (isfinite(rate_limit_resets_at)),
  latency_ms integer check (latency_ms >= 0),
  http_status integer check (http_status between 100 and 599),
  consecutive_failures integer not null default 0 check (consecutive_failures >= 0),
  error_message text,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  unique (provider, key_name)
);

comment on table public.api_key_health is
  'How each API key fares, one row a key. Holds the last four characters of a key at most, never the key.';
comment on column public.api_key_health.status_since is 'Since when the status is what it is.';
comment on column public.api_key_health.key_name is 'The key that the functions use is default; the monitor writes no '
  'other.';
comment on column public.api_key_health.expires_at is 'When the key expires, if the provider says so (infinity: '
  'never); of a provider that gave no answer: what it said before of the same key.';
comment on column public.api_key_health.rate_limit is
  'What the provider allows in its window: requests, at ElevenLabs characters; null when it does not say.';
comment on column public.api_key_health.rate_limit_resets_at is 'When calls are answered again, or the window begins '
  'anew.';
comment on column public.api_key_health.latency_ms is
  'How long the provider took to answer the last check, in milliseconds; null when it gave no answer.';
comment on column public.api_key_health.consecutive_failures is
  'Checks in a row, up to the last, that found the key neither valid nor expiring; 0 for a key that is not configured.';
comment on column public.api_key_health.error_message is
  'Why the status is what it is, in short; beside a valid key a note, such as a permission that it lacks.';

select scheduler.bound_times('public.api_key_health', array['status_since', 'checked_at']);

alter table public.api_key_health enable row level security;
revoke all on public.api_key_health from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.api_key_health to service_role;

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('api-keys', 'api_key_health.expiring_days', '14', 'days', 0, 999, 'an API key that expires within so many days is '
    'expiring');

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

-- What the health check sees of the API keys.

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
  -- They are checked every 6 hours.
  ('api_keys', 'check_age_seconds', 'oldest check', 'seconds', 'higher', 46800, 176400, null);

-- What a scrape shows of the API keys.

create function api_keys.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with keys as materialized (
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
comment on function api_keys.metrics(timestamptz) is 'What a scrape shows of the API keys, the first 100: the status '
  'of each, and until it expires.';

insert into scheduler.metric_sources (function_name, pack) values ('api_keys.metrics', 'api-keys');
insert into scheduler.metric_families (family, pack, type, help) values
  ('api_key_status', 'api-keys', 'gauge', '1 for the status that the API key had when it was checked last, 0 for the '
    'others.'),
  ('api_key_expires_in_seconds', 'api-keys', 'gauge', 'Until the API key expires, negative after that; absent when '
    'its provider does not say.');

-- Nobody but the owner uses what is private. Functions in public say themselves who may call them.
revoke all on all functions in schema api_keys from public, anon, authenticated, service_role;
revoke all on all tables in schema api_keys from public, anon, authenticated, service_role;
revoke all on all sequences in schema api_keys from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'api-key-health-monitor',
  schedule => '15 */6 * * *',
  description => 'Whether each API key is good, for how long, and what is left of its limit'
);
