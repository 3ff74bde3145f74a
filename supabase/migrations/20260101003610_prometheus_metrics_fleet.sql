-- The devices' part of a scrape.

-- Which stretches of time no hour of the summary covers yet. Hours before next_hour are on the list of hours to
-- compute; the newest two days of those that have no row are looked at, and two days from next_hour on. More is not, so
-- that a scrape stays cheap when the aggregation stands still; the sums then stand still as well, and go on later.
create or replace function scheduler.unsummarized_stretches() returns table (from_at timestamptz, to_at timestamptz)
language sql stable set search_path = '' rows 50 as $$
  select state.next_hour, state.next_hour + interval '48 hours' from public.device_metrics_state as state
  union all
  (select periods.period_start, periods.period_start + interval '1 hour'
  from public.device_metrics_periods as periods
  where periods.granularity = 'hour' and periods.pending
    and periods.period_start < (select next_hour from public.device_metrics_state)
    and not exists (
      select from public.device_metrics_summary as summary
      where summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
        and summary.period_start = periods.period_start)
  order by periods.period_start desc
  limit 48);
$$;
comment on function scheduler.unsummarized_stretches() is
  'The stretches of time whose raw device rows no fleet row of the summary counts yet, 96 hours at most.';

-- Each moment once: the fleet's days that are whole, the hours of the other days, and the raw rows after them. A day is
-- whole when it is not on the list of days to compute and lies before next_hour.
create or replace function scheduler.fleet_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with state as materialized (
    select next_hour from public.device_metrics_state
  ), open_days as materialized (
    select periods.period_start as day from public.device_metrics_periods as periods
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
  ), summed as (
    select coalesce(sum(charging_sessions_started), 0) as charging_sessions,
      coalesce(sum(pop_events), 0) as pop_events, coalesce(sum(pop_events_validated), 0) as pop_validated,
      coalesce(sum(pop_events_rejected), 0) as pop_rejected, coalesce(sum(pop_points), 0) as pop_points,
      coalesce(sum(commands_issued), 0) as commands
    from fleet
  ), last_day as (
    select round(sum(efficiency_weight) / nullif(sum(efficiency_energy_wh), 0), 4) as charging_efficiency
    from public.device_metrics_summary as summary, state
    where summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
      and summary.period_start >= state.next_hour - interval '24 hours' and summary.period_start < state.next_hour
  ), stretches as materialized (
    select from_at, to_at from scheduler.unsummarized_stretches()
  ), new_charging as (
    select count(*) as sessions from stretches
    join public.charging_sessions as sessions on sessions.started_at >= from_at and sessions.started_at < to_at
  ), new_pop as (
    select count(*) as events,
      count(*) filter (where events.status = 'validated') as validated,
      count(*) filter (where events.status = 'rejected') as rejected,
      coalesce(sum(events.points) filter (where events.status = 'validated'), 0) as points
    from stretches
    join public.pop_events_ledger as events on events.occurred_at >= from_at and events.occurred_at < to_at
  ), new_commands as (
    select count(*) as issued from stretches
    join public.engagement_commands as commands on commands.issued_at >= from_at and commands.issued_at < to_at
  ), registered as (
    select count(*) as devices, count(*) filter (where status = 'online') as active from public.devices
  ), statuses as (
    select status, count(*) as commands from public.engagement_commands
    where issued_at > p_now - interval '24 hours'
    group by status
  )
  select json_build_object(
    'devices', registered.devices,
    'active_devices', registered.active,
    'charging_sessions', summed.charging_sessions + new_charging.sessions,
    'charging_efficiency_percent', last_day.charging_efficiency,
    'pop_events', summed.pop_events + new_pop.events,
    'pop_events_validated', summed.pop_validated + new_pop.validated,
    'pop_events_rejected', summed.pop_rejected + new_pop.rejected,
    'pop_points', summed.pop_points + new_pop.points,
    'commands', summed.commands + new_commands.issued,
    'commands_by_status', (select coalesce(json_object_agg(status, commands), '{}') from statuses),
    'summarized_age_seconds', round(extract(epoch from greatest(p_now - state.next_hour, interval '0')), 3)
  )
  from summed, last_day, new_charging, new_pop, new_commands, registered, state;
$$;
comment on function scheduler.fleet_metrics(timestamptz) is
  'Figures of the devices: sums since the first row (from the fleet''s rows of device_metrics_summary, and raw rows only where it has none yet), devices as they are now, commands of the last 24 hours by status, and how long ago the last hour ended that the summary has.';

revoke all on function scheduler.unsummarized_stretches() from public, anon, authenticated, service_role;
revoke all on function scheduler.fleet_metrics(timestamptz) from public, anon, authenticated, service_role;
