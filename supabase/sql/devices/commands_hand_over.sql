-- Commands: those whose time is up expire; the rest is handed over, each to one session of its device at a time.
--
-- A hand-over is one update: sent, to which session, for which time. Either it is committed, or nobody has heard of
-- it; a run that is killed leaves nothing in between. Commands that somebody holds at that moment are left for the
-- next run (skip locked).

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
  -- Also those that were handed over and never acknowledged: nobody knows that the device has them, and it is told not
  -- to begin them any more. What a device has acknowledged is its own to finish.
  with due as materialized (
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
  v_first bigint;
  v_again bigint;
begin
  if p_max_commands is null or p_max_commands not between 1 and 10000 then
    raise exception using errcode = '22023',
      message = format('Cannot hand over commands: p_max_commands must be 1 to 10000, got %s',
        coalesce(p_max_commands::text, 'null'));
  end if;
  -- One hand-over at a time: each sees the sessions that the one before it handed to.
  perform pg_advisory_xact_lock(-7031000002);

  -- The next devices, by id, that have commands waiting.
  select array_agg(next.device_id order by next.device_id) into v_devices
  from (
    select distinct c.device_id
    from public.engagement_commands c
    where c.status in ('pending', 'sent') and c.device_id > v_after and c.device_id <= v_until
    order by c.device_id
    limit p_max_commands
  ) next;

  with receivers as materialized (
    select d.id as device_id, live.id as session_id
    from unnest(v_devices) as w (id)
    join public.devices d on d.id = w.id
    -- The newest open one. Without `limit 1`, which could tempt the planner to walk along a device's whole history.
    cross join lateral (
      select (array_agg(s.id order by s.connected_at desc, s.id))[1] as id
      from public.device_connection_sessions s
      where s.device_id = d.id and s.disconnected_at is null
    ) live
    where d.status in ('online', 'offline') and live.id is not null
  ), taken as materialized (
    select c.id, receivers.session_id
    from receivers
    join public.engagement_commands c on c.device_id = receivers.device_id
    where c.status in ('pending', 'sent') and (c.expires_at is null or c.expires_at > p_now)
      and (c.status = 'pending' or not exists (
        select from public.device_connection_sessions s
        where s.id = c.handed_to_session_id and s.disconnected_at is null))
    order by c.device_id, c.priority, c.issued_at, c.id
    limit p_max_commands
    for no key update of c skip locked
  ), handed as (
    update public.engagement_commands c
    set status = 'sent', sent_at = p_now, handed_to_session_id = taken.session_id,
      handed_over_count = c.handed_over_count + 1
    from taken
    where c.id = taken.id
    returning c.handed_over_count
  )
  select count(*) filter (where handed.handed_over_count = 1), count(*) filter (where handed.handed_over_count > 1)
  into v_first, v_again
  from handed;

  return jsonb_build_object(
    'next_after', case
      -- There may be more in the same stretch; what was handed over is not found again.
      when v_first + v_again = p_max_commands then v_after
      when cardinality(v_devices) = p_max_commands then v_devices[cardinality(v_devices)]
    end,
    'handed_over', v_first,
    'handed_over_again', v_again);
end;
$$;
comment on function devices.hand_over_commands(uuid, uuid, integer, timestamptz) is
  'One step of the hand-over, p_max_commands at most, for devices with ids in (p_after, p_until] that have a live '
    'session; next_after is where the next one goes on, null at the end';

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
