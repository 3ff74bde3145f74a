-- An organization moves when its zone or hour changes, or that of the platform which it takes it from. A date that had
-- come due and was not begun is then owed to it: a row, which the next tick begins wherever the organization is by
-- then.

create table batches.owed_dates (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  batch_date date not null check (batch_date between '2000-01-01' and '9999-12-31'),
  due_at timestamptz not null check (isfinite(due_at)),
  state text not null default 'owed' check (state in ('owed', 'begun', 'dropped')),
  primary key (organization_id, batch_date)
);
create index owed_dates_due_at_idx on batches.owed_dates (due_at) where state = 'owed';
alter table batches.owed_dates enable row level security;
revoke all on batches.owed_dates from public, anon, authenticated, service_role;
comment on table batches.owed_dates is
  'The local dates that an organization''s last moves left to be begun, and what became of them.';
comment on column batches.owed_dates.due_at is 'The move. The first tick after it begins the date.';
comment on column batches.owed_dates.state is
  'owed: to be begun; begun: the organization has had it; dropped: it had no active prompt then, or was switched off.';

create function batches.decide_move(
  p_from batches.clock, p_to batches.clock, p_follows boolean,
  p_last date, p_next_batch_at timestamptz, p_is_due boolean, p_now timestamptz,
  out owed_dates date[], out next_batch_at timestamptz
)
language plpgsql stable set search_path = '' as $$
declare
  v_left date := batches.date_at(p_from, p_now);
  v_here date := batches.date_at(p_to, p_now);
  v_over date;
begin
  owed_dates := case when p_is_due and (p_last is null or v_left > p_last) then array[v_left] else array[]::date[] end;
  -- The cursor too says what is over: a new organization, or one that had no prompts, has no mark for it.
  v_over := greatest(p_last, v_left, batches.date_at(p_from, p_next_batch_at) - 1);
  if v_here > v_over then
    owed_dates := owed_dates || v_here;
    v_over := v_here;
  end if;
  -- The platform's next dates may be over for an organization that has no mark for them: it needs a cursor past them.
  if not p_follows or v_over > greatest(v_here, p_last, owed_dates[cardinality(owed_dates)]) then
    next_batch_at := batches.comes_at(p_to, v_over + 1);
  end if;
end;
$$;
comment on function batches.decide_move(
  batches.clock, batches.clock, boolean, date, timestamptz, boolean, timestamptz) is
  'What a move from one clock to another means. p_follows: whether the organization follows the platform afterwards; '
    'p_last: the latest date it had or is owed; p_next_batch_at: its cursor before; p_is_due: whether the latest date '
    'of the old clock is due and not begun. Returns the dates it is owed, in order (the old clock''s if due, and the '
    'new one''s if that is later than all before), and its cursor afterwards, null where the platform''s tick serves '
    'it. Writes nothing.';

create function batches.move_of(
  p_organization public.organizations, p_from batches.clock, p_to batches.clock, p_follows boolean, p_now timestamptz,
  out owed_dates date[], out next_batch_at timestamptz
)
language plpgsql stable set search_path = '' as $$
declare
  v_date date := batches.date_at(p_from, p_now);
  v_last date;
  v_is_due boolean;
begin
  select greatest(batches.last_date(p_organization.id), max(batch_date)) into v_last
    from batches.owed_dates where organization_id = p_organization.id and state = 'owed';
  v_is_due := case when p_organization.next_batch_at is not null then p_organization.next_batch_at <= p_now
    else not batches.platform_has_had(v_date) and batches.comes_at(p_from, v_date) > p_organization.created_at end;
  select * into owed_dates, next_batch_at from batches.decide_move(
    p_from, p_to, p_follows, v_last, p_organization.next_batch_at, v_is_due, p_now);
end;
$$;
comment on function batches.move_of(public.organizations, batches.clock, batches.clock, boolean, timestamptz) is
  'batches.decide_move for an organization as it is before the move.';

create function batches.check_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.time_zone is not null and (tg_op = 'INSERT' or new.time_zone is distinct from old.time_zone) then
    begin
      -- The full check reads the file of every zone. Names of this form do not need it.
      if new.time_zone ~ '^[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)+$' then
        perform scheduler.require_time_zone(new.time_zone);
      elsif new.time_zone <> 'UTC' then
        perform scheduler.assert_time_zone(new.time_zone);
      end if;
    exception when invalid_parameter_value then
      raise exception using errcode = '22023',
        message = format('cannot write the organization %s: %s', new.name, sqlerrm),
        hint = 'select name from pg_timezone_names lists the zones';
    end;
  end if;
  if new.daily_run_at = time '24:00' or extract(second from new.daily_run_at) <> 0 then
    raise exception using errcode = '22023',
      message = format('cannot write the organization %s: daily_run_at must be a whole minute from 00:00 to 23:59, '
        'got %s', new.name, new.daily_run_at);
  end if;
  return new;
end;
$$;
comment on function batches.check_organization() is
  'Refuses a zone that is not known and an hour that is none. Security definer: who may write an organization has no '
    'right in the private schemas.';

create trigger check_organization before insert or update of time_zone, daily_run_at on public.organizations
  for each row execute function batches.check_organization();

create function batches.first_cursor(p_organization public.organizations, p_is_new boolean, p_now timestamptz)
returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_clock batches.clock := batches.clock_of(p_organization, batches.platform_clock());
begin
  -- One that follows the platform needs no cursor, unless it was switched on between the platform's time and its tick.
  if not p_organization.enabled
    or batches.follows_platform(p_organization) and (p_is_new or not batches.daily_is_due(p_now)) then
    return null;
  end if;
  return batches.comes_at(v_clock,
    1 + greatest(batches.date_at(v_clock, p_now), batches.last_date(p_organization.id)));
end;
$$;
comment on function batches.first_cursor(public.organizations, boolean, timestamptz) is
  'The cursor of an organization that begins, begins again or is switched off at that moment: the dates whose time '
    'has come by then are over.';

create function batches.keep_cursor() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_now timestamptz := new.created_at;
  v_move record;
begin
  if tg_op = 'UPDATE' then
    if new.updated_at is not distinct from old.updated_at then
      new.updated_at := now();
    end if;
    v_now := new.updated_at;
    if (new.time_zone, new.daily_run_at, new.enabled)
      is not distinct from (old.time_zone, old.daily_run_at, old.enabled) then
      return new;
    end if;
  end if;
  -- What was due in a zone that this server does not know cannot be told: a move away from it is a new beginning.
  if tg_op = 'UPDATE' and old.enabled and new.enabled and scheduler.knows_time_zone(old.time_zone) then
    v_move := batches.move_of(old, batches.clock_of(old, v_platform), batches.clock_of(new, v_platform),
      batches.follows_platform(new), v_now);
    insert into batches.owed_dates (organization_id, batch_date, due_at)
      select new.id, batch_date, v_now from unnest(v_move.owed_dates) as batch_date
      on conflict (organization_id, batch_date) do update set due_at = excluded.due_at, state = excluded.state;
    new.next_batch_at := v_move.next_batch_at;
  else
    update batches.owed_dates set state = 'dropped' where organization_id = new.id and state = 'owed';
    new.next_batch_at := batches.first_cursor(new, tg_op = 'INSERT', v_now);
  end if;
  return new;
end;
$$;
comment on function batches.keep_cursor() is
  'Keeps an organization''s next_batch_at, and the dates it is owed. A new one begins with the first date whose time '
    'comes after it was created. Security definer: who may write an organization has no right in the private schemas.';

create trigger keep_batch_cursor
  before insert or update of name, time_zone, daily_run_at, enabled on public.organizations
  for each row execute function batches.keep_cursor();

create function batches.forget_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform scheduler.forget_scope('organization:' || old.id);
  perform scheduler.forget_scope('weekly-suggestions:' || old.id);
  return null;
end;
$$;
comment on function batches.forget_organization() is
  'Deletes the marks of a deleted organization: its daily batch''s and its weekly suggestions''. Security definer: '
    'who may delete an organization may not write the marks.';

create trigger forget_organization after delete on public.organizations
  for each row execute function batches.forget_organization();

create function batches.move_followers(p_from batches.clock, p_to batches.clock, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  with moved as materialized (
    select organizations.id, organizations.next_batch_at as was_next, move.*
    from public.organizations, lateral batches.move_of(organizations, batches.clock_of(organizations, p_from),
      batches.clock_of(organizations, p_to), batches.follows_platform(organizations), p_now) as move
    where enabled and (time_zone is null or daily_run_at is null) and scheduler.knows_time_zone(time_zone)
  ), owed as (
    insert into batches.owed_dates (organization_id, batch_date, due_at)
    select id, unnest(owed_dates), p_now from moved
    on conflict (organization_id, batch_date) do update set due_at = excluded.due_at, state = excluded.state
  )
  update public.organizations set next_batch_at = moved.next_batch_at
  from moved where moved.id = organizations.id and moved.next_batch_at is distinct from moved.was_next;
end;
$$;
comment on function batches.move_followers(batches.clock, batches.clock, timestamptz) is
  'Moves each organization that takes its zone, its hour or both from the platform. What is due, or comes due, is '
    'owed to each of them: the platform''s new window may be over, or far.';

create function batches.follow_daily_settings(p_before jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  v_to batches.clock := batches.platform_clock();
  v_from batches.clock := (coalesce(p_before ->> 'daily_batch.time_zone', v_to.time_zone),
    coalesce((p_before ->> 'daily_batch.run_at')::time, v_to.run_at));
begin
  -- A trigger that is at work has begun the platform's day, or will see what is done here.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  perform batches.register_daily();
  perform batches.register_reconciler();
  if v_from = v_to then
    return;
  end if;
  perform batches.move_followers(v_from, v_to, now());
  -- So the platform itself has had these dates.
  perform scheduler.try_mark_daily_run(
    to_char(greatest(batches.date_at(v_from, now()), batches.date_at(v_to, now())), 'YYYY-MM-DD'));
end;
$$;
comment on function batches.follow_daily_settings(jsonb) is
  'When the platform''s zone, hour or window is changed, its jobs follow, and so do the organizations that take their '
    'zone or hour from it.';
