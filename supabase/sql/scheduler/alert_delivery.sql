-- The way of a message to its channel: an outbox, written in the transaction that opens or ends an alert, sent by the
-- pulse, repeated with the same key until an answer says that it arrived.

create table public.scheduler_alert_deliveries (
  id uuid primary key default gen_random_uuid(),
  alert_id uuid references public.scheduler_alerts (id) on delete cascade,
  channel text not null references public.scheduler_alert_channels (name) on delete cascade,
  event text not null check (event in ('opened', 'worse', 'again', 'ended', 'test', 'status')),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  message jsonb not null,
  status text not null default 'waiting' check (status in ('waiting', 'sent', 'delivered', 'failed')),
  written_at timestamptz not null check (isfinite(written_at)),
  send_after timestamptz not null check (isfinite(send_after)),
  tries integer not null default 0 check (tries >= 0),
  sent_at timestamptz check (isfinite(sent_at)),
  request_id bigint,
  response_status integer,
  error text,
  finished_at timestamptz check (isfinite(finished_at)),
  check ((finished_at is null) = (status in ('waiting', 'sent')))
);
create index scheduler_alert_deliveries_alert_id_idx
  on public.scheduler_alert_deliveries (alert_id, channel, written_at);
create index scheduler_alert_deliveries_channel_idx on public.scheduler_alert_deliveries (channel, event, written_at);
create index scheduler_alert_deliveries_open_idx
  on public.scheduler_alert_deliveries (written_at) where status in ('waiting', 'sent');
create index scheduler_alert_deliveries_failed_idx
  on public.scheduler_alert_deliveries (finished_at) where status = 'failed';
create index scheduler_alert_deliveries_written_at_idx on public.scheduler_alert_deliveries (written_at);
alter table public.scheduler_alert_deliveries enable row level security;
revoke all on public.scheduler_alert_deliveries from public, anon, authenticated, service_role;
grant select on public.scheduler_alert_deliveries to service_role;

comment on table public.scheduler_alert_deliveries is
  'What is to be said and was said to which channel, one row a message. Its id is the receiver''s key against repeats.';
comment on column public.scheduler_alert_deliveries.status is
  'waiting to be sent; sent, and no answer yet; delivered; failed: nobody tries any more.';
comment on column public.scheduler_alert_deliveries.request_id is
  'pg_net''s id of the last try. It means nothing without sent_at.';

insert into public.scheduler_settings (pack, key, default_value, unit, most, optional, description) values
  ('scheduler', 'alerts.repeat_minutes', '60', 'min', 1440, false, 'after so long an alert that lasts is said again; '
    'then after twice as long each time, at most a day'),
  ('scheduler', 'alerts.status_minutes', 'null', 'min', 1440, true, 'how often the status line is said to channels '
    'that take info; ''null'': never');

create function scheduler.next_event(
  p_is_open boolean, p_severity text, p_said_event text, p_said_severity text, p_said_at timestamptz,
  p_times bigint, p_wants boolean, p_repeat interval, p_now timestamptz
) returns text
language sql immutable set search_path = '' as $$
  select case
    when not p_is_open then case when p_said_event is not null and p_said_event <> 'ended' then 'ended' end
    when not p_wants then null
    when p_said_event is null then 'opened'
    when scheduler.severity_rank(p_severity) > scheduler.severity_rank(p_said_severity) then 'worse'
    when p_now >= p_said_at + least(p_repeat * power(2, least(p_times, 20) - 1), interval '1 day') then 'again'
  end;
$$;
comment on function scheduler.next_event(
  boolean, text, text, text, timestamptz, bigint, boolean, interval, timestamptz) is
  'What is to be said of an alert to a channel now, by what was said last, when, and how often in all: opened, worse, '
    'again, ended, or null. The end is said to whoever was told of the beginning.';

-- In SQL, which is planned at each call: a plan of when the outbox was empty would read all of it later.
create function scheduler.write_deliveries(p_now timestamptz) returns integer
language sql set search_path = '' as $$
  with told as materialized (
    select name, channels, make_interval(mins => scheduler.setting('alerts.repeat_minutes')) as repeat
    from public.scheduler_alert_channels as channels
    where enabled and kind <> 'dead_man' and not scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)
  ), unsettled as materialized (
    select alerts, array(select distinct group_name from public.scheduler_jobs
      where alerts.jobs <> '{}' and name = any (alerts.jobs) and group_name is not null) as groups
    from public.scheduler_alerts as alerts
    where not settled and opened_at is not null
  ), due as (
    select alerts, name as channel, scheduler.next_event((alerts).ended_at is null, (alerts).severity, last.event,
      last.severity, last.written_at, (
        select count(*) from public.scheduler_alert_deliveries where alert_id = (alerts).id and channel = name),
      scheduler.channel_wants(channels, (alerts).severity, (alerts).jobs, groups), repeat, p_now) as event
    from unsettled cross join told
      left join lateral (
        select event, severity, written_at from public.scheduler_alert_deliveries
        where alert_id = (alerts).id and channel = name
        order by written_at desc limit 1) as last on true
  ), messages as (
    select alerts, event, scheduler.alert_message(alerts, event, p_now) as message
    from (select distinct alerts, event from due where event is not null) as said
  ), written as (
    insert into public.scheduler_alert_deliveries (alert_id, channel, event, severity, message, written_at, send_after)
      select (due.alerts).id, channel, event, (due.alerts).severity, message, p_now, p_now
      from due join messages using (alerts, event)
      returning 1
  )
  select count(*)::integer from written;
$$;
comment on function scheduler.write_deliveries(timestamptz) is
  'Writes what is to be said now of the alerts to the channels. Returns how many messages.';

create function scheduler.settle_alerts() returns void
language sql set search_path = '' as $$
  update public.scheduler_alerts as alerts set settled = true
  where not settled and ended_at is not null and not exists (
    select from (
      select distinct on (channel) channel, event from public.scheduler_alert_deliveries
      where alert_id = alerts.id order by channel, written_at desc) as last
      join public.scheduler_alert_channels on name = channel and enabled
    where event <> 'ended');
$$;
comment on function scheduler.settle_alerts() is
  'Closes the alerts of which the end was told to all who knew of them, apart from disabled channels.';

create function scheduler.delivery_outcome(p_status integer) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_status between 200 and 299 then 'delivered'
    -- 409: Resend still is at work on a request with the same key.
    when p_status in (408, 409, 425, 429) or p_status >= 500 then 'again'
    when p_status is not null then 'failed'
    else 'again' end;
$$;
comment on function scheduler.delivery_outcome(integer) is
  'What an answer says of a message: delivered; again, where it may have got lost or was refused for now; failed, '
    'where a repeat would be refused as well.';

create function scheduler.delivery_wait(p_tries integer, p_retry_after text) returns interval
language sql immutable set search_path = '' as $$
  select make_interval(secs => least(3600, greatest(15 * power(2, least(p_tries, 7) - 1),
    case when p_retry_after ~ '^[0-9]{1,6}(\.[0-9]+)?$' then p_retry_after::numeric else 0 end)));
$$;
comment on function scheduler.delivery_wait(integer, text) is
  'How long to wait after so many tries: 15 s, doubled each time, or as long as the answer''s Retry-After says; an '
    'hour at most.';

-- A message of an alert is tried for a day, which is how long Resend knows its key; a status line is soon old.
create function scheduler.give_up_at(p_event text, p_written_at timestamptz) returns timestamptz
language sql immutable set search_path = '' as $$
  select p_written_at + case when p_event in ('test', 'status') then interval '5 minutes' else interval '1 day' end;
$$;
comment on function scheduler.give_up_at(text, timestamptz) is 'Until when a message is tried.';

create function scheduler.end_try(
  p_delivery public.scheduler_alert_deliveries, p_outcome text, p_status integer, p_error text, p_retry_after text,
  p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_next constant timestamptz := p_now + scheduler.delivery_wait(p_delivery.tries, p_retry_after);
  v_status constant text := case
    when p_outcome <> 'again' then p_outcome
    when v_next > scheduler.give_up_at(p_delivery.event, p_delivery.written_at) then 'failed' else 'waiting' end;
begin
  update public.scheduler_alert_deliveries
    set status = v_status, response_status = p_status, error = left(p_error, 300),
      send_after = case v_status when 'waiting' then v_next else send_after end,
      finished_at = case when v_status <> 'waiting' then p_now end
    where id = p_delivery.id;
  if v_status = 'failed' then
    perform scheduler.log_activity('scheduler', format('an alert could not be delivered to the channel %s: %s',
      p_delivery.channel, coalesce(p_error, 'HTTP ' || p_status)), 'error',
      jsonb_build_object('delivery', p_delivery.id), p_now);
  end if;
end;
$$;
comment on function scheduler.end_try(public.scheduler_alert_deliveries, text, integer, text, text, timestamptz) is
  'Writes down how a try ended: done, failed, or to be tried again later.';

create function scheduler.post_delivery(p_delivery public.scheduler_alert_deliveries, p_now timestamptz, out
  request_id bigint, out fault text)
language plpgsql set search_path = '' as $$
declare
  v_channel public.scheduler_alert_channels;
  v_secrets jsonb;
  v_body jsonb;
begin
  select * into v_channel from public.scheduler_alert_channels where name = p_delivery.channel;
  v_secrets := scheduler.alert_secrets(v_channel);
  fault := scheduler.alert_secrets_fault(v_channel, v_secrets);
  if fault is null then
    v_body := scheduler.alert_body(v_channel.kind, p_delivery.message, p_delivery.id, v_secrets);
    request_id := net.http_post(
      url := case v_channel.kind when 'email' then scheduler.setting_value('alerts.email_url') #>> '{}'
        when 'pagerduty' then scheduler.setting_value('alerts.pagerduty_url') #>> '{}'
        else v_secrets ->> 'address' end,
      body := v_body,
      headers := scheduler.alert_headers(v_channel.kind, v_body, p_delivery.id, v_secrets, p_now),
      -- A slow channel must not hold back the jobs' requests for longer.
      timeout_milliseconds := 3000);
  end if;
exception when others then
  -- pg_net refuses a bad URL and quotes it, and Vault what it cannot decrypt.
  fault := format('its request could not be made (%s)', sqlstate);
end;
$$;
comment on function scheduler.post_delivery(public.scheduler_alert_deliveries, timestamptz) is
  'Hands a message to pg_net: its id, or why it could not be made, without a secret.';

create function scheduler.send_deliveries(p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_delivery public.scheduler_alert_deliveries;
  v_posted record;
  v_sent integer := 0;
begin
  for v_delivery in
    select * from public.scheduler_alert_deliveries as due
    where status = 'waiting' and send_after <= p_now
      -- In order: the end of an alert is not told before its beginning.
      and not exists (
        select from public.scheduler_alert_deliveries as earlier
        where earlier.alert_id = due.alert_id and earlier.channel = due.channel
          and earlier.written_at < due.written_at and earlier.status in ('waiting', 'sent'))
    order by written_at, channel limit 20
  loop
    v_delivery.tries := v_delivery.tries + 1;
    v_posted := scheduler.post_delivery(v_delivery, p_now);
    update public.scheduler_alert_deliveries
      set tries = v_delivery.tries, sent_at = p_now, request_id = v_posted.request_id, status = 'sent'
      where id = v_delivery.id;
    if v_posted.fault is not null then
      perform scheduler.end_try(v_delivery, 'again', null, v_posted.fault, null, p_now);
    else
      v_sent := v_sent + 1;
    end if;
  end loop;
  return v_sent;
end;
$$;
comment on function scheduler.send_deliveries(timestamptz) is
  'Sends what is due of the outbox, 20 messages at most. Returns how many.';

create function scheduler.read_delivery_answers(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_since constant timestamptz := scheduler.requests_since();
  v_read record;
begin
  for v_read in
    select deliveries, responses.status_code, responses.id is not null as is_answered,
      coalesce(responses.headers ->> 'retry-after', responses.headers ->> 'Retry-After') as retry_after,
      scheduler.hosts_only(responses.error_msg) as error
    from public.scheduler_alert_deliveries as deliveries
      left join net._http_response as responses on responses.id = deliveries.request_id
        and deliveries.sent_at >= v_since
        -- pg_net stamps an answer with the begin of its own transaction, which can lie a moment before ours.
        and responses.created >= deliveries.sent_at - interval '5 seconds'
    where deliveries.status = 'sent'
      and (responses.id is not null or deliveries.sent_at < v_since
        or deliveries.sent_at < p_now - interval '1 minute' and not exists (
          select from net.http_request_queue as waiting where waiting.id = deliveries.request_id))
  loop
    perform scheduler.end_try(v_read.deliveries, scheduler.delivery_outcome(v_read.status_code),
      v_read.status_code, case
        when not v_read.is_answered then 'no answer was seen'
        when v_read.status_code is null then coalesce(v_read.error, 'no answer in time') end,
      v_read.retry_after, p_now);
  end loop;
end;
$$;
comment on function scheduler.read_delivery_answers(timestamptz) is
  'Reads pg_net''s answers to what was sent. Without one for a minute the request is taken for lost, unless it still '
    'is in the queue.';

create function scheduler.test_alert_channel(
  p_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_channel constant public.scheduler_alert_channels := scheduler.assert_alert_channel(p_name);
  v_fault text;
begin
  perform scheduler.assert_given('test the alert channel', 'reason and author',
    format('select scheduler.test_alert_channel(%L, ''why'', ''who'')', p_name), p_reason, p_author);
  v_fault := scheduler.alert_secrets_fault(v_channel, scheduler.alert_secrets(v_channel));
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot test the alert channel %s: %s', p_name, v_fault);
  end if;
  if v_channel.kind = 'dead_man' then
    delete from scheduler.alert_pings where channel = p_name;
  else
    insert into public.scheduler_alert_deliveries (channel, event, severity, message, written_at, send_after)
      values (p_name, 'test', 'info', jsonb_build_object('event', 'test', 'severity', 'info', 'at', p_now,
        'title', format('the channel %s works', p_name)), p_now, p_now);
  end if;
  perform scheduler.audit('test_alert_channel', 'alert_channel', p_name, p_reason, p_author, null, null, p_now);
  return format('the next pulse sends it; what came of it: select status, error from scheduler_alert_deliveries where '
    'channel = %L order by written_at desc', p_name);
end;
$$;
comment on function scheduler.test_alert_channel(text, text, text, timestamptz) is
  'Has a message sent to the channel (a ping, to a dead man''s switch), also outside its severities and hours. Raises '
    'SD015 for an unknown channel; 22023 for a missing or wrong secret, a missing reason or author.';

select scheduler.add_retention_rule('scheduler', 'scheduler_alert_deliveries', 90,
  'written_at < $1 and status in (''delivered'', ''failed'')');
