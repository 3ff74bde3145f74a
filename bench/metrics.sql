-- One day of bench.devices devices, each online for 12 hours in three sessions and reporting every 25 seconds: 1,728
-- activity rows a device. Loaded in time order, as rows arrive, and without the check of the foreign key, which costs
-- a bulk load most of its time and has no part in what is measured.
truncate public.devices, public.device_activity_log, public.device_metrics_summary, devices.metrics_periods,
  devices.metrics_changes cascade;
alter table public.device_activity_log drop constraint if exists device_activity_log_device_id_fkey;

insert into public.devices (id, device_fingerprint)
select md5('bench ' || n)::uuid, 'bench-' || n
from generate_series(1, current_setting('bench.devices')::integer) n;

insert into public.device_connection_sessions (device_id, status, connected_at, disconnected_at)
select md5('bench ' || n)::uuid, 'ended', s.starts_at, s.starts_at + interval '4 hours'
from generate_series(1, current_setting('bench.devices')::integer) n
cross join generate_series(0, 2) k
cross join lateral (
  select timestamptz '2026-03-01 00:00+00' + k * interval '7 hours' + (n % 120) * interval '1 minute' + (n % 25) * interval '1 second' as starts_at
) s;

insert into public.charging_sessions (device_id, status, started_at, ended_at, energy_wh, efficiency_percent)
select md5('bench ' || n)::uuid, 'completed', s.starts_at, s.starts_at + interval '3 hours', 5 + n % 20, 70 + n % 25
from generate_series(1, current_setting('bench.devices')::integer) n
cross join lateral (select timestamptz '2026-03-01 00:00+00' + (n % 1200) * interval '1 minute' as starts_at) s;

insert into public.device_activity_log (device_id, occurred_at, activity_type, severity)
select c.device_id, c.connected_at + i * interval '25 seconds', 'heartbeat', case when i % 50 = 0 then 'error' else 'info' end
from public.device_connection_sessions c
cross join generate_series(0, 575) i
order by 2;

insert into public.pop_events_ledger (device_id, event_type, points, status, occurred_at)
select c.device_id, 'sustained_connection', 2, 'validated', c.disconnected_at from public.device_connection_sessions c;

insert into public.engagement_commands (device_id, command_type, status, issued_at)
select c.device_id, 'notify', 'completed', c.connected_at from public.device_connection_sessions c;
