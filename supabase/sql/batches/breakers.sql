-- A provider's breaker, one for all processors. Closed: calls go. Open: none goes, until open_until. Half-open: one
-- call tries whether the provider is back, as long as its task is leased.

create function batches.breaker_state(p_provider public.batch_providers, p_now timestamptz) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_provider.open_until is null then 'closed'
    when p_provider.open_until > p_now then 'open'
    else 'half-open' end;
$$;
comment on function batches.breaker_state(public.batch_providers, timestamptz) is
  'closed, open or half-open: the state of a provider''s breaker at that moment.';

create function batches.tried_providers(p_now timestamptz) returns text[]
language sql stable set search_path = '' as $$
  select coalesce(array_agg(calls.provider), '{}')
  from batches.calls as calls join batches.leases as leases using (job_id, token)
  where calls.tries_provider and leases.leased_until > p_now;
$$;
comment on function batches.tried_providers(timestamptz) is 'The providers that a call tries at that moment.';

create function batches.lock_half_open(p_provider text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  -- Without waiting: the locks of providers are waited for in the order of their names alone.
  perform from public.batch_providers as providers
    where name = p_provider and enabled and batches.breaker_state(providers, p_now) = 'half-open'
    for no key update skip locked;
  -- A statement of its own, because the one above may not see the call of who had the lock until now.
  return found and p_provider <> all (batches.tried_providers(p_now));
end;
$$;
comment on function batches.lock_half_open(text, timestamptz) is
  'Locks a provider in order to try whether it is back. False when another claim does so, or its breaker is not '
    'half-open any more.';

create type batches.route as (
  place integer, provider text, asks_fallback boolean, answerer text, is_half_open boolean, callable_at timestamptz,
  problem text
);
comment on type batches.route is
  'Who answers tasks of a provider, or those of them that ask its fall-back: the answerer, one call alone if its '
    'breaker is half-open. Without an answerer nobody does, until callable_at, or never, for the reason problem.';

create function batches.routes(
  p_providers public.batch_providers[], p_tried text[], p_failures_to_open integer, p_now timestamptz
) returns setof batches.route
-- In plpgsql its plan is kept.
language plpgsql stable set search_path = '' as $$
begin
  return query
  with breakers as materialized (
    select providers.*, batches.breaker_state(providers, p_now) as state from unnest(p_providers) as providers
  ), providers as (
    select breakers.*,
      enabled and (state = 'closed' or state = 'half-open' and name <> all (p_tried)) as takes_calls,
      -- A call that tries a provider may bring its result any moment.
      case state when 'open' then open_until else p_now + interval '5 seconds' end as callable_at
    from breakers
  ), choices as (
    select own.name as provider, asks_fallback, own.state, not asks_fallback and own.takes_calls as own_answers,
      other.name as fallback, other.state as fallback_state,
      -- A provider that only asks to wait keeps its tasks: that passes.
      other.takes_calls and (own_cannot or own.state <> 'closed' and own.failures_in_row >= p_failures_to_open)
        as fallback_answers,
      own_cannot and other.enabled is not true as nobody_ever,
      own_cannot or own.state <> 'closed' as some_wait,
      case
        when own_cannot then other.callable_at
        -- Tasks of a provider that is down go to whichever of the two may be called first.
        when other.enabled and own.failures_in_row >= p_failures_to_open
          then least(own.callable_at, other.callable_at)
        else own.callable_at end as callable_at
    from providers as own
    left join providers as other on other.name = own.fallback_provider
    cross join (values (false), (true)) as tasks (asks_fallback)
    cross join lateral (select asks_fallback or not own.enabled) as hindered (own_cannot)
  )
  select 1, provider, asks_fallback, provider, state = 'half-open', callable_at, null from choices where own_answers
  union all
  select 2, provider, asks_fallback, fallback, fallback_state = 'half-open', callable_at, null
    from choices where fallback_answers
  union all
  select 3, provider, asks_fallback, null, false, callable_at,
      case when nobody_ever then case when asks_fallback then 'no fall-back any more' else 'disabled' end end
    from choices where some_wait and fallback_answers is not true;
end;
$$;
comment on function batches.routes(public.batch_providers[], text[], integer, timestamptz) is
  'Who answers each provider''s tasks now, by place: itself, then its fall-back when the breaker is open because the '
    'provider is down, then nobody. p_tried: those that a call tries already. Writes nothing.';

create type batches.provider_news as (
  provider text, has_answered boolean, failures integer, asks_to_wait boolean, wait_seconds integer, is_down boolean,
  reason text
);
comment on type batches.provider_news is
  'What calls of a provider came to. failures: those since it last answered; is_down: it says so itself, and until '
    'when.';

create function batches.provider_news(p_results batches.result[], p_last_places jsonb)
returns setof batches.provider_news
language sql immutable set search_path = '' as $$
  with results as (
    select * from unnest(p_results) where answerer is not null
  ), answers as (
    select provider, max(place) as last_place
    from (
      select key as provider, value::bigint as place from jsonb_each_text(p_last_places)
      union all
      select answerer, place from results where outcome = 'refused' or provider_answered
    ) as each
    group by provider
  ), troubles as (
    select answerer as provider,
      count(*) filter (where outcome = 'failed' and place > coalesce(last_place, 0))::integer as failures,
      bool_or(outcome = 'waiting') as asks_to_wait,
      max(wait_seconds) filter (where outcome = 'waiting') as wait_seconds,
      bool_or(provider_is_down) filter (where outcome = 'waiting') as is_down,
      (array_agg(reason order by place desc) filter (where outcome <> 'cut'))[1] as reason
    from results left join answers on answers.provider = answerer
    where outcome <> 'refused' and provider_answered is not true
    group by answerer
  )
  select provider, last_place is not null, coalesce(failures, 0), coalesce(asks_to_wait, false), wait_seconds,
    coalesce(is_down, false), reason
  from troubles full join answers using (provider);
$$;
comment on function batches.provider_news(batches.result[], jsonb) is
  'What results say of the providers. p_last_places {provider: place of its last answer}. Writes nothing.';

create function batches.breaker_after(
  p_provider public.batch_providers, p_news batches.provider_news, p_settings jsonb, p_now timestamptz
) returns public.batch_providers
language plpgsql stable set search_path = '' as $$
declare
  v_provider public.batch_providers := p_provider;
  v_failures_to_open integer := p_settings ->> 'failures_to_open';
  v_open_seconds integer := p_settings ->> 'open_seconds';
begin
  v_provider.failures_in_row := p_news.failures
    + case when p_news.has_answered then 0 else p_provider.failures_in_row end;
  -- Several calls at once that are told to wait are told one thing.
  if p_news.asks_to_wait and batches.breaker_state(p_provider, p_now) <> 'open' then
    v_provider.failures_in_row := v_provider.failures_in_row + 1;
  end if;
  -- A 503 with Retry-After opens the breaker at once.
  if p_news.is_down then
    v_provider.failures_in_row := greatest(v_provider.failures_in_row, v_failures_to_open);
  end if;
  if p_news.asks_to_wait then
    v_provider.open_until := greatest(p_provider.open_until,
      p_now + make_interval(secs => coalesce(p_news.wait_seconds, v_open_seconds)));
  elsif p_news.failures > 0 and (v_provider.failures_in_row >= v_failures_to_open
    or p_provider.open_until is not null and not p_news.has_answered) then
    v_provider.open_until := greatest(p_provider.open_until, p_now + make_interval(secs => v_open_seconds));
  elsif p_news.failures = 0 and p_news.has_answered then
    v_provider.open_until := null;
  end if;
  v_provider.last_error := coalesce(left(p_news.reason, 200), p_provider.last_error);
  return v_provider;
end;
$$;
comment on function batches.breaker_after(
  public.batch_providers, batches.provider_news, jsonb, timestamptz) is
  'The provider with its breaker as it is after that news: it opens after failures in a row or when one that tried '
    'the provider fails, stays open as long as the provider says, and closes when the provider answers. Writes '
    'nothing.';

create function batches.record_news(p_news batches.provider_news[], p_settings jsonb, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  with changed as materialized (
    select providers.name, batches.breaker_after(providers, news, p_settings, p_now) as after
    from public.batch_providers as providers join unnest(p_news) as news on news.provider = providers.name
    -- An answer changes nothing where the breaker is closed and no call failed.
    where news.failures > 0 or news.asks_to_wait or news.reason is not null
      or providers.failures_in_row > 0 or providers.open_until is not null
    order by providers.name
    for no key update of providers
  )
  update public.batch_providers as providers set
    failures_in_row = (after).failures_in_row, open_until = (after).open_until, last_error = (after).last_error,
    updated_at = p_now
  from changed where providers.name = changed.name;
end;
$$;
comment on function batches.record_news(batches.provider_news[], jsonb, timestamptz) is
  'Writes the breakers that news of providers changes, locked in the order of their names.';
