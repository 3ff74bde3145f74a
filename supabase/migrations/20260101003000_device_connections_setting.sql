-- How long a device may be silent before its session is ended.

insert into public.app_settings (key, value, description) values
  ('device_connections.heartbeat_timeout_seconds', '300',
   'a session whose last heartbeat is older than this is ended by monitor-device-connections; 10 to 86400')
on conflict (key) do nothing;

create or replace function public.device_connections_heartbeat_timeout() returns interval
language plpgsql stable set search_path = '' as $$
declare
  v_value jsonb;
begin
  select settings.value into v_value
  from public.app_settings as settings where settings.key = 'device_connections.heartbeat_timeout_seconds';
  -- Decimals and exponents are numbers to JSON; the digits are counted so that the cast cannot overflow.
  if v_value is null or v_value::text !~ '^[0-9]{1,6}$' or v_value::text::integer not between 10 and 86400 then
    raise exception using errcode = '22023',
      message = format('the setting device_connections.heartbeat_timeout_seconds must be a whole number from 10 to 86400, got %s',
        coalesce(v_value::text, 'none')),
      hint = 'set it in public.app_settings; 300 is the default';
  end if;
  return make_interval(secs => v_value::text::integer);
end;
$$;
comment on function public.device_connections_heartbeat_timeout() is
  'The setting device_connections.heartbeat_timeout_seconds; refuses a value that makes no sense.';

revoke all on function public.device_connections_heartbeat_timeout() from public, anon, authenticated, service_role;
grant execute on function public.device_connections_heartbeat_timeout() to service_role;
