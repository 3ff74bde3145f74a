-- What the figures are: two functions that compute the rows of hours and days and write nothing.
-- They are stable, so each sees one moment of the database, and planned anew for the range they are given.

-- One pass over the activity of the range; all else is small beside it.
create function devices.metrics_hour_rows(p_from timestamptz, p_to timestamptz)
returns table (
  period_start timestamptz, device_id uuid, active_devices integer,
  connections_started bigint, connected_seconds numeric,
  charging_sessions_started bigint, charging_seconds numeric, energy_wh numeric, efficiency_energy_wh numeric,
    efficiency_weight numeric,
  activity_events bigint, activity_errors bigint,
  pop_events bigint, pop_events_validated bigint, pop_events_rejected bigint, pop_points numeric,
  commands_issued bigint, commands_completed bigint, commands_failed bigint, commands_expired bigint
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
rows 10000 as $$
#variable_conflict use_column
begin
  return query
  with activity as (
    select a.device_id, date_bin('1 hour', a.occurred_at, '2000-01-01 00:00+00') as hour,
      count(*) as events,
      count(*) filter (where a.severity = 'error') as errors
    from public.device_activity_log a
    where a.occurred_at >= p_from and a.occurred_at < p_to
    group by 1, 2
  ),
  connections as (
    select s.device_id, h.hour,
      count(*) filter (where s.started_at >= h.hour) as started,
      extract(epoch from sum(least(s.ended_at, h.hour + interval '1 hour') - greatest(s.started_at, h.hour))) as seconds
    from (
      select c.device_id, c.connected_at as started_at, greatest(c.connected_at, c.disconnected_at) as ended_at
      from public.device_connection_sessions c
      where c.disconnected_at is not null
        and tstzrange(c.connected_at, greatest(c.connected_at, c.disconnected_at), '[]') && tstzrange(p_from, p_to)
      union all
      select c.device_id, c.connected_at, greatest(c.connected_at, c.last_heartbeat_at)
      from public.device_connection_sessions c
      where c.disconnected_at is null
        and c.connected_at < p_to and greatest(c.connected_at, c.last_heartbeat_at) >= p_from
    ) s
    cross join lateral generate_series(
      date_bin('1 hour', greatest(s.started_at, p_from), '2000-01-01 00:00+00'),
      least(s.ended_at, p_to - interval '1 microsecond'),
      interval '1 hour') as h (hour)
    -- A session that ends on the stroke of an hour has no part in it.
    where s.ended_at > h.hour or s.started_at >= h.hour
    group by 1, 2
  ),
  charges as materialized (
    select s.*, s.energy_wh / nullif(extract(epoch from s.ended_at - s.started_at), 0) as watt_hours_a_second
    from (
      select c.device_id, c.started_at, greatest(c.started_at, c.ended_at) as ended_at, c.energy_wh,
        c.efficiency_percent
      from public.charging_sessions c
      where c.ended_at is not null
        and tstzrange(c.started_at, greatest(c.started_at, c.ended_at), '[]') && tstzrange(p_from, p_to)
      union all
      select c.device_id, c.started_at, greatest(c.started_at, c.last_reading_at), c.energy_wh, c.efficiency_percent
      from public.charging_sessions c
      where c.ended_at is null
        and c.started_at < p_to and greatest(c.started_at, c.last_reading_at) >= p_from
    ) s
  ),
  charging_parts as (
    select s.device_id, h.hour, s.started_at, s.efficiency_percent,
      least(s.ended_at, h.hour + interval '1 hour') - greatest(s.started_at, h.hour) as duration,
      -- What had been drawn by the end of the hour less what had been by its start, each rounded: the roundings
      -- cancel, and the hours add up to the whole to the last digit. No duration: all of it is in the first hour.
      case when s.ended_at <= h.hour + interval '1 hour' then s.energy_wh
        else round(s.watt_hours_a_second * extract(epoch from h.hour + interval '1 hour' - s.started_at), 6) end
      - case when s.started_at >= h.hour then 0
        else round(s.watt_hours_a_second * extract(epoch from h.hour - s.started_at), 6) end as energy_wh
    from charges s
    cross join lateral generate_series(
      date_bin('1 hour', greatest(s.started_at, p_from), '2000-01-01 00:00+00'),
      least(s.ended_at, p_to - interval '1 microsecond'),
      interval '1 hour') as h (hour)
    where s.ended_at > h.hour or s.started_at >= h.hour
  ),
  charging as (
    select c.device_id, c.hour,
      count(*) filter (where c.started_at >= c.hour) as started,
      extract(epoch from sum(c.duration)) as seconds,
      coalesce(sum(c.energy_wh), 0) as energy_wh,
      coalesce(sum(c.energy_wh) filter (where c.efficiency_percent is not null), 0) as efficiency_energy_wh,
      coalesce(sum(c.energy_wh * c.efficiency_percent), 0) as efficiency_weight
    from charging_parts c
    group by 1, 2
  ),
  pop as (
    select e.device_id, date_bin('1 hour', e.occurred_at, '2000-01-01 00:00+00') as hour,
      count(*) as events,
      count(*) filter (where e.status = 'validated') as validated,
      count(*) filter (where e.status = 'rejected') as rejected,
      coalesce(sum(e.points) filter (where e.status = 'validated'), 0) as points
    from public.pop_events_ledger e
    where e.occurred_at >= p_from and e.occurred_at < p_to
    group by 1, 2
  ),
  commands as (
    select c.device_id, date_bin('1 hour', c.issued_at, '2000-01-01 00:00+00') as hour,
      count(*) as issued,
      count(*) filter (where c.status = 'completed') as completed,
      count(*) filter (where c.status = 'failed') as failed,
      count(*) filter (where c.status = 'expired') as expired
    from public.engagement_commands c
    where c.issued_at >= p_from and c.issued_at < p_to
    group by 1, 2
  ),
  devices as (
    select hour, device_id,
      (coalesce(n.started, 0) + coalesce(g.started, 0) + coalesce(a.events, 0) + coalesce(p.events, 0) > 0
        or coalesce(n.seconds, 0) > 0 or coalesce(g.seconds, 0) > 0)::integer as active,
      coalesce(n.started, 0) as connections_started, coalesce(n.seconds, 0) as connected_seconds,
      coalesce(g.started, 0) as charging_started, coalesce(g.seconds, 0) as charging_seconds,
      coalesce(g.energy_wh, 0) as energy_wh, coalesce(g.efficiency_energy_wh, 0) as efficiency_energy_wh,
      coalesce(g.efficiency_weight, 0) as efficiency_weight,
      coalesce(a.events, 0) as activity_events, coalesce(a.errors, 0) as activity_errors,
      coalesce(p.events, 0) as pop_events, coalesce(p.validated, 0) as pop_validated, coalesce(p.rejected,
        0) as pop_rejected,
      coalesce(p.points, 0) as pop_points,
      coalesce(c.issued, 0) as commands_issued, coalesce(c.completed, 0) as commands_completed,
      coalesce(c.failed, 0) as commands_failed, coalesce(c.expired, 0) as commands_expired
    from activity a
    full join connections n using (device_id, hour)
    full join charging g using (device_id, hour)
    full join pop p using (device_id, hour)
    full join commands c using (device_id, hour)
  )
  select d.hour, d.device_id, d.active,
    d.connections_started, d.connected_seconds,
    d.charging_started, d.charging_seconds, d.energy_wh, d.efficiency_energy_wh, d.efficiency_weight,
    d.activity_events, d.activity_errors,
    d.pop_events, d.pop_validated, d.pop_rejected, d.pop_points,
    d.commands_issued, d.commands_completed, d.commands_failed, d.commands_expired
  from devices d
  union all
  -- The fleet has a row for every hour, a quiet one too.
  select h.hour, null::uuid, coalesce(f.active, 0),
    coalesce(f.connections_started, 0), coalesce(f.connected_seconds, 0),
    coalesce(f.charging_started, 0), coalesce(f.charging_seconds, 0), coalesce(f.energy_wh, 0),
    coalesce(f.efficiency_energy_wh, 0), coalesce(f.efficiency_weight, 0),
    coalesce(f.activity_events, 0), coalesce(f.activity_errors, 0),
    coalesce(f.pop_events, 0), coalesce(f.pop_validated, 0), coalesce(f.pop_rejected, 0), coalesce(f.pop_points, 0),
    coalesce(f.commands_issued, 0), coalesce(f.commands_completed, 0), coalesce(f.commands_failed, 0),
      coalesce(f.commands_expired, 0)
  from generate_series(p_from, p_to - interval '1 microsecond', interval '1 hour') as h (hour)
  left join (
    select d.hour, sum(d.active)::integer as active,
      sum(d.connections_started)::bigint as connections_started, sum(d.connected_seconds) as connected_seconds,
      sum(d.charging_started)::bigint as charging_started, sum(d.charging_seconds) as charging_seconds,
      sum(d.energy_wh) as energy_wh, sum(d.efficiency_energy_wh) as efficiency_energy_wh,
        sum(d.efficiency_weight) as efficiency_weight,
      sum(d.activity_events)::bigint as activity_events, sum(d.activity_errors)::bigint as activity_errors,
      sum(d.pop_events)::bigint as pop_events, sum(d.pop_validated)::bigint as pop_validated,
      sum(d.pop_rejected)::bigint as pop_rejected, sum(d.pop_points) as pop_points,
      sum(d.commands_issued)::bigint as commands_issued, sum(d.commands_completed)::bigint as commands_completed,
      sum(d.commands_failed)::bigint as commands_failed, sum(d.commands_expired)::bigint as commands_expired
    from devices d
    group by 1
  ) f on f.hour = h.hour;
end
$$;
comment on function devices.metrics_hour_rows(timestamptz, timestamptz) is
  'The metrics of the hours from p_from to before p_to (both on the hour), computed from the raw rows: devices and '
    'fleet';

-- Days are sums of hours: counts, seconds, energy and weights all add up. Distinct devices do not, so the fleet's are
-- counted over the devices' own rows of the day.
create function devices.metrics_day_rows(p_days timestamptz[])
returns table (
  period_start timestamptz, device_id uuid, active_devices integer,
  connections_started bigint, connected_seconds numeric,
  charging_sessions_started bigint, charging_seconds numeric, energy_wh numeric, efficiency_energy_wh numeric,
    efficiency_weight numeric,
  activity_events bigint, activity_errors bigint,
  pop_events bigint, pop_events_validated bigint, pop_events_rejected bigint, pop_points numeric,
  commands_issued bigint, commands_completed bigint, commands_failed bigint, commands_expired bigint
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
rows 10000 as $$
#variable_conflict use_column
begin
  return query
  with devices as (
    select d.day, s.device_id, max(s.active_devices) as active,
      sum(s.connections_started)::bigint as connections_started, sum(s.connected_seconds) as connected_seconds,
      sum(s.charging_sessions_started)::bigint as charging_started, sum(s.charging_seconds) as charging_seconds,
      sum(s.energy_wh) as energy_wh, sum(s.efficiency_energy_wh) as efficiency_energy_wh,
        sum(s.efficiency_weight) as efficiency_weight,
      sum(s.activity_events)::bigint as activity_events, sum(s.activity_errors)::bigint as activity_errors,
      sum(s.pop_events)::bigint as pop_events, sum(s.pop_events_validated)::bigint as pop_validated,
      sum(s.pop_events_rejected)::bigint as pop_rejected, sum(s.pop_points) as pop_points,
      sum(s.commands_issued)::bigint as commands_issued, sum(s.commands_completed)::bigint as commands_completed,
      sum(s.commands_failed)::bigint as commands_failed, sum(s.commands_expired)::bigint as commands_expired
    from unnest(p_days) d (day)
    join public.device_metrics_summary s
      on s.granularity = 'hour' and s.period_start >= d.day and s.period_start < d.day + interval '24 hours'
    where s.device_id is not null
    group by 1, 2
  )
  select d.day, d.device_id, d.active,
    d.connections_started, d.connected_seconds,
    d.charging_started, d.charging_seconds, d.energy_wh, d.efficiency_energy_wh, d.efficiency_weight,
    d.activity_events, d.activity_errors,
    d.pop_events, d.pop_validated, d.pop_rejected, d.pop_points,
    d.commands_issued, d.commands_completed, d.commands_failed, d.commands_expired
  from devices d
  union all
  select y.day, null::uuid, coalesce(f.active, 0),
    coalesce(f.connections_started, 0), coalesce(f.connected_seconds, 0),
    coalesce(f.charging_started, 0), coalesce(f.charging_seconds, 0), coalesce(f.energy_wh, 0),
    coalesce(f.efficiency_energy_wh, 0), coalesce(f.efficiency_weight, 0),
    coalesce(f.activity_events, 0), coalesce(f.activity_errors, 0),
    coalesce(f.pop_events, 0), coalesce(f.pop_validated, 0), coalesce(f.pop_rejected, 0), coalesce(f.pop_points, 0),
    coalesce(f.commands_issued, 0), coalesce(f.commands_completed, 0), coalesce(f.commands_failed, 0),
      coalesce(f.commands_expired, 0)
  from unnest(p_days) as y (day)
  left join (
    select d.day, sum(d.active)::integer as active,
      sum(d.connections_started)::bigint as connections_started, sum(d.connected_seconds) as connected_seconds,
      sum(d.charging_started)::bigint as charging_started, sum(d.charging_seconds) as charging_seconds,
      sum(d.energy_wh) as energy_wh, sum(d.efficiency_energy_wh) as efficiency_energy_wh,
        sum(d.efficiency_weight) as efficiency_weight,
      sum(d.activity_events)::bigint as activity_events, sum(d.activity_errors)::bigint as activity_errors,
      sum(d.pop_events)::bigint as pop_events, sum(d.pop_validated)::bigint as pop_validated,
      sum(d.pop_rejected)::bigint as pop_rejected, sum(d.pop_points) as pop_points,
      sum(d.commands_issued)::bigint as commands_issued, sum(d.commands_completed)::bigint as commands_completed,
      sum(d.commands_failed)::bigint as commands_failed, sum(d.commands_expired)::bigint as commands_expired
    from devices d
    group by 1
  ) f on f.day = y.day;
end
$$;
comment on function devices.metrics_day_rows(timestamptz[]) is
  'The metrics of UTC days (their starts), computed from the rows of their hours: devices and fleet';

-- Writes only what differs. Not "on conflict do update … where": that locks, and so rewrites the page of, every
-- row it leaves alone. The caller holds the job's lock, so nobody else inserts.
create function devices.store_metrics(p_granularity text, p_periods timestamptz[])
returns table (device_rows bigint, rows_written bigint)
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB' as $$
declare
  v_first constant timestamptz := (select min(p) from unnest(p_periods) p);
  v_last constant timestamptz := (select max(p) from unnest(p_periods) p);
begin
  -- Periods computed for the first time, which is most of them, have nothing to compare with.
  if not exists (
    select from public.device_metrics_summary s where s.period_start = any (p_periods) and s.granularity = p_granularity
  ) then
    insert into public.device_metrics_summary (
      granularity, period_start, device_id, active_devices, connections_started, connected_seconds,
      charging_sessions_started, charging_seconds, energy_wh, efficiency_energy_wh, efficiency_weight,
      activity_events, activity_errors, pop_events, pop_events_validated, pop_events_rejected, pop_points,
      commands_issued, commands_completed, commands_failed, commands_expired)
    select p_granularity, r.* from devices.metrics_hour_rows(v_first, v_last + interval '1 hour') r
      where p_granularity = 'hour'
    union all
    select p_granularity, r.* from devices.metrics_day_rows(p_periods) r where p_granularity = 'day'
    -- A device's rows together: its index is then filled from left to right, which is a sixth of the whole insert.
    order by device_id, period_start;
    get diagnostics rows_written = row_count;
    -- Each period has one row that is the fleet's.
    device_rows := rows_written - cardinality(p_periods);
    return next;
    return;
  end if;

  return query
  with fresh as materialized (
    select r.* from devices.metrics_hour_rows(v_first, v_last + interval '1 hour') r where p_granularity = 'hour'
    union all
    select r.* from devices.metrics_day_rows(p_periods) r where p_granularity = 'day'
  ),
  differing as materialized (
    select f.*, s.device_key as stored_key
    from fresh f
    left join public.device_metrics_summary s
      on s.period_start = any (p_periods) and s.granularity = p_granularity
      and s.period_start = f.period_start
      and s.device_key = coalesce(f.device_id, '00000000-0000-0000-0000-000000000000'::uuid)
    where s.device_key is null
      or (s.active_devices, s.connections_started, s.connected_seconds, s.charging_sessions_started, s.charging_seconds,
          s.energy_wh, s.efficiency_energy_wh, s.efficiency_weight, s.activity_events, s.activity_errors,
          s.pop_events, s.pop_events_validated, s.pop_events_rejected, s.pop_points,
          s.commands_issued, s.commands_completed, s.commands_failed, s.commands_expired)
        is distinct from
         (f.active_devices, f.connections_started, f.connected_seconds, f.charging_sessions_started, f.charging_seconds,
          f.energy_wh, f.efficiency_energy_wh, f.efficiency_weight, f.activity_events, f.activity_errors,
          f.pop_events, f.pop_events_validated, f.pop_events_rejected, f.pop_points,
          f.commands_issued, f.commands_completed, f.commands_failed, f.commands_expired)
  ),
  inserted as (
    insert into public.device_metrics_summary (
      granularity, period_start, device_id, active_devices, connections_started, connected_seconds,
      charging_sessions_started, charging_seconds, energy_wh, efficiency_energy_wh, efficiency_weight,
      activity_events, activity_errors, pop_events, pop_events_validated, pop_events_rejected, pop_points,
      commands_issued, commands_completed, commands_failed, commands_expired)
    select p_granularity, d.period_start, d.device_id, d.active_devices, d.connections_started, d.connected_seconds,
      d.charging_sessions_started, d.charging_seconds, d.energy_wh, d.efficiency_energy_wh, d.efficiency_weight,
      d.activity_events, d.activity_errors, d.pop_events, d.pop_events_validated, d.pop_events_rejected, d.pop_points,
      d.commands_issued, d.commands_completed, d.commands_failed, d.commands_expired
    from differing d
    where d.stored_key is null
    returning 1
  ),
  updated as (
    update public.device_metrics_summary s
    set active_devices = d.active_devices, connections_started = d.connections_started,
      connected_seconds = d.connected_seconds,
      charging_sessions_started = d.charging_sessions_started, charging_seconds = d.charging_seconds,
        energy_wh = d.energy_wh,
      efficiency_energy_wh = d.efficiency_energy_wh, efficiency_weight = d.efficiency_weight,
      activity_events = d.activity_events, activity_errors = d.activity_errors,
      pop_events = d.pop_events, pop_events_validated = d.pop_events_validated,
        pop_events_rejected = d.pop_events_rejected,
      pop_points = d.pop_points, commands_issued = d.commands_issued, commands_completed = d.commands_completed,
      commands_failed = d.commands_failed, commands_expired = d.commands_expired, computed_at = now()
    from differing d
    where s.period_start = d.period_start and s.device_key = d.stored_key and s.granularity = p_granularity
    returning 1
  ),
  gone as (
    delete from public.device_metrics_summary s
    where s.period_start = any (p_periods) and s.granularity = p_granularity
      and not exists (
        select from fresh f
        where f.period_start = s.period_start
          and coalesce(f.device_id, '00000000-0000-0000-0000-000000000000'::uuid) = s.device_key)
    returning 1
  )
  select
    (select count(*) from fresh f where f.device_id is not null),
    (select count(*) from inserted) + (select count(*) from updated) + (select count(*) from gone);
end
$$;
comment on function devices.store_metrics(text, timestamptz[]) is
  'Computes periods (contiguous ones when they are hours) and brings their summary rows in line, touching only rows '
    'that differ';
