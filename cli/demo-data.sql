-- Demo data: days of a fleet, made set by set. Settings of the session say how much:
--   demo.devices, demo.days, demo.seed (integers) and demo.until (timestamptz)
-- Every row follows from the seed, the device's number and the time slot alone, through hashes: the same settings
-- give the same rows, and a later run continues where an earlier one ended (its open sessions go on).
-- cli/demo-data.ts runs the steps one by one in one transaction; a step begins at a line "-- step: <table>".

-- step: preparation
create or replace function pg_temp.demo_roll(p_what bigint, p_purpose integer) returns double precision
language sql stable as $$
  select (hashint8extended(p_what, current_setting('demo.seed')::bigint * 1000 + p_purpose) & 9007199254740991)
    / 9007199254740992::double precision
$$;

create temp table demo_device on commit drop as
select n as number,
  md5('demo device ' || current_setting('demo.seed') || ' ' || n)::uuid as id,
  -- Hours that the device's people are ahead of UTC: the fleet is never all awake or all asleep.
  (array[-8, -5, -5, 0, 0, 1, 1, 1, 2, 8])[1 + floor(pg_temp.demo_roll(n, 1) * 10)::integer] as ahead,
  (array['phone', 'phone', 'phone', 'phone', 'tablet', 'laptop', 'charger'])[1 + floor(pg_temp.demo_roll(n, 2) * 7)::integer] as device_type,
  20 + floor(pg_temp.demo_roll(n, 3) * 11)::integer as report_seconds
from generate_series(1, current_setting('demo.devices')::bigint) n;

create temp table demo_session on commit drop as
select s.*, ends_at <= current_setting('demo.until')::timestamptz as over,
  least(ends_at, current_setting('demo.until')::timestamptz) as seen_until,
  md5('demo session ' || current_setting('demo.seed') || ' ' || key)::uuid as id
from (
  select d.number, d.id as device_id, d.device_type, d.report_seconds, k.key, w.starts_at,
    w.starts_at + interval '1 hour' * (w.hours_least + w.hours_more * pg_temp.demo_roll(k.key, 11)) as ends_at
  from demo_device d
  cross join generate_series(
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400 - current_setting('demo.days')::bigint - 1,
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400 + 1) as y (day)
  -- Morning, midday, evening: likelihood, earliest local hour, spread, shortest and additional length in hours.
  cross join lateral (values
    (0, 0.80, 6.0, 3.0, 0.3, 2.0), (1, 0.55, 11.0, 4.0, 0.5, 4.0), (2, 0.90, 17.0, 4.0, 1.5, 5.5)
  ) p (part, likelihood, hour, spread, hours_least, hours_more)
  cross join lateral (select (d.number * 100000 + y.day) * 4 + p.part as key) k
  cross join lateral (
    select to_timestamp(y.day * 86400 + round((p.hour - d.ahead + p.spread * pg_temp.demo_roll(k.key, 10)) * 3600)) as starts_at,
      p.hours_least, p.hours_more
  ) w
  -- Weekends are quieter.
  where pg_temp.demo_roll(k.key, 12) < p.likelihood * case when (y.day + 4) % 7 in (0, 6) then 0.7 else 1 end
) s
where starts_at < current_setting('demo.until')::timestamptz
  and starts_at >= current_setting('demo.until')::timestamptz - interval '1 day' * current_setting('demo.days')::integer;
analyze demo_session;

create temp table demo_charge on commit drop as
select c.*, ends_at <= current_setting('demo.until')::timestamptz as over,
  least(ends_at, current_setting('demo.until')::timestamptz) as seen_until,
  md5('demo charge ' || current_setting('demo.seed') || ' ' || key)::uuid as id
from (
  select d.number, d.id as device_id, k.key, w.starts_at, d.device_type,
    w.starts_at + interval '1 hour' * (1.5 + 6 * pg_temp.demo_roll(k.key, 21)) as ends_at,
    case d.device_type when 'laptop' then 11.0 when 'tablet' then 6.0 when 'charger' then 20.0 else 2.8 end
      * (0.7 + 0.6 * pg_temp.demo_roll(k.key, 22)) as watts
  from demo_device d
  cross join generate_series(
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400 - current_setting('demo.days')::bigint - 1,
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400 + 1) as y (day)
  cross join lateral (select d.number * 100000 + y.day as key) k
  cross join lateral (
    select to_timestamp(y.day * 86400 + round((21 - d.ahead + 3 * pg_temp.demo_roll(k.key, 20)) * 3600)) as starts_at
  ) w
  where pg_temp.demo_roll(k.key, 23) < 0.85
) c
where starts_at < current_setting('demo.until')::timestamptz
  and starts_at >= current_setting('demo.until')::timestamptz - interval '1 day' * current_setting('demo.days')::integer;
analyze demo_charge;

-- step: devices
insert into public.devices (id, device_fingerprint, name, device_type, os, app_version, wallet_address, status,
  battery_percent, last_seen_at, registered_at)
select d.id, format('demo-%s-%s', current_setting('demo.seed'), d.number), initcap(d.device_type) || ' ' || d.number, d.device_type,
  case d.device_type when 'laptop' then 'linux' when 'charger' then 'firmware' else 'android' end,
  '2.' || floor(pg_temp.demo_roll(d.number, 4) * 6), '0x' || md5('demo wallet ' || current_setting('demo.seed') || ' ' || d.number),
  case when l.is_open then 'online' else 'offline' end, 5 + floor(pg_temp.demo_roll(d.number, 5) * 96),
  l.seen_at, current_setting('demo.until')::timestamptz - interval '1 day' * current_setting('demo.days')::integer
from demo_device d
left join (select s.number, max(s.seen_until) as seen_at, bool_or(not s.over) as is_open from demo_session s group by 1) l using (number)
on conflict (id) do update set status = excluded.status, last_seen_at = excluded.last_seen_at
where (devices.status, devices.last_seen_at) is distinct from (excluded.status, excluded.last_seen_at);

-- step: device_connection_sessions
insert into public.device_connection_sessions (id, device_id, session_key, status, connected_at, last_heartbeat_at, disconnected_at,
  disconnect_reason, app_version)
select s.id, s.device_id, 'demo-' || s.key,
  case when not s.over then 'active' when pg_temp.demo_roll(s.key, 13) < 0.1 then 'timed_out' else 'ended' end,
  s.starts_at, s.seen_until, case when s.over then s.ends_at end,
  case when not s.over then null when pg_temp.demo_roll(s.key, 13) < 0.1 then 'heartbeat_timeout' else 'client_disconnect' end,
  '2.' || floor(pg_temp.demo_roll(s.number, 4) * 6)
from demo_session s
on conflict (id) do update set status = excluded.status, last_heartbeat_at = excluded.last_heartbeat_at,
  disconnected_at = excluded.disconnected_at, disconnect_reason = excluded.disconnect_reason
where (device_connection_sessions.status, device_connection_sessions.last_heartbeat_at)
  is distinct from (excluded.status, excluded.last_heartbeat_at);

-- step: charging_sessions
insert into public.charging_sessions (id, device_id, status, started_at, last_reading_at, ended_at, energy_wh, efficiency_percent,
  start_battery_percent, end_battery_percent)
select c.id, c.device_id,
  case when not c.over then 'charging' when pg_temp.demo_roll(c.key, 24) < 0.06 then 'interrupted' else 'completed' end,
  c.starts_at, c.seen_until, case when c.over then c.ends_at end,
  -- One in twenty-five does not measure its energy, as many do not know their efficiency.
  case when pg_temp.demo_roll(c.key, 25) >= 0.04
    then round((c.watts * extract(epoch from c.seen_until - c.starts_at) / 3600)::numeric, 3) end,
  case when pg_temp.demo_roll(c.key, 26) >= 0.04
    then round((68 + 29 * sqrt(pg_temp.demo_roll(c.key, 27)))::numeric, 2) end,
  5 + floor(pg_temp.demo_roll(c.key, 28) * 40), case when c.over then 80 + floor(pg_temp.demo_roll(c.key, 29) * 21) end
from demo_charge c
on conflict (id) do update set status = excluded.status, last_reading_at = excluded.last_reading_at, ended_at = excluded.ended_at,
  energy_wh = excluded.energy_wh, end_battery_percent = excluded.end_battery_percent
where (charging_sessions.status, charging_sessions.last_reading_at) is distinct from (excluded.status, excluded.last_reading_at);

-- step: device_activity_log
-- Numbers below zero never meet those of the sequence.
insert into public.device_activity_log (id, device_id, occurred_at, activity_type, severity, details)
select -1 - (s.key * 10000 + r.report), s.device_id, s.starts_at + interval '1 second' * (r.report * s.report_seconds + r.roll * 10),
  case
    when r.roll < 0.55 then 'heartbeat'
    when r.roll < 0.80 then 'telemetry'
    when r.roll < 0.90 then 'sync'
    when r.roll < 0.96 then 'app_foreground'
    when r.roll < 0.985 then 'network_change'
    else 'thermal_reading'
  end,
  case when r.roll between 0.79 and 0.80 then 'error' when r.roll between 0.76 and 0.79 then 'warning' else 'info' end,
  case when r.roll between 0.79 and 0.80 then '{"code": "upload_failed"}'::jsonb end
from demo_session s
cross join lateral (
  select i as report, pg_temp.demo_roll(s.key * 10000 + i, 30) as roll
  from generate_series(0, floor(extract(epoch from s.seen_until - s.starts_at) / s.report_seconds)::bigint - 1) i
) r
order by 3
on conflict do nothing;

-- step: pop_events_ledger
insert into public.pop_events_ledger (id, device_id, event_type, points, status, occurred_at, validated_at, validation_method, wallet_address)
select md5('demo pop ' || current_setting('demo.seed') || ' ' || e.event_type || ' ' || e.key)::uuid, e.device_id, e.event_type, e.points,
  e.status, e.occurred_at, case when e.status <> 'pending' then e.occurred_at + interval '5 minutes' end,
  case when e.status <> 'pending' then 'automatic' end, '0x' || md5('demo wallet ' || current_setting('demo.seed') || ' ' || e.number)
from (
  select v.*,
    case
      when pg_temp.demo_roll(v.key, 41) < 0.06 then 'rejected'
      when v.occurred_at > current_setting('demo.until')::timestamptz - interval '2 hours' and pg_temp.demo_roll(v.key, 42) < 0.5 then 'pending'
      else 'validated'
    end as status
  from (
    select c.number, c.device_id, c.key, 'charging_session_completed' as event_type, c.ends_at as occurred_at,
      round((5 + 15 * pg_temp.demo_roll(c.key, 40))::numeric, 4) as points
    from demo_charge c where c.over
    union all
    select s.number, s.device_id, s.key * 100 + h.hour, 'sustained_connection', s.starts_at + interval '1 hour' * h.hour, 0.5 * h.hour
    from demo_session s
    cross join lateral generate_series(1, floor(extract(epoch from s.seen_until - s.starts_at) / 3600)::bigint) h (hour)
  ) v
) e
order by e.occurred_at
on conflict (id) do update set status = excluded.status, validated_at = excluded.validated_at, validation_method = excluded.validation_method
where pop_events_ledger.status is distinct from excluded.status;

-- step: engagement_commands
insert into public.engagement_commands (id, device_id, command_type, priority, status, issued_at, issued_by, sent_at, acknowledged_at,
  finished_at, expires_at, error_message)
select md5('demo command ' || current_setting('demo.seed') || ' ' || c.key)::uuid, c.device_id, c.command_type,
  1 + floor(pg_temp.demo_roll(c.key, 52) * 10), c.status, c.issued_at, 'demo',
  case when c.status in ('sent', 'completed', 'failed') then c.issued_at + interval '20 seconds' end,
  case when c.status in ('completed', 'failed') then c.issued_at + interval '25 seconds' end,
  case when c.status in ('completed', 'failed') then c.issued_at + interval '90 seconds' end,
  c.issued_at + interval '6 hours', case when c.status = 'failed' then 'device refused the command' end
from (
  select d.id as device_id, k.key, t.issued_at,
    (array['notify', 'sync_now', 'calibrate_battery', 'update_settings', 'run_diagnostics'])[1 + floor(pg_temp.demo_roll(k.key, 53) * 5)::integer]
      as command_type,
    case
      when t.issued_at > current_setting('demo.until')::timestamptz - interval '30 minutes' then 'pending'
      when pg_temp.demo_roll(k.key, 54) < 0.78 then 'completed'
      when pg_temp.demo_roll(k.key, 54) < 0.88 then 'failed'
      when t.issued_at > current_setting('demo.until')::timestamptz - interval '6 hours' then 'sent'
      else 'expired'
    end as status
  from demo_device d
  cross join generate_series(
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400 - current_setting('demo.days')::bigint,
    extract(epoch from current_setting('demo.until')::timestamptz)::bigint / 86400) as y (day)
  cross join generate_series(0, 2) n (number)
  cross join lateral (select (d.number * 100000 + y.day) * 4 + n.number as key) k
  cross join lateral (select to_timestamp(y.day * 86400 + floor(pg_temp.demo_roll(k.key, 50) * 86400)) as issued_at) t
  where pg_temp.demo_roll(k.key, 51) < 0.6
    and t.issued_at < current_setting('demo.until')::timestamptz
    and t.issued_at >= current_setting('demo.until')::timestamptz - interval '1 day' * current_setting('demo.days')::integer
) c
on conflict (id) do update set status = excluded.status, sent_at = excluded.sent_at, acknowledged_at = excluded.acknowledged_at,
  finished_at = excluded.finished_at, error_message = excluded.error_message
where engagement_commands.status is distinct from excluded.status;
