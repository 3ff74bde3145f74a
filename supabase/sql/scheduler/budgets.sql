-- Budgets of outside APIs: how many tokens an API grants in a span of time, counted as that API counts. Any number of
-- jobs and functions share one. A take is granted at once or answered with the moment from which it would be; it never
-- waits, so that it blocks no connection.

-- No check constraints: an update plans each of its table's anew, and with ten of them a take cost 2.1 times a bare
-- update instead of 1.6. Functions alone write here, and register_budget checks what it is given. Half of each page
-- stays free, so that a take finds room beside the row and touches no index.
create table public.scheduler_budgets (
  name text primary key,
  description text not null,
  tokens integer not null,
  per_seconds integer not null,
  window_kind text not null,
  taken_at timestamptz[] not null default '{-infinity}',
  taken_total bigint[] not null default '{0}',
  tokens_left integer not null,
  resets_at timestamptz,
  ahead_of timestamptz,
  reserved_until timestamptz,
  created_at timestamptz not null default now()
) with (fillfactor = 50);

comment on table public.scheduler_budgets is
  'One row a budget of an outside API, with its state. Written by scheduler.register_budget and the takes, never by '
    'hand.';
comment on column public.scheduler_budgets.tokens is 'How many may be taken in a span of per_seconds.';
comment on column public.scheduler_budgets.window_kind is
  'sliding: in any span of per_seconds. fixed: from a first take until resets_at, then anew.';
comment on column public.scheduler_budgets.taken_at is
  'Sliding: when tokens were taken, ascending. The first entry counts no more. From 92 entries on, a take within the '
    'same ninetieth of the span as the one before it becomes one with it, at the later time: that counts longer than '
    'it should and never shorter.';
comment on column public.scheduler_budgets.taken_total is
  'Sliding: how many had been taken in all at each moment of taken_at. The tokens of a span are the last total less '
    'that of its beginning.';
comment on column public.scheduler_budgets.tokens_left is 'Fixed: what is left of the window that is open.';
comment on column public.scheduler_budgets.resets_at is
  'Fixed: when the window that is open ends; null: none is, and the next take opens one.';
comment on column public.scheduler_budgets.ahead_of is
  'A time that the clock showed before it was set back; null when it was not. When it is reached again, what was '
    'taken meanwhile counts as taken then.';
comment on column public.scheduler_budgets.reserved_until is
  'The last deadline for which tokens were ever reserved: later than this, a take need not look for reservations.';

alter table public.scheduler_budgets enable row level security;
revoke all on public.scheduler_budgets from public, anon, authenticated, service_role;
grant select on public.scheduler_budgets to service_role;

create table scheduler.budget_reservations (
  budget text not null references public.scheduler_budgets (name) on delete cascade,
  job_name text not null check (job_name ~ '\S'),
  tokens integer not null check (tokens >= 1),
  tokens_left integer not null check (tokens_left between 1 and tokens),
  needed_by timestamptz not null check (isfinite(needed_by)),
  created_at timestamptz not null check (isfinite(created_at)),
  primary key (budget, job_name)
) with (fillfactor = 50);
alter table scheduler.budget_reservations enable row level security;
revoke all on scheduler.budget_reservations from public, anon, authenticated, service_role;

comment on table scheduler.budget_reservations is
  'Tokens that are kept for a job until it took them or needed_by has passed: one open reservation a budget and job. '
    'Read and written under the lock of the budget''s row.';

create function scheduler.refuse_unknown_budget(p_budget text) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'SD012', message = format('there is no budget named %L', p_budget),
    hint = format('the budgets are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_budgets));
end;
$$;
comment on function scheduler.refuse_unknown_budget(text) is
  'Raises SD012 and names the budgets there are: all that take the name of a budget say so in the same words.';

-- What a budget holds, and from when. These functions have no side effect, so tables of cases test them.

-- A clock that is set back must neither make takes vanish, for they would be granted twice, nor keep them for an hour
-- longer: they count as taken now. The clock may be set forth again, which looks like idle time: at the moment that it
-- showed before the jump, everything that is kept counts as taken then.
create function scheduler.budget_after_jump(p_budget public.scheduler_budgets, p_last timestamptz, p_now timestamptz)
returns public.scheduler_budgets
language plpgsql immutable set search_path = '' as $$
declare
  v_went_back constant boolean := p_last > p_now;
begin
  p_budget.ahead_of := case when v_went_back then greatest(p_budget.ahead_of, p_last) end;
  if p_budget.window_kind = 'fixed' then
    p_budget.resets_at := case when p_budget.resets_at is not null
      then p_now + make_interval(secs => p_budget.per_seconds) end;
    return p_budget;
  end if;
  select '{-infinity}' || coalesce(array_agg(at order by at), '{}'),
      p_budget.taken_total[1] || coalesce(array_agg(total order by at), '{}')
    into p_budget.taken_at, p_budget.taken_total
    from (
      select case when v_went_back then least(at, p_now) else p_now end as at, max(total) as total
      from unnest(p_budget.taken_at[2:], p_budget.taken_total[2:]) as takes (at, total) group by 1
    ) as counted;
  return p_budget;
end;
$$;
comment on function scheduler.budget_after_jump(public.scheduler_budgets, timestamptz, timestamptz) is
  'The budget after its clock jumped from p_last back to p_now, or reached p_now, which it showed before such a jump.';

create function scheduler.budget_at(p_budget public.scheduler_budgets, p_now timestamptz)
returns public.scheduler_budgets
language plpgsql immutable set search_path = '' as $$
declare
  v_span constant interval := make_interval(secs => p_budget.per_seconds);
  v_is_fixed constant boolean := p_budget.window_kind = 'fixed';
  v_last timestamptz := case when v_is_fixed then p_budget.resets_at - v_span
    else p_budget.taken_at[cardinality(p_budget.taken_at)] end;
  v_aged integer;
begin
  -- Up to a second is no jump: such a take has waited for the budget's row behind one that began later.
  if v_last > p_now + interval '1 second' or p_now >= p_budget.ahead_of then
    p_budget := scheduler.budget_after_jump(p_budget, v_last, p_now);
    v_last := least(v_last, p_now);
  end if;
  if not v_is_fixed then
    v_aged := width_bucket(greatest(p_now, v_last) - v_span, p_budget.taken_at);
    p_budget.taken_at := p_budget.taken_at[v_aged:];
    p_budget.taken_total := p_budget.taken_total[v_aged:];
    p_budget.tokens_left := greatest(0,
      p_budget.tokens - (p_budget.taken_total[cardinality(p_budget.taken_total)] - p_budget.taken_total[1]));
  elsif p_now >= p_budget.resets_at then
    p_budget.tokens_left := p_budget.tokens;
    p_budget.resets_at := null;
  end if;
  return p_budget;
end;
$$;
comment on function scheduler.budget_at(public.scheduler_budgets, timestamptz) is
  'The budget as it is at p_now: without takes that count no more and without a window that has ended. tokens_left is '
    'what it holds, for a sliding window too, those that are reserved among them.';

-- Sliding: (p_at, p_until] is k whole spans, counted back from p_until, and a rest. Each whole span grants the limit.
-- The rest and what was taken before it make up one more span, so it grants the limit less those takes. Taking all that
-- there is, as soon as it is there, reaches this bound, because every span is full from then on.
create function scheduler.budget_capacity(p_budget public.scheduler_budgets, p_until timestamptz, p_at timestamptz)
returns bigint
language plpgsql immutable set search_path = '' as $$
declare
  v_is_open constant boolean := p_budget.window_kind = 'fixed' and coalesce(p_budget.resets_at > p_at, false);
  -- Spans that begin with what can be taken at p_at, or with the end of the window that is open.
  v_spans constant bigint := greatest(0, 1 + floor(
    extract(epoch from p_until - case when v_is_open then p_budget.resets_at else p_at end) / p_budget.per_seconds));
begin
  if p_budget.window_kind = 'fixed' then
    return v_spans * p_budget.tokens + case when v_is_open then p_budget.tokens_left else 0 end;
  end if;
  return v_spans * p_budget.tokens - (p_budget.taken_total[cardinality(p_budget.taken_total)] - p_budget.taken_total[
    greatest(1, width_bucket(p_until - make_interval(secs => v_spans * p_budget.per_seconds), p_budget.taken_at))]);
end;
$$;
comment on function scheduler.budget_capacity(public.scheduler_budgets, timestamptz, timestamptz) is
  'The most that can be taken from p_at, at which the budget is as given, until p_until, both included.';

-- A take may leave no reservation worse off than the budget can make good: what all reservations up to a deadline still
-- want must fit into the capacity until then. What a job takes of its own reservation leaves that sum alike for
-- deadlines from its own on, so only earlier ones can refuse it.
create function scheduler.reservation_in_the_way(
  p_budget public.scheduler_budgets, p_reservations scheduler.budget_reservations[], p_tokens integer, p_job_name text,
  p_at timestamptz
) returns timestamptz
language sql immutable set search_path = '' as $$
  with reservations as (
    select job_name, needed_by, sum(tokens_left) over (order by needed_by) as wanted
    from unnest(p_reservations) where needed_by >= p_at
  ), own as (
    select needed_by, least(tokens_left, p_tokens) as tokens
    from unnest(p_reservations) where needed_by >= p_at and job_name = p_job_name
  )
  select case when bool_or(p_tokens > coalesce(own.tokens, 0) and wanted - coalesce(own.tokens, 0) >
      scheduler.budget_capacity(p_budget, reservations.needed_by, p_at) - p_tokens)
    then min(reservations.needed_by) end
  from reservations left join own on own.needed_by <= reservations.needed_by;
$$;
comment on function scheduler.reservation_in_the_way(
  public.scheduler_budgets, scheduler.budget_reservations[], integer, text, timestamptz) is
  'Null when all reservations can still be met after the job (or null) took so many tokens at p_at; else the first '
    'deadline, because until then that can only become worse.';

create function scheduler.budget_opens_at(
  p_budget public.scheduler_budgets, p_reservations scheduler.budget_reservations[], p_tokens integer, p_job_name text,
  p_now timestamptz
) returns timestamptz
language plpgsql immutable set search_path = '' as $$
declare
  v_count constant integer := cardinality(p_budget.taken_at);
  -- A take that waited for the row behind a later one is as late as that one.
  v_now constant timestamptz := greatest(p_now, p_budget.taken_at[v_count]);
  v_at timestamptz := v_now;
  v_deadline timestamptz;
begin
  if p_tokens > p_budget.tokens_left then
    -- The first entry after which so few tokens count that these fit in.
    v_at := case when p_budget.window_kind = 'fixed' then p_budget.resets_at
      else p_budget.taken_at[1 + width_bucket(
        p_budget.taken_total[v_count] + p_tokens - p_budget.tokens - 1, p_budget.taken_total)]
        + make_interval(secs => p_budget.per_seconds) end;
    -- Clients count in milliseconds, and must not come a little too early.
    v_at := date_trunc('milliseconds', v_at + interval '999 microseconds');
  end if;
  while p_reservations <> '{}' loop
    v_deadline := scheduler.reservation_in_the_way(p_budget, p_reservations, p_tokens, p_job_name, v_at);
    exit when v_deadline is null;
    v_at := date_trunc('milliseconds', v_deadline) + interval '1 millisecond';
  end loop;
  return nullif(v_at, v_now);
end;
$$;
comment on function scheduler.budget_opens_at(
  public.scheduler_budgets, scheduler.budget_reservations[], integer, text, timestamptz) is
  'Null when the job (or null) may take so many tokens of the budget now, which is as budget_at gives it at p_now; '
    'else the first moment at which it may if nobody takes any before. p_tokens is at most the budget''s limit.';

create function scheduler.budget_with_merged_takes(p_budget public.scheduler_budgets) returns public.scheduler_budgets
language plpgsql immutable set search_path = '' as $$
begin
  select p_budget.taken_at[1] || array_agg(at order by at), p_budget.taken_total[1] || array_agg(total order by at)
    into p_budget.taken_at, p_budget.taken_total
    from (
      select max(at) as at, max(total) as total
      from unnest(p_budget.taken_at[2:], p_budget.taken_total[2:]) as takes (at, total)
      group by date_bin(make_interval(secs => p_budget.per_seconds / 90.0), at, '2000-01-01 00:00+00')
    ) as merged;
  return p_budget;
end;
$$;
comment on function scheduler.budget_with_merged_takes(public.scheduler_budgets) is
  'The budget with one entry for each ninetieth of its span in which tokens were taken, at the time of the last take.';

create function scheduler.budget_after_take(p_budget public.scheduler_budgets, p_tokens integer, p_at timestamptz)
returns public.scheduler_budgets
language plpgsql immutable set search_path = '' as $$
declare
  v_cell constant interval := make_interval(secs => p_budget.per_seconds / 90.0);
  v_kept integer;
  v_total bigint;
begin
  p_budget.tokens_left := p_budget.tokens_left - p_tokens;
  if p_budget.window_kind = 'fixed' then
    p_budget.resets_at := coalesce(p_budget.resets_at, p_at + make_interval(secs => p_budget.per_seconds));
    return p_budget;
  end if;
  if cardinality(p_budget.taken_at) >= 104 then
    p_budget := scheduler.budget_with_merged_takes(p_budget);
  end if;
  v_kept := cardinality(p_budget.taken_at);
  v_total := p_budget.taken_total[v_kept] + p_tokens;
  if v_kept >= 92 and date_bin(v_cell, p_at, '2000-01-01 00:00+00')
    = date_bin(v_cell, p_budget.taken_at[v_kept], '2000-01-01 00:00+00') then
    v_kept := v_kept - 1;
  end if;
  p_budget.taken_at := p_budget.taken_at[:v_kept] || p_at;
  p_budget.taken_total := p_budget.taken_total[:v_kept] || v_total;
  return p_budget;
end;
$$;
comment on function scheduler.budget_after_take(public.scheduler_budgets, integer, timestamptz) is
  'The budget, which is as budget_at gives it at p_at, after a take of so many tokens.';

-- The verbs.

create function scheduler.registered_values(p_budget public.scheduler_budgets) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('tokens', p_budget.tokens, 'per_seconds', p_budget.per_seconds,
    'window_kind', p_budget.window_kind, 'description', p_budget.description)
  where p_budget.name is not null;
$$;
comment on function scheduler.registered_values(public.scheduler_budgets) is
  'What a budget was registered with; null of no budget.';

create function scheduler.register_budget(
  name text, tokens integer, per interval, window_kind text default 'sliding', description text default ''
) returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  v_seconds numeric := extract(epoch from register_budget.per);
  v_old public.scheduler_budgets;
  v_fault text;
begin
  v_fault := case
    when (register_budget.name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is not true
      then format('cannot register a budget: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, '
        'got %s', coalesce(quote_literal(register_budget.name), 'null'))
    when (register_budget.tokens between 1 and 1000000000) is not true
      then format('tokens must be from 1 to 1000000000, got %s', coalesce(register_budget.tokens::text, 'null'))
    -- A month is no fixed time.
    when (isfinite(register_budget.per) and v_seconds between 1 and 31622400 and v_seconds = trunc(v_seconds)
        and extract(year from register_budget.per) = 0 and extract(month from register_budget.per) = 0) is not true
      then format('per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got %s',
        coalesce(quote_literal(register_budget.per), 'null'))
    when (register_budget.window_kind in ('sliding', 'fixed')) is not true
      then format('window_kind must be ''sliding'' or ''fixed'', got %s',
        coalesce(quote_literal(register_budget.window_kind), 'null'))
    when register_budget.description is null then 'description must be a text, got null'
    else (
      select format('tokens must be at least %s, which the job %s needs at once, got %s', jobs.budgets
        ->> register_budget.name, jobs.name, register_budget.tokens)
      from public.scheduler_jobs as jobs
      where (jobs.budgets ->> register_budget.name)::integer > register_budget.tokens
      order by (jobs.budgets ->> register_budget.name)::integer desc limit 1)
  end;
  if v_fault is not null then
    raise exception using errcode = '22023', message = case when v_fault like 'cannot %' then v_fault
      else format('cannot register the budget %s: %s', register_budget.name, v_fault) end;
  end if;
  select * into v_old from public.scheduler_budgets where name = register_budget.name for no key update;
  insert into public.scheduler_budgets as budgets (name, tokens, per_seconds, window_kind, description, tokens_left)
    values (register_budget.name, register_budget.tokens, v_seconds::integer, register_budget.window_kind,
      register_budget.description, register_budget.tokens)
    on conflict (name) do update set
      tokens = excluded.tokens, per_seconds = excluded.per_seconds, window_kind = excluded.window_kind,
      description = excluded.description,
      -- What was taken of the open window stays taken.
      tokens_left = case when budgets.window_kind = excluded.window_kind
        then least(greatest(excluded.tokens - (budgets.tokens - budgets.tokens_left), 0), excluded.tokens)
        else excluded.tokens end,
      resets_at = case when budgets.window_kind = excluded.window_kind and budgets.resets_at is not null
        then least(budgets.resets_at, now() + register_budget.per) end
      where (budgets.tokens, budgets.per_seconds, budgets.window_kind, budgets.description)
        is distinct from (excluded.tokens, excluded.per_seconds, excluded.window_kind, excluded.description);
  if found then
    perform scheduler.wake_for_budget(register_budget.name);
    perform scheduler.audit_registration('register_budget', 'budget', register_budget.name,
      scheduler.registered_values(v_old), scheduler.registered_values(budgets))
      from public.scheduler_budgets as budgets where name = register_budget.name;
  end if;
end;
$$;
comment on function scheduler.register_budget(text, integer, interval, text, text) is
  'Registers a budget, or changes it to exactly these values: so many tokens in any span of per (sliding), or from a '
    'first take until per later or the reset that the API reports (fixed). What was taken stays taken, unless '
    'window_kind changes. Raises 22023 for a wrong argument.';

create function scheduler.wake_for_budget(p_budget text) returns void
language sql set search_path = '' as $$
  select scheduler.wake_jobs(array(
    select name from public.scheduler_jobs where budgets ? p_budget order by name), 'epoch');
$$;
comment on function scheduler.wake_for_budget(text) is
  'Has the next pulse look at the jobs that are registered with the budget: it has more tokens than they were told.';

create function scheduler.unregister_budget(p_budget text) returns void
language plpgsql set search_path = '' as $$
declare
  v_jobs constant text := (
    select string_agg(name, ', ' order by name) from public.scheduler_jobs where budgets ? p_budget);
  v_budget public.scheduler_budgets;
begin
  if v_jobs is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the budget %s out: it has jobs: %s', p_budget, v_jobs),
      hint = 'register them without it in budgets';
  end if;
  delete from public.scheduler_budgets where name = p_budget returning * into v_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.audit_registration('unregister_budget', 'budget', p_budget, scheduler.registered_values(v_budget),
    null);
end;
$$;
comment on function scheduler.unregister_budget(text) is
  'Deletes a budget with its reservations; functions that take of it fail from then on. Raises SD205 while jobs are '
    'registered with it; SD012 for an unknown budget.';

create function scheduler.refill_budget(p_budget text, p_author text, p_now timestamptz default null) returns void
language plpgsql set search_path = '' as $$
begin
  perform scheduler.assert_given(format('refill %s', p_budget), 'author',
    format('select scheduler.refill_budget(%L, ''who'')', p_budget), p_author);
  update public.scheduler_budgets
    set taken_at = default, taken_total = default, tokens_left = tokens, resets_at = null, ahead_of = null
    where name = p_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.wake_for_budget(p_budget);
  perform scheduler.audit('refill_budget', 'budget', p_budget, null, p_author, null, null,
    coalesce(p_now, clock_timestamp()));
  perform scheduler.log_activity(p_budget, format('the budget was refilled by %s', btrim(p_author)),
    p_now => coalesce(p_now, clock_timestamp()));
end;
$$;
comment on function scheduler.refill_budget(text, text, timestamptz) is
  'Forgets what was taken of a budget, for an operator who knows that the API counts from nothing again. Reservations '
    'stay. Raises SD012 for an unknown budget; 22023 for a missing author.';

create function scheduler.assert_tokens(p_budget public.scheduler_budgets, p_tokens integer, p_now timestamptz)
returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_fault constant text := case
    when (p_tokens between 1 and p_budget.tokens) is not true
      then format('tokens must be from 1 to %s, which is all that it ever holds, got %s', p_budget.tokens,
        coalesce(p_tokens::text, 'null'))
    when isfinite(p_now) is not true then format('now must be a moment, got %s', coalesce(p_now::text, 'null')) end;
begin
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot take of the budget %s: %s', p_budget.name, v_fault);
  end if;
end;
$$;
comment on function scheduler.assert_tokens(public.scheduler_budgets, integer, timestamptz) is
  'Raises 22023 for a number of tokens that can never be taken at once.';

create function scheduler.lock_budget(p_budget text) returns public.scheduler_budgets
language plpgsql set search_path = '' as $$
declare
  v_budget public.scheduler_budgets;
begin
  select * into v_budget from public.scheduler_budgets where name = p_budget for no key update;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  return v_budget;
end;
$$;
comment on function scheduler.lock_budget(text) is 'The budget''s row, locked. Raises SD012 when it is unknown.';

create function scheduler.write_budget(p_budget public.scheduler_budgets) returns void
language plpgsql set search_path = '' as $$
begin
  update public.scheduler_budgets set
    taken_at = p_budget.taken_at, taken_total = p_budget.taken_total, tokens_left = p_budget.tokens_left,
    resets_at = p_budget.resets_at, ahead_of = p_budget.ahead_of
    where name = p_budget.name;
end;
$$;
comment on function scheduler.write_budget(public.scheduler_budgets) is
  'Writes a budget''s state; the caller holds its row lock.';

create function scheduler.open_reservations(p_budget public.scheduler_budgets, p_now timestamptz)
returns scheduler.budget_reservations[]
language plpgsql stable set search_path = '' as $$
begin
  return case when p_budget.reserved_until >= p_now then (
    select coalesce(array_agg(reservations), '{}') from scheduler.budget_reservations as reservations
    where budget = p_budget.name and needed_by >= p_now) else '{}' end;
end;
$$;
comment on function scheduler.open_reservations(public.scheduler_budgets, timestamptz) is
  'The reservations of a budget that still hold tokens for their jobs.';

create function scheduler.take_under_lock(p_budget text, p_tokens integer, p_job_name text, p_now timestamptz)
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_found public.scheduler_budgets := scheduler.lock_budget(p_budget);
  -- Read under the lock, so that takes are in the order of their times.
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_budget public.scheduler_budgets := scheduler.budget_at(v_found, v_now);
  v_from timestamptz;
begin
  perform scheduler.assert_tokens(v_budget, p_tokens, v_now);
  v_now := greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]);
  v_from := scheduler.budget_opens_at(
    v_budget, scheduler.open_reservations(v_budget, v_now), p_tokens, p_job_name, v_now);
  if v_from is not null then
    -- What a jump of the clock has changed is kept, so that it counts from now on.
    if (v_budget.ahead_of, v_budget.taken_at[cardinality(v_budget.taken_at)], v_budget.resets_at) is distinct from
      (v_found.ahead_of, v_found.taken_at[cardinality(v_found.taken_at)], v_found.resets_at) then
      perform scheduler.write_budget(v_budget);
    end if;
    return jsonb_build_object('granted', false, 'from', v_from,
      'wait_ms', ceil(extract(epoch from v_from - v_now) * 1000));
  end if;
  v_budget := scheduler.budget_after_take(v_budget, p_tokens, v_now);
  perform scheduler.write_budget(v_budget);
  if v_budget.reserved_until >= v_now and p_job_name is not null then
    delete from scheduler.budget_reservations
      where budget = p_budget and job_name = p_job_name and tokens_left <= p_tokens;
    update scheduler.budget_reservations set tokens_left = tokens_left - p_tokens
      where budget = p_budget and job_name = p_job_name;
  end if;
  return jsonb_build_object('granted', true, 'left', v_budget.tokens_left);
end;
$$;
comment on function scheduler.take_under_lock(text, integer, text, timestamptz) is
  'What take_tokens does, in all cases. Raises SD012 for an unknown budget; 22023 for a number that it never holds.';

create function scheduler.take_tokens(
  p_budget text, p_tokens integer, p_job_name text default null, p_now timestamptz default null
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
  v_left integer;
begin
  -- The usual take is one statement, which decides as take_under_lock does: no jump of the clock, no reservation,
  -- nothing to merge, and enough left. Without it a take cost four times the bare update of a row on the server.
  update public.scheduler_budgets set
    taken_at = case window_kind when 'sliding' then taken_at[width_bucket(
        greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)
      :cardinality(taken_at) - (cardinality(taken_at) >= 92
        and date_bin(make_interval(secs => per_seconds / 90.0), taken_at[cardinality(taken_at)], '2000-01-01 00:00+00')
        = date_bin(make_interval(secs => per_seconds / 90.0), greatest(v_now, taken_at[cardinality(taken_at)]),
          '2000-01-01 00:00+00'))::integer]
      || greatest(v_now, taken_at[cardinality(taken_at)]) else taken_at end,
    taken_total = case window_kind when 'sliding' then taken_total[width_bucket(
        greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)
      :cardinality(taken_at) - (cardinality(taken_at) >= 92
        and date_bin(make_interval(secs => per_seconds / 90.0), taken_at[cardinality(taken_at)], '2000-01-01 00:00+00')
        = date_bin(make_interval(secs => per_seconds / 90.0), greatest(v_now, taken_at[cardinality(taken_at)]),
          '2000-01-01 00:00+00'))::integer]
      || taken_total[cardinality(taken_total)] + p_tokens else taken_total end,
    tokens_left = case window_kind when 'sliding' then tokens_left else tokens_left - p_tokens end
    where name = p_budget and p_tokens >= 1 and isfinite(v_now) and ahead_of is null
      and (reserved_until is null or reserved_until < v_now)
      and case window_kind
        when 'sliding' then cardinality(taken_at) < 104
          and taken_at[cardinality(taken_at)] <= v_now + interval '1 second'
          and taken_total[cardinality(taken_total)] + p_tokens - taken_total[width_bucket(
            greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)] <= tokens
        else v_now < resets_at and resets_at <= v_now + make_interval(secs => per_seconds + 1)
          and p_tokens <= tokens_left end
    returning case window_kind
      when 'sliding' then tokens - (taken_total[cardinality(taken_total)] - taken_total[1]) else tokens_left end
    into v_left;
  if found then
    return jsonb_build_object('granted', true, 'left', v_left);
  end if;
  return scheduler.take_under_lock(p_budget, p_tokens, p_job_name, p_now);
end;
$$;
comment on function scheduler.take_tokens(text, integer, text, timestamptz) is
  'Takes tokens of a budget for the job named, or (null) for nobody''s reservation: {"granted": true, "left"}, or '
    '{"granted": false, "from", "wait_ms"}: the moment from which it is granted if nobody takes any before, and how '
    'long that is. It never waits for tokens. Without p_now the clock is read under the lock. Raises SD012 for an '
    'unknown budget; 22023 for a number that can never be taken.';

create function scheduler.budget_open(
  p_budget text, p_tokens integer, p_job_name text default null, p_now timestamptz default now()
) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_budget public.scheduler_budgets;
begin
  select * into v_budget from public.scheduler_budgets where name = p_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.assert_tokens(v_budget, p_tokens, p_now);
  v_budget := scheduler.budget_at(v_budget, p_now);
  return coalesce(scheduler.budget_opens_at(
    v_budget, scheduler.open_reservations(v_budget, p_now), p_tokens, p_job_name, p_now), p_now);
end;
$$;
comment on function scheduler.budget_open(text, integer, text, timestamptz) is
  'When the job (or null) could take so many tokens if nobody takes any before: p_now, or later. It writes and locks '
    'nothing. Raises SD012 for an unknown budget; 22023 for a number that can never be taken.';

-- What a job could reserve: of each deadline from p_by on, what the capacity until then leaves of what others have
-- reserved until then.
create function scheduler.reservable(
  p_budget public.scheduler_budgets, p_reservations scheduler.budget_reservations[], p_job_name text, p_by timestamptz,
  p_now timestamptz
) returns bigint
language sql immutable set search_path = '' as $$
  select greatest(0, min(scheduler.budget_capacity(p_budget, deadline, p_now) - (
    select coalesce(sum(tokens_left), 0) from unnest(p_reservations)
    where job_name <> p_job_name and needed_by between p_now and deadline)))
  from (
    select p_by as deadline
    union select needed_by from unnest(p_reservations) where job_name <> p_job_name and needed_by >= p_by
  ) as deadlines;
$$;
comment on function scheduler.reservable(
  public.scheduler_budgets, scheduler.budget_reservations[], text, timestamptz, timestamptz) is
  'How many tokens the job can have reserved until p_by at the most, instead of what it has reserved, so that all '
    'other reservations can still be met.';

create function scheduler.reserve_tokens(
  p_budget text, p_tokens integer, p_by timestamptz, p_job_name text, p_now timestamptz default null
) returns void
language plpgsql set search_path = '' as $$
declare
  v_budget public.scheduler_budgets := scheduler.lock_budget(p_budget);
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_possible bigint;
  v_fault text;
begin
  v_fault := case
    when (p_tokens between 1 and 1000000000) is not true
      then format('tokens must be from 1 to 1000000000, got %s', coalesce(p_tokens::text, 'null'))
    when (p_by > v_now and p_by <= v_now + interval '366 days') is not true
      then format('by must be a moment of the next 366 days, got %s', coalesce(p_by::text, 'null'))
    when (p_job_name ~ '\S') is not true then 'the name of the job must be given' end;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot reserve of the budget %s: %s', p_budget, v_fault);
  end if;
  v_budget := scheduler.budget_at(v_budget, v_now);
  v_now := greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]);
  v_possible := scheduler.reservable(
    v_budget, scheduler.open_reservations(v_budget, v_now), p_job_name, greatest(p_by, v_now), v_now);
  if p_tokens > v_possible then
    raise exception using errcode = 'SD206',
      message = format('cannot reserve %s tokens of the budget %s for %s until %s: at most %s are possible', p_tokens,
        p_budget, p_job_name, p_by, v_possible),
      hint = 'ask for fewer, or for a later moment';
  end if;
  insert into scheduler.budget_reservations as reservations
      (budget, job_name, tokens, tokens_left, needed_by, created_at)
    values (p_budget, p_job_name, p_tokens, p_tokens, p_by, v_now)
    on conflict (budget, job_name) do update set tokens = excluded.tokens, tokens_left = excluded.tokens_left,
      needed_by = excluded.needed_by, created_at = excluded.created_at;
  update public.scheduler_budgets set reserved_until = greatest(reserved_until, p_by) where name = p_budget;
end;
$$;
comment on function scheduler.reserve_tokens(text, integer, timestamptz, text, timestamptz) is
  'Keeps so many tokens from everybody else until the job took them or p_by has passed, instead of what the job had '
    'reserved before. Raises SD012 for an unknown budget; SD206, with the number that is possible, when that many '
    'cannot be had until then beside what others have reserved; 22023 for a wrong argument.';

create function scheduler.release_reservation(p_budget text, p_job_name text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform scheduler.lock_budget(p_budget);
  delete from scheduler.budget_reservations where budget = p_budget and job_name = p_job_name;
  if not found then
    return false;
  end if;
  perform scheduler.wake_for_budget(p_budget);
  return true;
end;
$$;
comment on function scheduler.release_reservation(text, text) is
  'Gives back what a job has reserved of a budget and not taken. False when that was nothing. Raises SD012 for an '
    'unknown budget.';

-- What the API says of itself corrects ours downwards only: somebody else spends of it too, or its limit is lower. That
-- it says more than we think proves nothing: tokens that were granted and of which the call is still under way are not
-- in its figure. Only a window of its own that has begun anew (fixed) brings more.
create function scheduler.budget_after_report(
  p_budget public.scheduler_budgets, p_left integer, p_resets_at timestamptz, p_now timestamptz
) returns public.scheduler_budgets
language plpgsql immutable set search_path = '' as $$
declare
  v_span constant interval := make_interval(secs => p_budget.per_seconds);
  -- Nobody waits longer than a span for what one header said.
  v_resets_at constant timestamptz := case when p_resets_at > p_now + v_span then p_now + v_span else p_resets_at end;
  v_taken_at constant timestamptz := coalesce(v_resets_at, p_now + v_span) - v_span;
  v_missing constant integer := p_budget.tokens_left - p_left;
  v_place integer;
begin
  if p_resets_at <= p_now then
    return p_budget;  -- What it says is over.
  elsif p_budget.window_kind = 'fixed' then
    -- Two windows that contain p_now are one, unless ours was to end half a span before the API's: that was another.
    p_budget.tokens_left := case
      when p_budget.resets_at is null or v_resets_at >= p_budget.resets_at + v_span / 2
        then least(p_left, p_budget.tokens)
      else least(p_left, p_budget.tokens_left) end;
    p_budget.resets_at := coalesce(v_resets_at, p_budget.resets_at, p_now + v_span);
  elsif v_missing > 0 then
    if cardinality(p_budget.taken_at) >= 104 then
      p_budget := scheduler.budget_with_merged_takes(p_budget);
    end if;
    v_place := greatest(1, width_bucket(v_taken_at, p_budget.taken_at));
    p_budget.taken_at := p_budget.taken_at[:v_place] || v_taken_at || p_budget.taken_at[v_place + 1:];
    p_budget.taken_total := p_budget.taken_total[:v_place] || array(
      select total + v_missing from unnest(p_budget.taken_total[v_place:]) with ordinality as totals (total, place)
      order by place);
    p_budget.tokens_left := p_left;
  end if;
  return p_budget;
end;
$$;
comment on function scheduler.budget_after_report(public.scheduler_budgets, integer, timestamptz, timestamptz) is
  'The budget, which is as budget_at gives it at p_now, after its API said how many are left until it resets (null: '
    'not known). Sliding: what the API misses counts as one take that is free again at the reset. Fixed: the reset is '
    'the API''s, the tokens are the fewer of the two, or the API''s in a new window.';

create function scheduler.report_budget(
  p_budget text, p_left integer, p_resets_at timestamptz default null, p_now timestamptz default null
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_budget public.scheduler_budgets := scheduler.lock_budget(p_budget);
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_fault constant text := case
    when (p_left >= 0) is not true then format('left must be from 0 on, got %s', coalesce(p_left::text, 'null'))
    when not isfinite(p_resets_at) then format('resets_at must be a moment or null, got %s', p_resets_at) end;
begin
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot report of the budget %s: %s', p_budget, v_fault);
  end if;
  v_budget := scheduler.budget_at(v_budget, v_now);
  v_budget := scheduler.budget_after_report(v_budget, p_left, p_resets_at,
    greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]));
  perform scheduler.write_budget(v_budget);
  return v_budget.tokens_left;
end;
$$;
comment on function scheduler.report_budget(text, integer, timestamptz, timestamptz) is
  'Corrects a budget by what its API says: how many are left, and when it resets (null: not said). It never gives '
    'more than was thought to be left, except in a new window of a fixed budget. Returns what is left now. Raises '
    'SD012 for an unknown budget; 22023 for a wrong argument.';

create function scheduler.budget_hold(p_job public.scheduler_jobs, p_now timestamptz) returns scheduler.hold
language plpgsql stable set search_path = '' as $$
declare
  v_hold scheduler.hold;
begin
  select 'budget', name, opens_at, null into v_hold
    from jsonb_each_text(p_job.budgets) as needed (name, tokens),
      lateral scheduler.budget_open(name, tokens::integer, p_job.name, p_now) as opens_at
    where opens_at > p_now
    order by opens_at desc, name limit 1;
  return v_hold;
end;
$$;
comment on function scheduler.budget_hold(public.scheduler_jobs, timestamptz) is
  'A hold until all budgets that the job is registered with have their tokens free, by the one that has them last; '
    'null when all have. It takes none: a function takes what it needs.';

-- A transaction that holds many jobs must not wait for a budget's row: a run that meets one that is being taken of
-- waits for the pulse.
create function scheduler.take_for_url(p_job public.scheduler_jobs, p_now timestamptz) returns scheduler.hold
language plpgsql set search_path = '' as $$
declare
  v_hold scheduler.hold := scheduler.budget_hold(p_job, p_now);
begin
  if v_hold.kind is not null then
    return v_hold;
  end if;
  if cardinality(array(
    select name from public.scheduler_budgets where p_job.budgets ? name for update skip locked)) < (
    select count(*) from jsonb_object_keys(p_job.budgets)) then
    return ('budget', (select min(name) from jsonb_object_keys(p_job.budgets) as name), p_now,
      null)::scheduler.hold;
  end if;
  v_hold := scheduler.budget_hold(p_job, p_now);
  if v_hold.kind is null then
    perform scheduler.take_tokens(name, tokens::integer, p_job.name, p_now)
      from jsonb_each_text(p_job.budgets) as needed (name, tokens);
  end if;
  return v_hold;
end;
$$;
comment on function scheduler.take_for_url(public.scheduler_jobs, timestamptz) is
  'Takes the tokens of a job whose target is a URL, which takes none itself; the hold, and nothing taken, where they '
    'are not free.';

create function scheduler.budgets_fault(p_budgets jsonb) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_needed record;
begin
  if jsonb_typeof(p_budgets) <> 'object' then
    return format('budgets must be a JSON object {budget: tokens}, got %s', left(p_budgets::text, 100));
  end if;
  for v_needed in
    select key as name, value, tokens from jsonb_each(p_budgets) left join public.scheduler_budgets on name = key
    order by key
  loop
    if v_needed.tokens is null then
      return format('there is no budget named %L: register it with scheduler.register_budget', v_needed.name);
    elsif v_needed.value::text !~ '^[0-9]{1,9}$' or v_needed.value::text::integer not between 1 and v_needed.tokens then
      return format('budgets: the tokens of %s must be from 1 to %s, got %s', v_needed.name, v_needed.tokens,
        left(v_needed.value::text, 40));
    end if;
  end loop;
  return null;
end;
$$;
comment on function scheduler.budgets_fault(jsonb) is
  'The first thing that is wrong with the budgets of a job; null when nothing is.';

create function scheduler.budget_states(p_now timestamptz default now())
returns table (budget text, tokens integer, tokens_left integer, reserved bigint)
language sql stable set search_path = '' as $$
  select budgets.name, budgets.tokens, (scheduler.budget_at(budgets, p_now)).tokens_left, (
    select coalesce(sum(reservations.tokens_left), 0)::bigint from scheduler.budget_reservations as reservations
    where reservations.budget = budgets.name and reservations.needed_by >= p_now)
  from public.scheduler_budgets as budgets order by budgets.name;
$$;
comment on function scheduler.budget_states(timestamptz) is
  'What each budget holds now: its limit, what is left of it, and how much jobs have reserved and not taken.';

-- What a run takes, it takes for its job.

create function scheduler.job_of_run(p_run_id uuid) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_job_name text;
begin
  select job_name into v_job_name from public.scheduler_runs where id = p_run_id;
  if not found then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null'));
  end if;
  return v_job_name;
end;
$$;
comment on function scheduler.job_of_run(uuid) is 'The name of the run''s job. Raises SD002 when there is no such run.';

create function scheduler.take_tokens_for_run(
  p_run_id uuid, p_budget text, p_tokens integer, p_now timestamptz default null
) returns jsonb
language plpgsql set search_path = '' as $$
begin
  return scheduler.take_tokens(p_budget, p_tokens, scheduler.job_of_run(p_run_id), p_now);
end;
$$;
comment on function scheduler.take_tokens_for_run(uuid, text, integer, timestamptz) is
  'take_tokens for the job of a run. Raises SD002 for an unknown run, and what take_tokens raises.';

create function scheduler.reserve_tokens_for_run(
  p_run_id uuid, p_budget text, p_tokens integer, p_by timestamptz, p_now timestamptz default null
) returns void
language plpgsql set search_path = '' as $$
begin
  perform scheduler.reserve_tokens(p_budget, p_tokens, p_by, scheduler.job_of_run(p_run_id), p_now);
end;
$$;
comment on function scheduler.reserve_tokens_for_run(uuid, text, integer, timestamptz, timestamptz) is
  'reserve_tokens for the job of a run. Raises SD002 for an unknown run, and what reserve_tokens raises.';

-- The doors for edge functions. Security definer because service_role, which calls them through REST, has no right in
-- the private schema and may only read the budgets.

create function public.scheduler_take_tokens(p_run_id uuid, p_budget text, p_tokens integer)
returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.take_tokens_for_run(p_run_id, p_budget, p_tokens);
$$;
comment on function public.scheduler_take_tokens(uuid, text, integer) is
  'scheduler.take_tokens_for_run for edge functions.';

create function public.scheduler_reserve_tokens(p_run_id uuid, p_budget text, p_tokens integer, p_by timestamptz)
returns void language sql security definer set search_path = '' as $$
  select scheduler.reserve_tokens_for_run(p_run_id, p_budget, p_tokens, p_by);
$$;
comment on function public.scheduler_reserve_tokens(uuid, text, integer, timestamptz) is
  'scheduler.reserve_tokens_for_run for edge functions.';

create function public.scheduler_report_budget(p_budget text, p_left integer, p_resets_at timestamptz default null)
returns integer language sql security definer set search_path = '' as $$
  select scheduler.report_budget(p_budget, p_left, p_resets_at);
$$;
comment on function public.scheduler_report_budget(text, integer, timestamptz) is
  'scheduler.report_budget for edge functions.';

revoke all on function public.scheduler_take_tokens(uuid, text, integer) from public, anon, authenticated;
revoke all on function
  public.scheduler_reserve_tokens(uuid, text, integer, timestamptz)
from public, anon, authenticated;
revoke all on function public.scheduler_report_budget(text, integer, timestamptz) from public, anon, authenticated;
grant execute on function public.scheduler_take_tokens(uuid, text, integer) to service_role;
grant execute on function public.scheduler_reserve_tokens(uuid, text, integer, timestamptz) to service_role;
grant execute on function public.scheduler_report_budget(text, integer, timestamptz) to service_role;
