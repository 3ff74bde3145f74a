-- How long the rows of devices and their figures stay. Raw rows may be deleted when their figures are final (frozen);
-- these are made final up to the shortest of the retentions here.

create function devices.metrics_final_before() returns timestamptz
language sql stable set search_path = '' as $$
  select frozen_before from devices.metrics_state;
$$;
comment on function devices.metrics_final_before() is 'The time before which figures are final; later rows still '
  'count.';

create function devices.make_metrics_final(p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_before timestamptz;
  v_message text;
begin
  -- Not the last three days: late reports of devices still count.
  select p_now - make_interval(days => greatest(3, days)) into v_before
    from (
      select min(scheduler.retention_days(rule)) as days from scheduler.retention_rules
      where hold_function = 'devices.metrics_final_before') as shortest
    where days is not null;
  -- Pruned rows add notes of change. Until the next hour's run has taken them no more figures can be made final.
  if v_before > devices.metrics_final_before() + interval '24 hours' then
    perform devices.freeze_metrics(v_before);
  end if;
  return null;
exception when sqlstate 'SD103' then
  get stacked diagnostics v_message = message_text;
  return 'device rows stay for now: ' || v_message;
end;
$$;
comment on function devices.make_metrics_final(timestamptz) is
  'Makes the figures final whose raw rows are to be deleted. Returns null, or why that cannot be done yet.';

-- Deletes period by period of the list, oldest first: the fleet's rows and those of the other granularity lie between
-- them and stay. A period is deleted from the list after its last device row; being frozen, it is not computed again.
create function devices.prune_metrics(p_granularity text, p_before timestamptz, p_limit integer) returns integer
language plpgsql set search_path = '' as $$
declare
  v_period timestamptz;
  v_count integer;
  v_deleted integer := 0;
begin
  while v_deleted < p_limit loop
    select period_start into v_period from devices.metrics_periods
      where granularity = p_granularity and not pending and period_start <= p_before - case p_granularity when 'day'
        then interval '24 hours' else interval '1 hour' end
      order by period_start limit 1
      for update skip locked;
    exit when not found;
    delete from public.device_metrics_summary where ctid = any (array(
      select ctid from public.device_metrics_summary
      where period_start = v_period and granularity = p_granularity and device_id is not null
      limit p_limit - v_deleted));
    get diagnostics v_count = row_count;
    v_deleted := v_deleted + v_count;
    exit when v_deleted >= p_limit;
    delete from devices.metrics_periods where granularity = p_granularity and period_start = v_period;
    v_deleted := v_deleted + 1;
  end loop;
  return v_deleted;
end;
$$;
comment on function devices.prune_metrics(text, timestamptz, integer) is
  'Deletes rows of single devices from the oldest hours or days of device_metrics_summary, and those periods from the '
    'list; the fleet''s rows stay. Returns how many rows of both.';

create function devices.prune_metrics_hours(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$ select devices.prune_metrics('hour', p_before, p_limit) $$;
comment on function devices.prune_metrics_hours(timestamptz, integer) is 'devices.prune_metrics for the hours.';

create function devices.prune_metrics_days(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$ select devices.prune_metrics('day', p_before, p_limit) $$;
comment on function devices.prune_metrics_days(timestamptz, integer) is 'devices.prune_metrics for the days.';

select scheduler.add_retention_rule('devices', rule, keep_days, old_rows, what, prune_function,
  'devices.make_metrics_final', 'devices.metrics_final_before')
from (values
  ('device_activity_log', 90, 'occurred_at < $1', null, null),
  ('device_connection_sessions', 90,
    'disconnected_at is not null and tstzrange(connected_at, greatest(connected_at, disconnected_at), ''[]'') << '
      'tstzrange($1, null)', null, null),
  ('charging_sessions', 365,
    'ended_at is not null and tstzrange(started_at, greatest(started_at, ended_at), ''[]'') << tstzrange($1, null)',
      null, null),
  ('pop_events_ledger', 730, 'occurred_at < $1 and (status = ''rejected'' or paid_out_at is not null)', null, null),
  ('engagement_commands', 90, 'issued_at < $1 and status in (''completed'', ''failed'', ''expired'', ''cancelled'')',
    null, null),
  ('device_metrics_hours', 90, null, 'how long the hours of single devices stay in '
    'device_metrics_summary', 'devices.prune_metrics_hours'),
  ('device_metrics_days', 730, null, 'how long the days of single devices stay in '
    'device_metrics_summary', 'devices.prune_metrics_days')
) as rules (rule, keep_days, old_rows, what, prune_function);
