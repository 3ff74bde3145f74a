-- When the daily batch of the organizations runs that have neither a zone nor an hour of their own: the platform's.

insert into public.app_settings (key, value, description) values
  ('daily_batch.time_zone', '"America/New_York"', 'the zone of organizations that have none of their own; an IANA name'),
  ('daily_batch.run_at', '"03:00"', 'the local time, HH:MM, from which the daily batch of organizations without an hour of their own runs'),
  ('daily_batch.window_hours', '3', 'for how many hours from then on the platform''s batch may begin, by the clock on the wall')
on conflict (key) do nothing;

-- plpgsql keeps its plans: this is asked at every tick.
create or replace function scheduler.daily_batch_settings(out time_zone text, out run_at time, out window_hours integer)
language plpgsql stable set search_path = '' as $$
begin
  select (select value #>> '{}' from public.app_settings where key = 'daily_batch.time_zone'),
    (select value #>> '{}' from public.app_settings where key = 'daily_batch.run_at')::time,
    (select value #>> '{}' from public.app_settings where key = 'daily_batch.window_hours')::integer
    into time_zone, run_at, window_hours;
end;
$$;
comment on function scheduler.daily_batch_settings() is 'The platform''s zone, hour and window of the daily batch.';

-- A wrong value is refused when it is written, not found out at three in the morning.
create or replace function scheduler.check_daily_batch_setting() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.key <> old.key) then
    raise exception using errcode = '22023', message = format('cannot remove the setting %s: the daily batch needs it', old.key),
      hint = 'update its value instead';
  end if;
  if new.key = 'daily_batch.time_zone' then
    perform scheduler.assert_time_zone(new.value #>> '{}');
  elsif new.key = 'daily_batch.run_at' and (new.value #>> '{}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$') is not true then
    raise exception using errcode = '22023',
      message = format('cannot set %s: the value must be a local time "HH:MM" from "00:00" to "23:59", got %s', new.key, left(new.value::text, 50));
  elsif new.key = 'daily_batch.window_hours' and new.value::text !~ '^([1-9]|1[0-2])$' then
    raise exception using errcode = '22023',
      message = format('cannot set %s: the value must be a whole number from 1 to 12, got %s', new.key, left(new.value::text, 50));
  end if;
  return new;
end;
$$;
comment on function scheduler.check_daily_batch_setting() is 'Refuses settings that the daily batch could not work with.';

create or replace trigger check_daily_batch_setting before insert or update on public.app_settings
  for each row when (new.key like 'daily_batch.%') execute function scheduler.check_daily_batch_setting();
create or replace trigger keep_daily_batch_setting before update of key on public.app_settings
  for each row when (old.key like 'daily_batch.%' and new.key <> old.key) execute function scheduler.check_daily_batch_setting();
create or replace trigger keep_daily_batch_setting_row before delete on public.app_settings
  for each row when (old.key like 'daily_batch.%') execute function scheduler.check_daily_batch_setting();

create or replace function scheduler.in_daily_batch_window(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select mod(extract(epoch from (p_at at time zone time_zone)::time - run_at)::numeric + 86400, 86400) < window_hours * 3600
  from scheduler.daily_batch_settings();
$$;
comment on function scheduler.in_daily_batch_window(timestamptz) is
  'Whether the platform''s batch may begin at that moment: by what a clock on the wall of its zone shows then.';

-- The entry follows the settings, so that there is one place to change them.
create or replace function scheduler.register_daily_batch() returns void
language plpgsql set search_path = '' as $$
declare
  v_platform record;
  v_first integer;
  v_last integer;
begin
  select * into v_platform from scheduler.daily_batch_settings();
  v_first := extract(hour from v_platform.run_at)::integer;
  v_last := ((extract(epoch from v_platform.run_at) / 60)::integer + v_platform.window_hours * 60 - 1) / 60;
  perform scheduler.register_job(
    name => 'daily-batch-trigger',
    schedule => format('*/15 %s * * *',
      case when v_last < 24 then format('%s-%s', v_first, v_last)
        else concat_ws(',', format(case when v_first < 23 then '%s-23' else '%s' end, v_first), format(case when v_last > 24 then '0-%s' else '%s' end, v_last - 24)) end),
    time_zone => v_platform.time_zone,
    run_if => 'scheduler.daily_batch_is_due',
    description => 'Begins the daily batch of the organizations that follow the platform, once a local day'
  );
end;
$$;
comment on function scheduler.register_daily_batch() is
  'Registers daily-batch-trigger: every 15 minutes of the hours that the settings daily_batch.… name, in their zone.';

revoke all on function scheduler.daily_batch_settings() from public, anon, authenticated, service_role;
revoke all on function scheduler.check_daily_batch_setting() from public, anon, authenticated, service_role;
revoke all on function scheduler.in_daily_batch_window(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.register_daily_batch() from public, anon, authenticated, service_role;
