-- The sweep: ends silent sessions, and sets devices online and offline by the sessions that are left.
--
-- It never waits for a device. A row that somebody holds at that moment is left as it is (skip locked) and counted;
-- the next run comes to it. A heartbeat that was committed while the step was on its way is seen: the condition is
-- evaluated again on the row that was locked (read committed, which PostgREST uses). Sessions are locked `for no key
-- update`, as heartbeats lock them: rows that only refer to a session are in nobody's way.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('devices', 'device_connections.heartbeat_timeout_seconds', '300', 's', 10, 86400, 'a session whose last heartbeat '
    'is older than this is ended by monitor-device-connections');

create function devices.sweep_connections(
  p_after uuid default null,
  p_until uuid default null,
  p_max_devices integer default 2000,
  p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_timeout constant interval :=
    make_interval(secs => scheduler.setting('device_connections.heartbeat_timeout_seconds'));
  v_after constant uuid := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
  v_until constant uuid := coalesce(p_until, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_max_sessions constant bigint := 2 * p_max_devices;
  v_devices uuid[];
  v_last uuid;
  v_corrected bigint;
  v_ended bigint;
  v_wanted uuid[];
  v_held uuid[];
  v_online bigint := 0;
  v_offline bigint := 0;
  v_left bigint := 0;
begin
  if p_max_devices is null or p_max_devices not between 1 and 10000 then
    raise exception using errcode = '22023',
      message = format('Cannot sweep connections: p_max_devices must be 1 to 10000, got %s',
        coalesce(p_max_devices::text, 'null'));
  end if;

  -- The next devices, by id, that have an open session or are said to be online. Devices that are neither, most of
  -- them in an old fleet, are never read.
  select array_agg(next.id order by next.id) into v_devices
  from (
    select either.id
    from (
      (select distinct s.device_id as id from public.device_connection_sessions s
       where s.disconnected_at is null and s.device_id > v_after and s.device_id <= v_until
       order by id limit p_max_devices)
      union
      (select d.id from public.devices d
       where d.status = 'online' and d.id > v_after and d.id <= v_until
       order by d.id limit p_max_devices)
    ) either
    order by either.id
    limit p_max_devices
  ) next;
  v_last := v_devices[cardinality(v_devices)];

  -- A heartbeat from the future, of before the database's clock was set back, says that the device lived when it was
  -- written, which was no later than now: it is brought back to now, or the session would live until then. One that is
  -- ahead by less than the timeout is left alone: it ends its session by less than the timeout later.
  with ahead as materialized (
    select s.id
    from public.device_connection_sessions s
    where s.disconnected_at is null and s.device_id > v_after and s.device_id <= v_last
      and coalesce(s.last_heartbeat_at, s.connected_at) > p_now + v_timeout
    limit v_max_sessions
    for no key update skip locked
  )
  update public.device_connection_sessions s
  set connected_at = least(s.connected_at, p_now), last_heartbeat_at = p_now
  from ahead
  where s.id = ahead.id;
  get diagnostics v_corrected = row_count;

  with silent as materialized (
    select s.id
    from public.device_connection_sessions s
    where s.disconnected_at is null and s.device_id > v_after and s.device_id <= v_last
      and coalesce(s.last_heartbeat_at, s.connected_at) < p_now - v_timeout
    limit v_max_sessions
    for no key update skip locked
  )
  update public.device_connection_sessions s
  set status = 'timed_out', disconnected_at = coalesce(s.last_heartbeat_at, s.connected_at),
    disconnect_reason = 'heartbeat_timeout'
  from silent
  where s.id = silent.id;
  get diagnostics v_ended = row_count;

  -- Devices that opened thousands of sessions and closed none must not make a step endless: the same stretch again,
  -- which has fewer of them now.
  if greatest(v_corrected, v_ended) = v_max_sessions then
    return jsonb_build_object('next_after', v_after, 'devices', 0, 'sessions_ended', v_ended,
      'heartbeats_corrected', v_corrected, 'devices_online', 0, 'devices_offline', 0, 'left', 0);
  end if;

  select count(*) into v_left
  from public.device_connection_sessions s
  where s.disconnected_at is null and s.device_id > v_after and s.device_id <= v_last
    and coalesce(s.last_heartbeat_at, s.connected_at) < p_now - v_timeout;

  -- Devices that do not show what their sessions say. A session that is open now is live: the silent ones are ended,
  -- and whoever holds the row of one of those left is probably its heartbeat.
  select coalesce(array_agg(d.id), array[]::uuid[]) into v_wanted
  from unnest(v_devices) as w (id)
  join public.devices d on d.id = w.id
  left join lateral (
    select max(least(coalesce(s.last_heartbeat_at, s.connected_at), p_now)) as heard_at
    from public.device_connection_sessions s
    where s.device_id = d.id and s.disconnected_at is null
  ) live on true
  where d.status = case when live.heard_at is null then 'online' else 'offline' end
    -- Writing it at every run would rewrite the rows of the whole fleet three times an hour.
    or d.status = 'online' and coalesce(d.last_seen_at, '-infinity') < live.heard_at - interval '1 hour';

  -- `for update`, which a new session's foreign key has to wait for: a device that connects between the look at its
  -- sessions and the update of its row would be set offline with a live session. The look is taken again, under the
  -- lock.
  select coalesce(array_agg(held.id), array[]::uuid[]) into v_held
  from (select d.id from public.devices d where d.id = any (v_wanted) for update skip locked) held;
  v_left := v_left + cardinality(v_wanted) - cardinality(v_held);

  with found as (
    select d.id, d.status as was, case when live.heard_at is null then 'offline' else 'online' end as status,
      coalesce(live.heard_at, (
        select least(greatest(s.connected_at, s.last_heartbeat_at, s.disconnected_at), p_now)
        from public.device_connection_sessions s
        where s.device_id = d.id
        order by s.connected_at desc
        limit 1
      )) as heard_at
    from public.devices d
    left join lateral (
      select max(least(coalesce(s.last_heartbeat_at, s.connected_at), p_now)) as heard_at
      from public.device_connection_sessions s
      where s.device_id = d.id and s.disconnected_at is null
    ) live on true
    where d.id = any (v_held) and d.status in ('online', 'offline')
  ), written as (
    update public.devices d
    set status = found.status, last_seen_at = greatest(d.last_seen_at, found.heard_at)
    from found
    where d.id = found.id
      and (d.status, d.last_seen_at) is distinct from (found.status, greatest(d.last_seen_at, found.heard_at))
    returning found.was, found.status
  )
  select
    count(*) filter (where written.status = 'online' and written.was = 'offline'),
    count(*) filter (where written.status = 'offline' and written.was = 'online')
  into v_online, v_offline
  from written;

  return jsonb_build_object(
    'next_after', case when cardinality(v_devices) = p_max_devices then v_last end,
    'devices', coalesce(cardinality(v_devices), 0),
    'sessions_ended', v_ended,
    'heartbeats_corrected', v_corrected,
    'devices_online', v_online,
    'devices_offline', v_offline,
    'left', v_left);
end;
$$;
comment on function devices.sweep_connections(uuid, uuid, integer, timestamptz) is
  'One step of the sweep, over the next p_max_devices devices with ids in (p_after, p_until]; next_after is where the '
    'next one goes on, null at the end';

create function public.monitor_device_connections_sweep(
  p_after uuid default null, p_until uuid default null, p_max_devices integer default 2000
) returns jsonb
language sql security definer set search_path = '' as $$
  select devices.sweep_connections(p_after, p_until, p_max_devices);
$$;
comment on function public.monitor_device_connections_sweep(uuid, uuid, integer) is
  'devices.sweep_connections by the clock of the database.';

revoke all on function
  public.monitor_device_connections_sweep(uuid, uuid, integer)
from public, anon, authenticated, service_role;
grant execute on function public.monitor_device_connections_sweep(uuid, uuid, integer) to service_role;
