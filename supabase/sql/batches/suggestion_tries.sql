-- What the weekly suggestions may cost. A try is recorded before the model is asked, so that neither a missing answer
-- nor a run that dies is paid for again and again.

create table batches.suggestion_tries (
  organization_id uuid primary key references public.organizations (id) on delete cascade,
  week date not null check (isfinite(week)),
  tries integer not null check (tries between 1 and 3),
  tried_at timestamptz not null check (isfinite(tried_at))
);
alter table batches.suggestion_tries enable row level security;
revoke all on batches.suggestion_tries from public, anon, authenticated, service_role;
comment on table batches.suggestion_tries is
  'How often the model was asked for an organization''s suggestions in the week that was tried last: at most three '
    'times, six hours apart.';

-- A mark only goes forward: with one of a far week an organization would get no more suggestions.
create function batches.assert_suggestion_week(p_week date, p_now timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
begin
  -- No zone is ahead of UTC by more than 14 hours.
  if extract(isodow from p_week) is distinct from 1 or p_week > ((p_now + interval '14 hours') at time zone 'UTC')::date
    then
    raise exception using errcode = '22023',
      message = format('the week of suggestions must be a Monday that has begun, got %s', coalesce(p_week::text,
        'null'));
  end if;
end;
$$;
comment on function batches.assert_suggestion_week(date, timestamptz) is
  'Raises 22023 unless the week is named by a Monday that has begun somewhere.';

create function batches.begin_suggestion_try(p_organization_id uuid, p_week date, p_now timestamptz default now())
returns text
language plpgsql set search_path = '' as $$
declare
  v_last batches.suggestion_tries;
begin
  perform batches.assert_suggestion_week(p_week, p_now);
  perform from public.organizations where id = p_organization_id for no key update;
  if not found or exists (
    select from public.scheduler_state
    where scope = 'weekly-suggestions:' || p_organization_id and last_daily_run_key >= to_char(p_week, 'YYYY-MM-DD'))
      then
    return 'not_now';
  end if;
  select * into v_last from batches.suggestion_tries where organization_id = p_organization_id and week = p_week;
  if v_last.tried_at > p_now - interval '6 hours' then
    return 'not_now';
  elsif v_last.tries = 3 then
    perform batches.record_suggestion_failure(p_organization_id, p_week, 'asked three times, and no answer came',
      p_now);
    return 'given_up';
  end if;
  insert into batches.suggestion_tries (organization_id, week, tries, tried_at)
    values (p_organization_id, p_week, 1 + coalesce(v_last.tries, 0), p_now)
    on conflict (organization_id) do update set week = excluded.week, tries = excluded.tries,
      tried_at = excluded.tried_at;
  return 'go';
end;
$$;
comment on function batches.begin_suggestion_try(uuid, date, timestamptz) is
  'To be called before the model is asked for an organization. go: ask; not_now: it was asked less than six hours '
    'ago, the week is marked, or the organization is gone; given_up: three tries came to nothing, the week is marked '
    'and a line in scheduler_activity says so.';

create function public.begin_suggestion_try(p_organization_id uuid, p_week date) returns text
language sql security definer set search_path = '' as $$
  select batches.begin_suggestion_try(p_organization_id, p_week);
$$;
comment on function public.begin_suggestion_try(uuid, date) is
  'batches.begin_suggestion_try by the clock of the database.';

create function batches.release_suggestion_try(p_organization_id uuid, p_week date, p_now timestamptz default now())
returns void
language plpgsql set search_path = '' as $$
begin
  delete from batches.suggestion_tries where organization_id = p_organization_id and week = p_week and tries = 1;
  update batches.suggestion_tries set tries = tries - 1, tried_at = p_now - interval '6 hours'
    where organization_id = p_organization_id and week = p_week;
end;
$$;
comment on function batches.release_suggestion_try(uuid, date, timestamptz) is
  'The model was not asked after all, or refused the question, which costs nothing: the try does not count.';

create function public.release_suggestion_try(p_organization_id uuid, p_week date) returns void
language sql security definer set search_path = '' as $$
  select batches.release_suggestion_try(p_organization_id, p_week);
$$;
comment on function public.release_suggestion_try(uuid, date) is
  'batches.release_suggestion_try by the clock of the database.';

revoke all on function public.begin_suggestion_try(uuid, date) from public, anon, authenticated, service_role;
revoke all on function public.release_suggestion_try(uuid, date) from public, anon, authenticated, service_role;
grant execute on function public.begin_suggestion_try(uuid, date) to service_role;
grant execute on function public.release_suggestion_try(uuid, date) to service_role;
