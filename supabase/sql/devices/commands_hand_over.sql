-- Commands: those whose time is up expire; all others are handed over, each to one session of its device at a time.
--
-- A hand-over is one update: that it is sent, to which session, and how often by now. A run that is killed before the
-- commit has handed nothing over. Commands that another transaction has locked are left to the next run (skip locked).

create function devices.expire_commands(
  p_max_commands integer default 2000,
  p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_expired bigint;
begin
  if p_max_commands is null or p_max_commands not between 1 and 10000 then
    raise exception using errcode = '22023',
      message = format('Cannot expire commands: p_max_commands must be 1 to 10000, got %s',
        coalesce(p_max_commands::text, 'null'));
  end if;
  -- Also those that were handed over and never acknowledged: whether the device has them is unknown, and it is told not
  -- to begin them any more. Acknowledged commands do not expire: the device is at work on them.
  with due as (
    select c.id
    from public.engagement_commands c
    where c.status in ('pending', 'sent') and c.expires_at <= p_now
    order by c.expires_at
    limit p_max_commands
    for no key update skip locked
  )
  update public.engagement_commands c
  set status = 'expired', finished_at = p_now
  from due
  where c.id = due.id;
  get diagnostics v_expired = row_count;
  return jsonb_build_object('commands_expired', v_expired, 'more', v_expired = p_max_commands);
end;
$$;
comment on function devices.expire_commands(integer, timestamptz) is
  'Expires commands, p_max_commands at most, whose time is up and that no device has acknowledged';

create function public.monitor_device_connections_expire(p_max_commands integer default 2000) returns jsonb
language sql security definer set search_path = '' as $$
  select devices.expire_commands(p_max_commands);
$$;
comment on function public.monitor_device_connections_expire(integer) is
  'devices.expire_commands by the clock of the database.';

create function devices.hand_over(
  p_devices uuid[], p_limit integer, p_now timestamptz, out handed_over bigint, out handed_over_again bigint
)
language plpgsql volatile set search_path = '' as $$
begin
  -- Each device's session and commands are looked up by its id. As joins, with statistics of a time when no command
  -- waited, each command that waits was compared with each device of the step: over 60 s for 40,000 commands of 20,000
  -- devices instead of 3 to 5.
  with receivers as materialized (
    select w.id as device_id, live.id as session_id
    from unnest(p_devices) as w (id)
    -- The newest open one. Not "limit 1", for which the planner may read a device's whole history of sessions.
    cross join lateral (
      select (array_agg(s.id order by s.connected_at desc, s.id))[1] as id
      from public.device_connection_sessions s
      where s.device_id = w.id and s.disconnected_at is null
    ) live
    where live.id is not null and (select d.status from public.devices d where d.id = w.id) in ('online', 'offline')
  ), taken as (
    select waiting.id, receivers.session_id
    from receivers
    -- The lock keeps the planner from making a join of it. A row is locked when the limit lets it be read.
    cross join lateral (
      select c.id
      from public.engagement_commands c
      where c.device_id = receivers.device_id
        and c.status in ('pending', 'sent') and (c.expires_at is null or c.expires_at > p_now)
        and (c.status = 'pending' or not exists (
          select from public.device_connection_sessions s
          where s.id = c.handed_to_session_id and s.disconnected_at is null))
      order by c.priority, c.issued_at
      for no key update of c skip locked
    ) waiting
    limit p_limit
  ), handed as (
    update public.engagement_commands c
    set status = 'sent', sent_at = p_now, handed_to_session_id = taken.session_id,
      handed_over_count = c.handed_over_count + 1
    from taken
    where c.id = taken.id
    returning c.handed_over_count
  )
  select count(*) filter (where handed.handed_over_count = 1), count(*) filter (where handed.handed_over_count > 1)
  into handed_over, handed_over_again
  from handed;
end;
$$;
comment on function devices.hand_over(uuid[], integer, timestamptz) is
  'Hands the commands that wait for these devices to their newest open sessions, p_limit at most; those without one '
    'are left. Returns how many for the first time, and how many again.';

create function devices.hand_over_commands(
  p_after uuid default null,
  p_until uuid default null,
  p_max_commands integer default 2000,
  p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_after constant uuid := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
  v_until constant uuid := coalesce(p_until, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_devices uuid[];
  v_handed record;
begin
  if p_max_commands is null or p_max_commands not between 1 and 10000 then
    raise exception using errcode = '22023',
      message = format('Cannot hand over commands: p_max_commands must be 1 to 10000, got %s',
        coalesce(p_max_commands::text, 'null'));
  end if;
  -- One hand-over at a time: each sees the sessions that the one before it handed to.
  perform pg_advisory_xact_lock(-7031000002);

  v_devices := array(
    select distinct c.device_id
    from public.engagement_commands c
    where c.status in ('pending', 'sent') and c.device_id > v_after and c.device_id <= v_until
    order by c.device_id
    limit p_max_commands);
  select * into strict v_handed from devices.hand_over(v_devices, p_max_commands, p_now);
  return to_jsonb(v_handed) || jsonb_build_object('next_after', case
    -- There may be more commands for these devices. Those that were handed over are not found again.
    when v_handed.handed_over + v_handed.handed_over_again = p_max_commands then v_after
    when cardinality(v_devices) = p_max_commands then v_devices[p_max_commands] end);
end;
$$;
comment on function devices.hand_over_commands(uuid, uuid, integer, timestamptz) is
  'One step of the hand-over, p_max_commands at most, for devices with ids in (p_after, p_until] that have a live '
    'session; next_after is where the next step goes on, null at the end';

create function public.monitor_device_connections_hand_over(
  p_after uuid default null, p_until uuid default null, p_max_commands integer default 2000
) returns jsonb
language sql security definer set search_path = '' as $$
  select devices.hand_over_commands(p_after, p_until, p_max_commands);
$$;
comment on function public.monitor_device_connections_hand_over(uuid, uuid, integer) is
  'devices.hand_over_commands by the clock of the database.';

revoke all on function
  public.monitor_device_connections_expire(integer),
  public.monitor_device_connections_hand_over(uuid, uuid, integer)
from public, anon, authenticated, service_role;
grant execute on function public.monitor_device_connections_expire(integer),
  public.monitor_device_connections_hand_over(uuid, uuid, integer)
  to service_role;
