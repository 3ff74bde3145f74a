-- A provider's breaker, one for all processors. Closed: calls go. Open: none goes, until open_until. Half-open: one
-- call tries whether the provider is back, and is given until probe_until.

create function batches.breaker_state(p_provider public.batch_providers, p_now timestamptz) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_provider.open_until is null then 'closed'
    when p_provider.open_until > p_now then 'open'
    else 'half-open' end;
$$;
comment on function batches.breaker_state(public.batch_providers, timestamptz) is
  'closed, open or half-open: the state of a provider''s breaker at that moment.';

create function batches.lock_half_open(p_provider text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  -- Without waiting: the locks of providers are waited for in the order of their names alone.
  perform from public.batch_providers as providers
    where name = p_provider and enabled and batches.breaker_state(providers, p_now) = 'half-open'
      and coalesce(probe_until <= p_now, true)
    for no key update skip locked;
  return found;
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
  p_providers public.batch_providers[], p_failures_to_open integer, p_now timestamptz
) returns setof batches.route
-- In plpgsql its plan is kept.
language plpgsql stable set search_path = '' as $$
begin
  return query
  with breakers as materialized (
    select providers.*, batches.breaker_state(providers, p_now) as state from unnest(p_providers) as providers
  ), providers as (
    select breakers.*,
      enabled and (state = 'closed' or state = 'half-open' and coalesce(probe_until <= p_now, true)) as takes_calls,
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
      case when own_cannot then other.callable_at else own.callable_at end as callable_at
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
comment on function batches.routes(public.batch_providers[], integer, timestamptz) is
  'Who answers each provider''s tasks now, by place: itself, then its fall-back when the breaker is open because the '
    'provider is down, then nobody. Writes nothing.';
