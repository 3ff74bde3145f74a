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
    -- The CLI shows no hints.
    raise exception using errcode = '42710',
      message = format(
        'cannot install the pack %1$s: the database has these already, and they are not Daybook''s: %2$s; '
        'rename or drop them, or run: deno task install <project> --pack %1$s --move-aside',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing));
  end if;
end;
$guard$;

create schema api_keys;
revoke all on schema api_keys from public, anon, authenticated, service_role;
comment on schema api_keys is 'Private functions and types of the pack api-keys. Not exposed through REST.';

-- The state of each API key. The key itself is never stored.
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
comment on column public.api_key_health.status_since is 'Since when the key has this status.';
comment on column public.api_key_health.key_name is 'The key that the functions use is default; the monitor writes no '
  'other.';
comment on column public.api_key_health.expires_at is 'When the key expires, if the provider says so (infinity: '
  'never); after a check without an answer: as it was said before of the same key.';
comment on column public.api_key_health.rate_limit is
  'The requests that the provider allows in its window, at ElevenLabs characters; null when it does not say.';
comment on column public.api_key_health.rate_limit_resets_at is 'When calls are answered again, or the window begins '
  'anew.';
comment on column public.api_key_health.latency_ms is
  'How long the provider took to answer the last check, in milliseconds; null when it gave no answer.';
comment on column public.api_key_health.consecutive_failures is
  'Checks in a row, up to the last, that found the key neither valid nor expiring; 0 for a key that is not configured.';
comment on column public.api_key_health.error_message is
  'Why the key has this status, in short; for a valid key a note, such as a permission that it lacks.';

select scheduler.bound_times('public.api_key_health', array['status_since', 'checked_at']);

alter table public.api_key_health enable row level security;
revoke all on public.api_key_health from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.api_key_health to service_role;

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('api-keys', 'api_key_health.expiring_days', '14', 'days', 0, 999, 'an API key that expires within so many days is '
    'expiring');

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

-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema api_keys from public, anon, authenticated, service_role;
revoke all on all tables in schema api_keys from public, anon, authenticated, service_role;
revoke all on all sequences in schema api_keys from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'api-key-health-monitor',
  schedule => '15 */6 * * *',
  description => 'Whether each API key is good, for how long, and what is left of its limit'
);
