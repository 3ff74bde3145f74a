-- What devices report: connections, charging, activity, proof of participation (PoP) and commands; and the summary that
-- `aggregate-device-metrics` makes of it.
--
-- Times named `*_at` are UTC instants. A session whose end is null is open. Devices have bad clocks: the times they
-- report are corrected when they are written, see bound_times at the end. Each time has to be finite, because hours are
-- counted between them.

create table public.devices (
  id uuid primary key default gen_random_uuid(),
  device_fingerprint text not null unique check (length(device_fingerprint) between 1 and 200),
  name text,
  device_type text not null default 'other'
    check (device_type in ('phone', 'tablet', 'laptop', 'desktop', 'charger', 'other')),
  os text,
  app_version text,
  wallet_address text,
  claimed_by uuid,
  status text not null default 'offline' check (status in ('online', 'offline', 'suspended', 'retired')),
  battery_percent smallint check (battery_percent between 0 and 100),
  last_seen_at timestamptz check (isfinite(last_seen_at)),
  registered_at timestamptz not null default now() check (isfinite(registered_at)),
  metadata jsonb not null default '{}'::jsonb check (jsonb_typeof(metadata) = 'object')
);
create index devices_status_last_seen_idx on public.devices (status, last_seen_at);
create index devices_claimed_by_idx on public.devices (claimed_by) where claimed_by is not null;
-- The sweep of the connections reads the devices that are online, in the order of their ids.
create index devices_online_idx on public.devices (id) where status = 'online';

comment on table public.devices is 'Registered devices; one row a device. A device that leaves is retired, not '
  'deleted';
comment on column public.devices.device_fingerprint is 'The name that the device gives itself; unique';
comment on column public.devices.claimed_by is 'The user who owns the device (auth.users.id), null while unclaimed';
comment on column public.devices.status is 'online and offline follow the connection sessions; suspended and retired '
  'are set by a person';
comment on column public.devices.last_seen_at is
  'Never goes back. While the device is connected it may be an hour behind; its open session has the exact time';

-- Heartbeats are the most frequent update: no index holds last_heartbeat_at, so that a heartbeat is a HOT update in the
-- space that the fill factor leaves.
create table public.device_connection_sessions (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.devices (id) on delete cascade,
  session_key text,
  status text not null default 'active' check (status in ('active', 'ended', 'timed_out')),
  connected_at timestamptz not null default now() check (isfinite(connected_at)),
  last_heartbeat_at timestamptz check (isfinite(last_heartbeat_at)),
  disconnected_at timestamptz check (isfinite(disconnected_at)),
  disconnect_reason text,
  ip_address inet,
  app_version text,
  metadata jsonb not null default '{}'::jsonb check (jsonb_typeof(metadata) = 'object'),
  check ((status = 'active') = (disconnected_at is null))
) with (fillfactor = 80);
create index device_connection_sessions_device_idx
  on public.device_connection_sessions (device_id, connected_at desc);
create index device_connection_sessions_open_idx
  on public.device_connection_sessions (device_id) where disconnected_at is null;
-- Finds the ended sessions that overlap an hour, old or new, with one index entry, written when a session ends.
create index device_connection_sessions_span_idx
  on public.device_connection_sessions
  using gist (tstzrange(connected_at, greatest(connected_at, disconnected_at), '[]'))
  where disconnected_at is not null;

comment on table public.device_connection_sessions is
  'One row a connection. It lasts from connected_at to disconnected_at or, while it is open, to last_heartbeat_at';
comment on column public.device_connection_sessions.status is
  'active: open; ended: the device ended it; timed_out: the monitor ended it, at its last heartbeat';
comment on column public.device_connection_sessions.last_heartbeat_at is
  'The latest heartbeat, by the database''s clock where device_heartbeat() writes it; null before the first';

create table public.charging_sessions (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.devices (id) on delete cascade,
  connection_session_id uuid references public.device_connection_sessions (id) on delete set null,
  status text not null default 'charging' check (status in ('charging', 'completed', 'interrupted')),
  started_at timestamptz not null default now() check (isfinite(started_at)),
  last_reading_at timestamptz check (isfinite(last_reading_at)),
  ended_at timestamptz check (isfinite(ended_at)),
  energy_wh numeric(14, 3) check (energy_wh >= 0 and energy_wh < 'Infinity'),
  efficiency_percent numeric(5, 2) check (efficiency_percent between 0 and 100),
  start_battery_percent smallint check (start_battery_percent between 0 and 100),
  end_battery_percent smallint check (end_battery_percent between 0 and 100),
  metadata jsonb not null default '{}'::jsonb check (jsonb_typeof(metadata) = 'object'),
  check ((status = 'charging') = (ended_at is null))
) with (fillfactor = 80);
create index charging_sessions_device_idx on public.charging_sessions (device_id, started_at desc);
create index charging_sessions_open_idx on public.charging_sessions (device_id) where ended_at is null;
create index charging_sessions_started_idx on public.charging_sessions (started_at);
create index charging_sessions_connection_idx on public.charging_sessions (connection_session_id);
create index charging_sessions_span_idx
  on public.charging_sessions using gist (tstzrange(started_at, greatest(started_at, ended_at), '[]'))
  where ended_at is not null;

comment on table public.charging_sessions is
  'One row a charge. It lasts from started_at to ended_at or, while it is open, to last_reading_at';
comment on column public.charging_sessions.energy_wh is 'Energy drawn so far, in watt hours; null when the device '
  'does not measure it';
comment on column public.charging_sessions.efficiency_percent is 'Share of the drawn energy that reached the battery, '
  '0 to 100; null when unknown';

-- Grows to tens of millions of rows. The primary key begins with the time, so that it also reads a stretch of hours.
-- Rows arrive nearly in time order, so it grows at its right edge, which is cached. A BRIN index would be smaller, but
-- its ranges only widen: once a retention job has freed the oldest pages and new rows fill them, they match every hour.
-- Partitioning by time needs this key, too.
create table public.device_activity_log (
  id bigint generated by default as identity,
  device_id uuid not null references public.devices (id) on delete cascade,
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  activity_type text not null check (length(activity_type) between 1 and 100),
  severity text not null default 'info' check (severity in ('info', 'warning', 'error')),
  details jsonb check (jsonb_typeof(details) = 'object'),
  primary key (occurred_at, id)
);
-- Reads the events of one device, and serves its foreign key.
create index device_activity_log_device_idx on public.device_activity_log (device_id, occurred_at desc);
-- At this size inserts alone have to start vacuum often enough to keep the visibility map useful.
alter table public.device_activity_log set (autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.02);

comment on table public.device_activity_log is 'What devices report, one row an event, insert mostly; read by time '
  'and by device';
comment on column public.device_activity_log.occurred_at is 'When it happened, by the device''s clock; the row may '
  'arrive much later';

create table public.pop_events_ledger (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.devices (id) on delete cascade,
  event_type text not null check (event_type in (
    'charging_session_completed', 'calibration_performed', 'battery_health_contribution',
    'thermal_data_collection', 'sustained_connection', 'diagnostic_report_submitted',
    'optimization_applied', 'community_contribution')),
  points numeric(14, 4) not null default 0 check (points >= 0 and points < 'Infinity'),
  status text not null default 'pending' check (status in ('pending', 'validated', 'rejected')),
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  validated_at timestamptz check (isfinite(validated_at)),
  validation_method text,
  wallet_address text,
  paid_out_at timestamptz check (isfinite(paid_out_at)),
  transaction_hash text,
  details jsonb not null default '{}'::jsonb check (jsonb_typeof(details) = 'object'),
  constraint pop_events_ledger_paid_when_validated check (paid_out_at is null or status = 'validated')
);
create index pop_events_ledger_occurred_idx on public.pop_events_ledger (occurred_at);
create index pop_events_ledger_device_idx on public.pop_events_ledger (device_id, occurred_at desc);
create index pop_events_ledger_pending_idx on public.pop_events_ledger (occurred_at) where status = 'pending';

comment on table public.pop_events_ledger is 'Proof of participation: what a device did for the network, and the '
  'points it earns once validated';

create table public.engagement_commands (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.devices (id) on delete cascade,
  command_type text not null check (length(command_type) between 1 and 100),
  payload jsonb not null default '{}'::jsonb check (jsonb_typeof(payload) = 'object'),
  priority smallint not null default 5 check (priority between 1 and 10),
  status text not null default 'pending'
    check (status in ('pending', 'sent', 'acknowledged', 'completed', 'failed', 'expired', 'cancelled')),
  issued_at timestamptz not null default now() check (isfinite(issued_at)),
  issued_by text,
  sent_at timestamptz check (isfinite(sent_at)),
  handed_over_count integer not null default 0 check (handed_over_count >= 0),
  handed_to_session_id uuid,
  acknowledged_at timestamptz check (isfinite(acknowledged_at)),
  finished_at timestamptz check (isfinite(finished_at)),
  expires_at timestamptz check (isfinite(expires_at)),
  result jsonb,
  error_message text
);
create index engagement_commands_issued_idx on public.engagement_commands (issued_at);
create index engagement_commands_device_idx on public.engagement_commands (device_id, issued_at desc);
-- Commands that a device has not acknowledged: in the order in which it gets them, and by the time when they expire.
-- Those that never expire are not in the second one, or the planner may read them all there for each device.
create index engagement_commands_waiting_idx
  on public.engagement_commands (device_id, priority, issued_at) where status in ('pending', 'sent');
create index engagement_commands_expires_idx
  on public.engagement_commands (expires_at) where status in ('pending', 'sent') and expires_at is not null;

comment on table public.engagement_commands is 'Commands for devices: pending until handed over (sent), then '
  'acknowledged, then completed, failed, expired or cancelled';
comment on column public.engagement_commands.id is 'Also the idempotency key for the device: the same at every '
  'hand-over';
comment on column public.engagement_commands.priority is '1 is handed over first, 10 last';
comment on column public.engagement_commands.sent_at is 'When it was last handed over';
comment on column public.engagement_commands.handed_over_count is 'How many sessions it was handed over to';
-- No foreign key: old sessions are deleted before their commands. A session that was deleted has ended.
comment on column public.engagement_commands.handed_to_session_id is
  'The session it was last handed over to; when that ends before the device acknowledges, the next one gets it';
comment on column public.engagement_commands.finished_at is 'When it became completed, failed, expired or cancelled';

-- Rows of the fleet have no device. A primary key cannot hold null, so it has device_key: all zeros is the fleet.
-- The time comes first in the key: rows are written in its order, and times are compared faster than texts.
-- No foreign key to devices: a summary outlives its device, and a check of each row would double the cost of writing.
create table public.device_metrics_summary (
  granularity text not null check (granularity in ('hour', 'day')),
  period_start timestamptz not null,
  device_id uuid,
  device_key uuid not null
    generated always as (coalesce(device_id, '00000000-0000-0000-0000-000000000000'::uuid)) stored,
  active_devices integer not null default 0,
  connections_started bigint not null default 0,
  connected_seconds numeric not null default 0,
  charging_sessions_started bigint not null default 0,
  charging_seconds numeric not null default 0,
  energy_wh numeric not null default 0,
  efficiency_energy_wh numeric not null default 0,
  efficiency_weight numeric not null default 0,
  charging_efficiency_percent numeric
    generated always as (round(efficiency_weight / nullif(efficiency_energy_wh, 0), 2)) stored,
  activity_events bigint not null default 0,
  activity_errors bigint not null default 0,
  pop_events bigint not null default 0,
  pop_events_validated bigint not null default 0,
  pop_events_rejected bigint not null default 0,
  pop_points numeric not null default 0,
  commands_issued bigint not null default 0,
  commands_completed bigint not null default 0,
  commands_failed bigint not null default 0,
  commands_expired bigint not null default 0,
  computed_at timestamptz not null default now(),
  primary key (period_start, device_key, granularity)
);
create index device_metrics_summary_device_idx
  on public.device_metrics_summary (device_key, period_start, granularity);

comment on table public.device_metrics_summary is
  'Metrics of an hour or a UTC day, a row for each device that did anything and a row for the fleet (device_id is '
    'null)';
comment on column public.device_metrics_summary.period_start is 'Start of the hour or of the UTC day; the period ends '
  'before the next one starts';
comment on column public.device_metrics_summary.device_key is 'device_id, or all zeros for the fleet; never null, '
  'for the primary key';
comment on column public.device_metrics_summary.active_devices is
  'Devices that connected, charged, reported or took part in the period: 0 or 1 in a device row, a distinct count in '
    'a fleet row';
comment on column public.device_metrics_summary.connections_started is 'Connections that began in the period';
comment on column public.device_metrics_summary.connected_seconds is
  'Seconds of connection in the period, sessions added up: two sessions at once count twice';
comment on column public.device_metrics_summary.charging_seconds is 'Seconds of charging in the period, sessions '
  'added up';
comment on column public.device_metrics_summary.energy_wh is
  'Watt hours drawn in the period; a session that spans periods gives each its share by time, and the shares add up '
    'to the whole';
comment on column public.device_metrics_summary.efficiency_energy_wh is 'The part of energy_wh whose efficiency is '
  'known';
comment on column public.device_metrics_summary.efficiency_weight is 'Sum of energy (Wh) times efficiency (percent), '
  'kept so that averages of averages stay exact';
comment on column public.device_metrics_summary.charging_efficiency_percent is
  'Efficiency weighted by energy: efficiency_weight / efficiency_energy_wh; null when no energy has a known efficiency';
comment on column public.device_metrics_summary.pop_events is 'PoP events that occurred in the period, whatever their '
  'status is now';
comment on column public.device_metrics_summary.pop_points is 'Points of the validated events that occurred in the '
  'period';
comment on column public.device_metrics_summary.commands_issued is
  'Commands issued in the period; completed, failed and expired count the ends of these, also after the period';
comment on column public.device_metrics_summary.computed_at is 'When the row was last written; a run that finds the '
  'same figures does not write it';

-- A session lasts a year at most: a longer one is ended, and a new one begins.
select
  scheduler.bound_times('public.devices', array['registered_at', 'last_seen_at']),
  scheduler.bound_times('public.device_connection_sessions', array['connected_at', 'last_heartbeat_at',
    'disconnected_at'], 'connected_at', '366 days'),
  scheduler.bound_times('public.charging_sessions', array['started_at', 'last_reading_at', 'ended_at'], 'started_at',
    '366 days'),
  scheduler.bound_times('public.device_activity_log', array['occurred_at']),
  scheduler.bound_times('public.pop_events_ledger', array['occurred_at', 'validated_at', 'paid_out_at'], 'occurred_at'),
  scheduler.bound_times('public.engagement_commands', array['issued_at', 'sent_at', 'acknowledged_at', 'finished_at'],
    'issued_at');

alter table public.devices enable row level security;
alter table public.device_connection_sessions enable row level security;
alter table public.charging_sessions enable row level security;
alter table public.device_activity_log enable row level security;
alter table public.pop_events_ledger enable row level security;
alter table public.engagement_commands enable row level security;
alter table public.device_metrics_summary enable row level security;

revoke all on table public.devices, public.device_connection_sessions, public.charging_sessions,
  public.device_activity_log,
  public.pop_events_ledger, public.engagement_commands, public.device_metrics_summary
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.devices, public.device_connection_sessions,
  public.charging_sessions,
  public.device_activity_log, public.pop_events_ledger, public.engagement_commands
  to service_role;
grant select on table public.device_metrics_summary to service_role;
-- An insert needs no right on an identity column's sequence, and a role with that right could exhaust it.
revoke all on sequence public.device_activity_log_id_seq from public, anon, authenticated, service_role;
