-- Which local date an organization's batch is for. Its calendar: at any moment the latest local date whose time (the
-- hour of its daily batch) has come, in the zone it has then. A date that is later than all before it gets a batch, so
-- one that comes again after a move to the west gets none, and one that a move to the east leaps over never came.

create function batches.date_at(p_time_zone text, p_run_at time, p_at timestamptz) returns date
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_local timestamp := p_at at time zone p_time_zone;
  v_date date;
begin
  -- Where the clock has not changed of late, the date follows from what it shows.
  if (p_at - interval '26 hours') at time zone p_time_zone = v_local - interval '26 hours' then
    return (v_local - p_run_at)::date;
  end if;
  for i in reverse 1 .. -1 loop
    v_date := v_local::date + i;
    exit when scheduler.first_showing(v_date + p_run_at, p_time_zone) <= p_at;
  end loop;
  return v_date;
end;
$$;
comment on function batches.date_at(text, time, timestamptz) is
  'The latest local date whose time had come at that moment: a time in a gap comes when the gap ends, a repeated one with its first showing.';

create function batches.last_date(p_organization_id uuid) returns date
language sql stable set search_path = '' as $$
  select last_daily_run_key::date from public.scheduler_state where scope = 'organization:' || p_organization_id;
$$;
comment on function batches.last_date(uuid) is 'The latest local date for which the organization has had its daily batch; null: none yet.';

create function batches.platform_has_had(p_date date) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from public.scheduler_state where scope = 'global' and last_daily_run_key >= to_char(p_date, 'YYYY-MM-DD'));
$$;
comment on function batches.platform_has_had(date) is
  'Whether the platform''s own daily batch has been begun for that local date, or a later one: its mark is that of try_mark_daily_run without a scope.';

-- One place says what a move means: of the organization itself, or of the platform under it.
create function batches.move_cursor(
  p_organization public.organizations,
  p_old_time_zone text, p_old_run_at time, p_time_zone text, p_run_at time, p_follows boolean, p_now timestamptz
) returns public.organizations
language plpgsql stable set search_path = '' as $$
declare
  v_moved public.organizations := p_organization;
  v_date date := batches.date_at(p_old_time_zone, p_old_run_at, p_now);
  v_had date := batches.last_date(p_organization.id);
  v_last date := greatest(v_had, p_organization.owed_batch_dates[cardinality(p_organization.owed_batch_dates)]);
  v_pending boolean;
begin
  v_pending := case when p_organization.next_batch_at is not null then p_organization.next_batch_at <= p_now
    else not batches.platform_has_had(v_date)
      and scheduler.first_showing(v_date + p_old_run_at, p_old_time_zone) > p_organization.created_at
  end;
  if v_pending and (v_last is null or v_date > v_last) then
    v_moved.owed_batch_dates := v_moved.owed_batch_dates || v_date;
  end if;
  -- The cursor too knows what is over: of one that is new, or had no prompts, no mark does.
  v_last := greatest(v_last, v_date, batches.date_at(p_old_time_zone, p_old_run_at, p_organization.next_batch_at) - 1);
  v_date := batches.date_at(p_time_zone, p_run_at, p_now);
  if v_date > v_last then
    v_moved.owed_batch_dates := v_moved.owed_batch_dates || v_date;
    v_last := v_date;
  end if;
  v_moved.next_batch_at := case
    when cardinality(v_moved.owed_batch_dates) > 0 then p_now
    -- The platform's next date may be one that is over for it, without a mark that says so.
    when not p_follows or v_last > greatest(v_date, v_had) then scheduler.first_showing(v_last + 1 + p_run_at, p_time_zone)
  end;
  return v_moved;
end;
$$;
comment on function batches.move_cursor(public.organizations, text, time, text, time, boolean, timestamptz) is
  'The organization with next_batch_at and owed_batch_dates as they are after a move from the old zone and hour to the new ones: a date that was due and not made yet is owed, so is the one whose time has come in the new zone already if it is later than all before; one it has had never comes again.';

-- Security definer: whoever may write an organization has no right in the private schema.
create function batches.keep_cursor() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_platform record;
  v_now timestamptz;
begin
  if new.time_zone is not null and (tg_op = 'INSERT' or new.time_zone is distinct from old.time_zone) then
    begin
      -- The full check reads the file of every zone; these names need it not.
      if new.time_zone ~ '^[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)+$' then
        perform scheduler.require_time_zone(new.time_zone);
      elsif new.time_zone <> 'UTC' then
        perform scheduler.assert_time_zone(new.time_zone);
      end if;
    exception when invalid_parameter_value then
      raise exception using errcode = '22023', message = format('cannot write the organization %s: %s', new.name, sqlerrm),
        hint = 'select name from pg_timezone_names lists the zones';
    end;
  end if;
  if new.daily_run_at = time '24:00' or extract(second from new.daily_run_at) <> 0 then
    raise exception using errcode = '22023',
      message = format('cannot write the organization %s: daily_run_at must be a whole minute from 00:00 to 23:59, got %s', new.name, new.daily_run_at);
  end if;

  if tg_op = 'INSERT' then
    v_now := new.created_at;
  else
    if new.updated_at is not distinct from old.updated_at then
      new.updated_at := now();
    end if;
    v_now := new.updated_at;
    if (new.time_zone, new.daily_run_at, new.enabled) is not distinct from (old.time_zone, old.daily_run_at, old.enabled) then
      return new;
    end if;
  end if;

  select * into v_platform from batches.daily_settings();
  -- Of a zone that this server does not know nobody can say what was due: a move away from it is a new beginning.
  if tg_op = 'UPDATE' and old.enabled and new.enabled and scheduler.knows_time_zone(old.time_zone) then
    select moved.next_batch_at, moved.owed_batch_dates into new.next_batch_at, new.owed_batch_dates
      from batches.move_cursor(old,
        coalesce(old.time_zone, v_platform.time_zone), coalesce(old.daily_run_at, v_platform.run_at),
        coalesce(new.time_zone, v_platform.time_zone), coalesce(new.daily_run_at, v_platform.run_at),
        new.time_zone is null and new.daily_run_at is null, v_now) as moved;
  else
    -- It begins, begins again, or is switched off: the dates whose time has come by now are over.
    new.owed_batch_dates := array[]::date[];
    -- Where the platform's tick is still to come, it is not for who is switched on after its time.
    new.next_batch_at := case when new.enabled
      and (new.time_zone is not null or new.daily_run_at is not null or tg_op = 'UPDATE' and batches.daily_is_due(v_now)) then
      scheduler.first_showing(
        1 + greatest(
          batches.date_at(coalesce(new.time_zone, v_platform.time_zone), coalesce(new.daily_run_at, v_platform.run_at), v_now),
          batches.last_date(new.id)
        ) + coalesce(new.daily_run_at, v_platform.run_at),
        coalesce(new.time_zone, v_platform.time_zone))
    end;
  end if;
  return new;
end;
$$;
comment on function batches.keep_cursor() is
  'Keeps next_batch_at and owed_batch_dates of an organization, and refuses a zone or an hour that there is not. A new one begins with the first date whose time comes after it was created.';

create trigger keep_batch_cursor before insert or update of name, time_zone, daily_run_at, enabled on public.organizations
  for each row execute function batches.keep_cursor();

-- Security definer: nobody else may write the state.
create function batches.forget_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform scheduler.forget_scope('organization:' || old.id);
  perform scheduler.forget_scope('weekly-suggestions:' || old.id);
  return null;
end;
$$;
comment on function batches.forget_organization() is 'Takes the marks of a deleted organization out of scheduler_state: its daily batch''s and its weekly suggestions''.';

create trigger forget_organization after delete on public.organizations
  for each row execute function batches.forget_organization();

-- Whoever takes its zone, its hour or both from the platform moves with it. A date that comes due, or that was due and
-- is not made yet, is owed to each of them: the platform's new window may be over, or far.
create function batches.follow_daily_settings(p_before jsonb) returns void
language plpgsql set search_path = '' set jit = off as $$
declare
  v_old record;
  v_new record;
begin
  -- A trigger that is at work has made the platform's day or will see what is done here.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  perform batches.register_daily();
  perform batches.register_reconciler();
  select * into v_new from batches.daily_settings();
  select coalesce(p_before ->> 'daily_batch.time_zone', v_new.time_zone) as time_zone,
    coalesce((p_before ->> 'daily_batch.run_at')::time, v_new.run_at) as run_at into v_old;
  if (v_old.time_zone, v_old.run_at) = (v_new.time_zone, v_new.run_at) then
    return;
  end if;
  update public.organizations as organizations
    set next_batch_at = moved.next_batch_at, owed_batch_dates = moved.owed_batch_dates
    from public.organizations as before, lateral batches.move_cursor(before,
      coalesce(before.time_zone, v_old.time_zone), coalesce(before.daily_run_at, v_old.run_at),
      coalesce(before.time_zone, v_new.time_zone), coalesce(before.daily_run_at, v_new.run_at),
      before.time_zone is null and before.daily_run_at is null, now()) as moved
    where before.id = organizations.id and before.enabled and (before.time_zone is null or before.daily_run_at is null)
      and scheduler.knows_time_zone(before.time_zone)
      and (moved.next_batch_at, moved.owed_batch_dates) is distinct from (before.next_batch_at, before.owed_batch_dates);
  -- So the platform itself has had these dates.
  perform scheduler.try_mark_daily_run(
    to_char(greatest(batches.date_at(v_old.time_zone, v_old.run_at, now()), batches.date_at(v_new.time_zone, v_new.run_at, now())), 'YYYY-MM-DD'));
end;
$$;
comment on function batches.follow_daily_settings(jsonb) is
  'When the platform''s zone, hour or window is changed: its jobs follow, and so do organizations that take zone or hour from it.';
