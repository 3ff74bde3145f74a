-- When the platform's daily batch runs: that of the organizations with neither a zone nor an hour of their own.

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, on_change, description) values
  ('batches', 'daily_batch.time_zone', '"America/New_York"', 'time_zone', null, 1, 1, 'batches.follow_daily_settings',
    'the zone of organizations that have none of their own; an IANA name'),
  ('batches', 'daily_batch.run_at', '"03:00"', 'time', null, 1, 1, 'batches.follow_daily_settings', 'the local time, '
    'HH:MM, from which the daily batch of organizations without an hour of their own runs'),
  ('batches', 'daily_batch.window_hours', '3', 'integer', 'hours', 1, 12, 'batches.follow_daily_settings', 'for how '
    'many hours from then on the platform''s batch may begin, by the local clock');

-- In plpgsql, which keeps its plans: this is asked at every tick.
create function batches.daily_settings(out time_zone text, out run_at time, out window_hours integer)
language plpgsql stable set search_path = '' as $$
begin
  time_zone := scheduler.setting_value('daily_batch.time_zone') #>> '{}';
  run_at := scheduler.setting_value('daily_batch.run_at') #>> '{}';
  window_hours := scheduler.setting('daily_batch.window_hours');
end;
$$;
comment on function batches.daily_settings() is 'The platform''s zone, hour and window of the daily batch.';

create function batches.in_daily_window(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select mod(extract(epoch from (p_at at time zone time_zone)::time - run_at)::numeric + 86400,
    86400) < window_hours * 3600
  from batches.daily_settings();
$$;
comment on function batches.in_daily_window(timestamptz) is
  'Whether the platform''s batch may begin at that moment, by the local time in its zone.';

-- The schedule follows the settings, so that there is one place to change it.
create function batches.register_daily() returns void
language plpgsql set search_path = '' as $$
declare
  v_platform record;
  v_first integer;
  v_last integer;
begin
  select * into v_platform from batches.daily_settings();
  v_first := extract(hour from v_platform.run_at)::integer;
  v_last := ((extract(epoch from v_platform.run_at) / 60)::integer + v_platform.window_hours * 60 - 1) / 60;
  perform scheduler.register_job(
    name => 'daily-batch-trigger',
    schedule => format('*/15 %s * * *',
      case when v_last < 24 then format('%s-%s', v_first, v_last)
        else concat_ws(',', format(case when v_first < 23 then '%s-23' else '%s' end, v_first), format(case
          when v_last > 24 then '0-%s' else '%s' end, v_last - 24)) end),
    time_zone => v_platform.time_zone,
    run_if => 'batches.daily_is_due',
    description => 'Begins the daily batch of the organizations that follow the platform, once a local day'
  );
  perform scheduler.note_source('batches', 'daily-batch-trigger', null);
end;
$$;
comment on function batches.register_daily() is
  'Registers daily-batch-trigger: every 15 minutes of the hours that the settings daily_batch.… name, in their zone.';
