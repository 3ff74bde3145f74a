-- The metrics of the devices.

-- Which stretches of time no hour of the summary covers yet: two days from next_hour on, and the newest 48 of the
-- earlier hours that are on the list of hours to compute and have no row. So a scrape stays cheap when the aggregation
-- does not run. The sums do not grow meanwhile; they catch up when it runs again.
create function devices.unsummarized_stretches() returns table (from_at timestamptz, to_at timestamptz)
language sql stable set search_path = '' rows 50 as $$
  select state.next_hour, state.next_hour + interval '48 hours' from devices.metrics_state as state
  union all
  (select periods.period_start, periods.period_start + interval '1 hour'
  from devices.metrics_periods as periods
  where periods.granularity = 'hour' and periods.pending
    and periods.period_start < (select next_hour from devices.metrics_state)
    and not exists (
      select from public.device_metrics_summary as summary
      where summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
        and summary.period_start = periods.period_start)
  order by periods.period_start desc
  limit 48);
$$;
comment on function devices.unsummarized_stretches() is
  'The stretches of time whose raw device rows no fleet row of the summary counts yet, 96 hours at most.';

-- Each moment is counted once: whole days by the fleet's rows of days, the other days by those of their hours, and
-- later times by the raw rows. A day is whole when it is not on the list of days to compute and ends before next_hour.
create function devices.summarized_sums()
returns table (charging_sessions numeric, pop_events numeric, pop_validated numeric, pop_rejected numeric,
  pop_points numeric, commands numeric)
language sql stable set search_path = '' rows 1 as $$
  with state as (
    select next_hour from devices.metrics_state
  ), open_days as (
    select periods.period_start as day from devices.metrics_periods as periods
    where periods.granularity = 'day' and periods.pending
    union
    select date_bin('24 hours', next_hour, '2000-01-01 00:00+00') from state
  ), fleet as (
    select summary.* from public.device_metrics_summary as summary, state
    where summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'day'
      and summary.period_start <= state.next_hour - interval '24 hours'
      and summary.period_start not in (select day from open_days)
    union all
    select summary.* from open_days
    cross join state
    join public.device_metrics_summary as summary
      on summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
      and summary.period_start >= open_days.day
      and summary.period_start < least(open_days.day + interval '24 hours', state.next_hour)
  )
  select coalesce(sum(charging_sessions_started), 0), coalesce(sum(pop_events), 0),
    coalesce(sum(pop_events_validated), 0), coalesce(sum(pop_events_rejected), 0), coalesce(sum(pop_points), 0),
    coalesce(sum(commands_issued), 0)
  from fleet;
$$;
comment on function devices.summarized_sums() is 'Sums of the fleet since the first row, by its rows of the summary.';

create function devices.unsummarized_sums()
returns table (charging_sessions bigint, pop_events bigint, pop_validated bigint, pop_rejected bigint,
  pop_points numeric, commands bigint)
language sql stable set search_path = '' rows 1 as $$
  with stretches as (
    select from_at, to_at from devices.unsummarized_stretches()
  ), charging as (
    select count(*) as sessions from stretches
    join public.charging_sessions as sessions on sessions.started_at >= from_at and sessions.started_at < to_at
  ), pop as (
    select count(*) as events,
      count(*) filter (where events.status = 'validated') as validated,
      count(*) filter (where events.status = 'rejected') as rejected,
      coalesce(sum(events.points) filter (where events.status = 'validated'), 0) as points
    from stretches
    join public.pop_events_ledger as events on events.occurred_at >= from_at and events.occurred_at < to_at
  ), issued as (
    select count(*) as commands from stretches
    join public.engagement_commands as commands on commands.issued_at >= from_at and commands.issued_at < to_at
  )
  select charging.sessions, pop.events, pop.validated, pop.rejected, pop.points, issued.commands
  from charging, pop, issued;
$$;
comment on function devices.unsummarized_sums() is
  'Sums of the fleet in devices.unsummarized_stretches, by the raw rows.';

create function devices.fleet_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with state as (
    select next_hour from devices.metrics_state
  ), last_day as (
    select round(sum(efficiency_weight) / nullif(sum(efficiency_energy_wh), 0), 4) as charging_efficiency
    from public.device_metrics_summary as summary, state
    where summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
      and summary.period_start >= state.next_hour - interval '24 hours' and summary.period_start < state.next_hour
  ), registered as (
    select count(*) as devices, count(*) filter (where status = 'online') as active from public.devices
  ), statuses as (
    select status, count(*) as commands from public.engagement_commands
    where issued_at > p_now - interval '24 hours'
    group by status
  )
  select json_build_array(
    scheduler.metric_group('{}',
      scheduler.metric('xmrt_devices_total', registered.devices),
      scheduler.metric('xmrt_devices_active', registered.active),
      scheduler.metric('xmrt_charging_sessions_total', summed.charging_sessions + new.charging_sessions),
      scheduler.metric('xmrt_charging_efficiency_avg', last_day.charging_efficiency),
      scheduler.metric('xmrt_pop_events_total', summed.pop_events + new.pop_events),
      scheduler.metric('xmrt_pop_events_validated', summed.pop_validated + new.pop_validated),
      scheduler.metric('xmrt_pop_events_rejected', summed.pop_rejected + new.pop_rejected),
      scheduler.metric('xmrt_pop_points_total', summed.pop_points + new.pop_points),
      scheduler.metric('xmrt_commands_total', summed.commands + new.commands),
      scheduler.metric('xmrt_metrics_age_seconds', round(extract(epoch from greatest(p_now - state.next_hour,
        interval '0')), 3))),
    (select scheduler.metric_group(json_build_object('status', json_agg(status)),
        scheduler.metric('xmrt_commands_by_status', json_agg(coalesce(commands, 0))))
      from unnest(array['pending', 'sent', 'acknowledged', 'completed', 'failed', 'expired', 'cancelled']) as status
      left join statuses using (status)))
  from devices.summarized_sums() as summed, devices.unsummarized_sums() as new, last_day, registered, state;
$$;
comment on function devices.fleet_metrics(timestamptz) is
  'The metrics of the devices: sums since the first row (from the fleet''s rows of device_metrics_summary, '
    'and raw rows only where it has none yet), devices as they are now, and commands of the last 24 hours by status.';

insert into scheduler.metric_sources (function_name, pack) values ('devices.fleet_metrics', 'devices');
insert into scheduler.metric_families (family, pack, type, help) values
  ('xmrt_devices_total', 'devices', 'counter', 'Devices ever registered; they are retired, not deleted, when they '
    'leave.'),
  ('xmrt_devices_active', 'devices', 'gauge', 'Devices whose status is online.'),
  ('xmrt_charging_sessions_total', 'devices', 'counter', 'Charging sessions that began, with any outcome.'),
  ('xmrt_charging_efficiency_avg', 'devices', 'gauge', 'Charging efficiency in percent (0 to 100), weighted by '
    'energy, of the 24 hours that were summarized last; absent when no energy of them has a known efficiency.'),
  ('xmrt_pop_events_total', 'devices', 'counter', 'Proof of participation (PoP) events of any status.'),
  ('xmrt_pop_events_validated', 'devices', 'gauge', 'PoP events whose status is validated, of all of '
    'xmrt_pop_events_total.'),
  ('xmrt_pop_events_rejected', 'devices', 'gauge', 'PoP events whose status is rejected, of all of '
    'xmrt_pop_events_total.'),
  ('xmrt_pop_points_total', 'devices', 'counter', 'Points of the validated PoP events.'),
  ('xmrt_commands_total', 'devices', 'counter', 'Engagement commands issued.'),
  ('xmrt_commands_by_status', 'devices', 'gauge', 'Engagement commands issued in the last 24 hours, by the status '
    'they have now.'),
  ('xmrt_metrics_age_seconds', 'devices', 'gauge', 'Since the end of the last hour that the sums were taken up to; '
    'later rows are counted one by one.');
