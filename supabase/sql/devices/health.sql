-- The figures of the devices in the health check. They are read from the summary, not from device_activity_log, which
-- has tens of millions of rows.

create function devices.devices_health() returns jsonb
language sql stable set search_path = '' as $$
  with fleet as (
    select count(*) as watched,
      count(*) filter (where status = 'online') as online,
      count(*) filter (where last_seen_at > now() - interval '7 days') as seen_in_week,
      count(*) filter (where last_seen_at > now() - interval '24 hours') as seen_in_day,
      -- Clocks of devices run fast.
      least(max(last_seen_at), now()) as last_seen_at,
      date_bin('1 hour', min(registered_at), '2000-01-01 00:00+00') as first_hour
    from public.devices
    where status in ('online', 'offline')
  ), sessions as (
    select count(*) as open,
      -- monitor-device-connections ends them after a few minutes, and pauses for half an hour at most.
      count(*) filter (where coalesce(last_heartbeat_at, connected_at) < now() - interval '45 minutes') as silent
    from public.device_connection_sessions
    where disconnected_at is null
  ), summary as (
    select max(period_start) + interval '1 hour' as summarized_until,
      sum(activity_events) filter (where period_start > now() - interval '25 hours')::bigint as events,
      sum(activity_errors) filter (where period_start > now() - interval '25 hours')::bigint as errors
    from public.device_metrics_summary
    where granularity = 'hour' and device_key = '00000000-0000-0000-0000-000000000000'
      -- No further back than a device may have been seen for the figures below.
      and period_start > now() - interval '8 days'
  ), metrics as (
    -- Without any summary in eight days the job never ran, is dead, or lists its hours and fails to compute them. Then
    -- the gap begins with the first hour that is not listed or not computed, and not before there was a device.
    select coalesce(summary.summarized_until, greatest(
      date_bin('1 hour', now(), '2000-01-01 00:00+00') - interval '8 days',
      fleet.first_hour,
      least(
        (select next_hour from devices.metrics_state),
        (select min(period_start) from devices.metrics_periods where granularity = 'hour' and pending)
      ))) as complete_until
    from fleet, summary
  )
  select jsonb_build_object(
    'watched', fleet.watched,
    'figures', jsonb_build_object(
      'seen_percent', scheduler.percent(fleet.seen_in_day, fleet.seen_in_week, 5),
      'silent_sessions_percent', scheduler.percent(sessions.silent, sessions.open, 5),
      'error_events_percent', scheduler.percent(summary.errors, summary.events, 100),
      -- The hour in which a device was seen last is to be summarized once it is over.
      'metrics_behind_seconds', case when fleet.last_seen_at < metrics.complete_until then 0
        else extract(epoch from date_bin('1 hour', fleet.last_seen_at, '2000-01-01 '
          '00:00+00') - metrics.complete_until) end
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'devices', fleet.watched, 'online', fleet.online, 'seen_in_day', fleet.seen_in_day,
      'open_sessions', sessions.open, 'silent_sessions', sessions.silent,
      'summarized_until', summary.summarized_until)),
    'notes', '[]'::jsonb
  )
  from fleet, sessions, summary, metrics;
$$;
comment on function devices.devices_health() is
  'Figures of the devices in use: seen in 24 hours of those seen in a week, open sessions without a heartbeat for 45 '
    'minutes, reported errors, and how far the hourly metrics are behind.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('devices', 'devices', 'Devices', 10, 'devices.devices_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('devices', 'seen_percent', 'seen in 24 h of those in 7 days', 'percent', 'lower', 50, 20, null),
  ('devices', 'silent_sessions_percent', 'sessions without heartbeat', 'percent', 'higher', 10, 50, null),
  ('devices', 'error_events_percent', 'errors of reported events', 'percent', 'higher', 5, 20, null),
  ('devices', 'metrics_behind_seconds', 'metrics behind', 'seconds', 'higher', 7200, 21600, null);

create function devices.charging_health() returns jsonb
language sql stable set search_path = '' as $$
  with open_sessions as (
    select count(*) as open,
      count(*) filter (where coalesce(last_reading_at, started_at) < now() - interval '1 hour') as silent
    from public.charging_sessions
    where ended_at is null
  ), recent as (
    select count(*) as ended,
      count(*) filter (where status = 'interrupted') as interrupted,
      round(sum(energy_wh * efficiency_percent)
        / nullif(sum(energy_wh) filter (where efficiency_percent is not null), 0), 1) as efficiency,
      sum(energy_wh) as energy_wh
    from public.charging_sessions
    where started_at > now() - interval '24 hours' and ended_at is not null
  )
  select jsonb_build_object(
    'watched', open_sessions.open + recent.ended,
    'figures', jsonb_build_object(
      'efficiency_percent', recent.efficiency,
      'interrupted_percent', scheduler.percent(recent.interrupted, recent.ended, 5),
      'silent_sessions_percent', scheduler.percent(open_sessions.silent, open_sessions.open, 5)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'charging', open_sessions.open, 'silent_sessions', open_sessions.silent,
      'ended', recent.ended, 'interrupted', recent.interrupted, 'energy_wh', recent.energy_wh)),
    'notes', '[]'::jsonb
  )
  from open_sessions, recent;
$$;
comment on function devices.charging_health() is
  'Figures of the charges that began in the last 24 hours: efficiency (weighted by energy), interruptions; and open '
    'ones without a reading for an hour.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('charging', 'devices', 'Charging', 6, 'devices.charging_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('charging', 'efficiency_percent', 'efficiency', 'percent', 'lower', 70, 50, null),
  ('charging', 'interrupted_percent', 'interrupted', 'percent', 'higher', 20, 50, null),
  ('charging', 'silent_sessions_percent', 'charging without a reading', 'percent', 'higher', 10, 50, null);

create function devices.pop_health() returns jsonb
language sql stable set search_path = '' as $$
  with recent as (
    select count(*) as events,
      count(*) filter (where status = 'validated') as validated,
      count(*) filter (where status <> 'pending') as decided,
      sum(points) filter (where status = 'validated') as points
    from public.pop_events_ledger
    where occurred_at > now() - interval '24 hours'
  ), pending as (
    select min(occurred_at) as oldest from public.pop_events_ledger where status = 'pending'
  )
  select jsonb_build_object(
    'watched', recent.events + (pending.oldest is not null)::integer,
    'figures', jsonb_build_object(
      'validated_percent', scheduler.percent(recent.validated, recent.decided, 5),
      'oldest_pending_seconds', scheduler.seconds_since(pending.oldest)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'events', recent.events, 'validated', recent.validated,
      'rejected', recent.decided - recent.validated, 'points', recent.points)),
    'notes', '[]'::jsonb
  )
  from recent, pending;
$$;
comment on function devices.pop_health() is
  'Figures of proof of participation: validated of the decided events of 24 hours, and how long the oldest one waits.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('pop', 'devices', 'PoP', 4, 'devices.pop_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('pop', 'validated_percent', 'validated', 'percent', 'lower', 80, 50, null),
  ('pop', 'oldest_pending_seconds', 'oldest pending event', 'seconds', 'higher', 86400, 259200, null);

create function devices.commands_health() returns jsonb
language sql stable set search_path = '' as $$
  with recent as (
    select count(*) as issued,
      count(*) filter (where status = 'completed') as completed,
      count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status = 'expired') as expired
    from public.engagement_commands
    where issued_at > now() - interval '24 hours'
  ), pending as (
    select count(*) as pending,
      count(*) filter (where expires_at < now() - interval '1 hour') as overdue,
      -- A command for a device that is not connected has to wait.
      count(*) filter (where issued_at < now() - interval '1 hour' and (expires_at is null or expires_at > now())
        and exists (
          select from public.device_connection_sessions as sessions
          join public.devices on devices.id = sessions.device_id and devices.status in ('online', 'offline')
          where sessions.device_id = commands.device_id and sessions.disconnected_at is null
            and coalesce(sessions.last_heartbeat_at, sessions.connected_at) > now() - interval '15 minutes'
            and sessions.connected_at < now() - interval '1 hour'
        )) as undelivered
    from public.engagement_commands as commands
    where status = 'pending'
  )
  select jsonb_build_object(
    'watched', recent.issued + pending.pending,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(recent.failed, recent.completed + recent.failed, 5),
      'expired_percent', scheduler.percent(
        recent.expired, recent.completed + recent.failed + recent.expired, 5),
      'undelivered_commands', pending.undelivered,
      'overdue_commands', pending.overdue
    ),
    'details', jsonb_build_object(
      'issued', recent.issued, 'completed', recent.completed, 'failed', recent.failed,
      'expired', recent.expired, 'pending', pending.pending),
    'notes', '[]'::jsonb
  )
  from recent, pending;
$$;
comment on function devices.commands_health() is
  'Figures of the commands issued in 24 hours: failed, expired; and pending ones, an hour old, that a connected '
    'device was not handed or whose time is up.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('commands', 'devices', 'Commands', 4, 'devices.commands_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('commands', 'failed_percent', 'failed', 'percent', 'higher', 20, 50, null),
  ('commands', 'expired_percent', 'expired', 'percent', 'higher', 20, 50, null),
  ('commands', 'undelivered_commands', 'not handed over', 'count', 'higher', 1, 50, null),
  ('commands', 'overdue_commands', 'past their time', 'count', 'higher', 1, 100, null);
