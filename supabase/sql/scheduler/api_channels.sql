-- The API's channels: where alerts go, and whether they arrive. Addresses and tokens are in Vault and stay there.

create function scheduler.channel_words(p_error text, p_status integer) returns text
language sql immutable set search_path = '' as $$
  -- Of an address not even the host is shown.
  select coalesce(regexp_replace(p_error, '\S+://\S*', '***', 'g'), 'HTTP ' || p_status);
$$;
comment on function scheduler.channel_words(text, integer) is 'What went wrong with a message, without an address.';

create function scheduler.channel_deliveries(p_channel text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'waiting', (
      select count(*) from public.scheduler_alert_deliveries
      where channel = p_channel and status in ('waiting', 'sent')),
    'last_delivery', (
      select jsonb_build_object('event', event, 'severity', severity, 'at', finished_at)
      from public.scheduler_alert_deliveries where channel = p_channel and status = 'delivered'
      order by finished_at desc limit 1),
    'last_error', (
      select jsonb_build_object('event', event, 'at', coalesce(finished_at, sent_at),
        'response_status', response_status, 'message', scheduler.channel_words(error, response_status),
        'tries', tries, 'given_up', status = 'failed')
      from public.scheduler_alert_deliveries
      where channel = p_channel and status <> 'delivered' and (error is not null or response_status is not null)
      order by written_at desc limit 1));
$$;
comment on function scheduler.channel_deliveries(text) is
  'How many messages still wait for the channel, the last that arrived, and of those that did not the newest.';

create function scheduler.channel_pings(p_channel text) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('waiting', count(*) filter (where answered_at is null),
    'last_delivery', (jsonb_agg(jsonb_build_object('event', 'ping', 'severity', null, 'at', succeeded_at))
      filter (where succeeded_at is not null)) -> 0,
    'last_error', (jsonb_agg(jsonb_build_object('event', 'ping', 'at', pinged_at, 'response_status', response_status,
      'message', scheduler.channel_words(error, response_status), 'tries', 1, 'given_up', true))
      filter (where answered_at is not null and succeeded_at is distinct from pinged_at)) -> 0)
  from scheduler.alert_pings where channel = p_channel;
$$;
comment on function scheduler.channel_pings(text) is
  'What scheduler.channel_deliveries says, of a dead man''s switch: its last ping.';

create function scheduler.api_channels(p_cursor text default null, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_names constant text[] := array(select name from public.scheduler_alert_channels
    where name > coalesce(p_cursor, '') order by name limit 101);
begin
  return jsonb_build_object('timestamp', p_now, 'channels', (
      select coalesce(jsonb_agg(jsonb_build_object('name', name, 'kind', kind, 'enabled', enabled,
        'least_severity', least_severity, 'jobs', jobs, 'groups', groups, 'quiet', case when quiet_from is not null
          then jsonb_build_object('from', to_char(quiet_from, 'HH24:MI'), 'until', to_char(quiet_until, 'HH24:MI'),
            'time_zone', time_zone, 'now', scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)) end,
        'fault', scheduler.alert_secrets_fault(channels, scheduler.alert_secrets(channels)))
        || case kind when 'dead_man' then scheduler.channel_pings(name) else scheduler.channel_deliveries(name) end
        order by name), '[]')
      from public.scheduler_alert_channels as channels where name = any (v_names[1:100])),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$$;
comment on function scheduler.api_channels(text, timestamptz) is
  'Where alerts go, 100 a page by name: what each channel takes, what is wrong with what Vault holds for it, the last '
    'message that arrived there, the last that did not, and how many wait. No address, no token.';

create function public.scheduler_api_channels(p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_channels(p_cursor);
$$;
comment on function public.scheduler_api_channels(text) is 'scheduler.api_channels by the clock of the database.';
revoke all on function public.scheduler_api_channels(text) from public, anon, authenticated;
grant execute on function public.scheduler_api_channels(text) to service_role;
