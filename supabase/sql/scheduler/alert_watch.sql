-- What the pulse does for alerts: it looks at the rules, sends what is to be said, and pings who watches from outside.

-- A dead man's switch is told from outside that nothing came: it sees what this database cannot say.
create table scheduler.alert_pings (
  channel text primary key references public.scheduler_alert_channels (name) on delete cascade,
  pinged_at timestamptz not null check (isfinite(pinged_at)),
  was_healthy boolean not null,
  request_id bigint,
  answered_at timestamptz check (isfinite(answered_at)),
  response_status integer,
  succeeded_at timestamptz check (isfinite(succeeded_at)),
  error text
) with (fillfactor = 50);
alter table scheduler.alert_pings enable row level security;
revoke all on scheduler.alert_pings from public, anon, authenticated, service_role;
comment on table scheduler.alert_pings is 'The last ping of each dead man''s switch, and what came of it.';
comment on column scheduler.alert_pings.succeeded_at is 'When the last ping was sent that was answered with success.';

create function scheduler.ping_url(p_address text, p_is_healthy boolean) returns text
language sql immutable set search_path = '' as $$
  select case when p_is_healthy then p_address else regexp_replace(p_address, '/?(\?.*)?$', '/fail\1') end;
$$;
comment on function scheduler.ping_url(text, boolean) is
  'Where a ping goes, as healthchecks.io has it: the address, with /fail at its end when the pulse is not healthy.';

create function scheduler.is_ping_due(p_pinged_at timestamptz, p_still_queued boolean, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  -- While pg_net stands still its queue must not fill with pings. A mark in the future is from a clock that went back.
  select p_pinged_at is null or not p_still_queued
    and (p_now >= p_pinged_at + interval '1 minute' or p_now < p_pinged_at);
$$;
comment on function scheduler.is_ping_due(timestamptz, boolean, timestamptz) is
  'Whether a dead man''s switch is pinged now: at most once a minute, and not beside a ping that has not left yet.';

create function scheduler.read_ping_answers(p_now timestamptz) returns void
language sql set search_path = '' as $$
  update scheduler.alert_pings as pings
    set answered_at = p_now, response_status = responses.status_code,
      error = case when responses.status_code is null then left(scheduler.hosts_only(responses.error_msg), 300) end,
      succeeded_at = case when responses.status_code between 200 and 299 then pinged_at else succeeded_at end
    from net._http_response as responses
    where pings.answered_at is null and responses.id = pings.request_id
      and pings.pinged_at >= (select since from scheduler.request_epoch)
      and responses.created >= pings.pinged_at - interval '5 seconds';
$$;
comment on function scheduler.read_ping_answers(timestamptz) is 'Reads pg_net''s answers to pings.';

create function scheduler.ping(p_channel public.scheduler_alert_channels, p_is_healthy boolean, p_now timestamptz)
returns void
language plpgsql set search_path = '' as $$
declare
  v_secrets constant jsonb := scheduler.alert_secrets(p_channel);
  v_fault text := scheduler.alert_secrets_fault(p_channel, v_secrets);
  v_request_id bigint;
begin
  if v_fault is null then
    begin
      v_request_id := net.http_post(scheduler.ping_url(v_secrets ->> 'address', p_is_healthy),
        headers := '{"Content-Type": "application/json"}', timeout_milliseconds := 3000);
    exception when others then
      v_fault := format('its request could not be made (%s)', sqlstate);
    end;
  end if;
  insert into scheduler.alert_pings as pings (channel, pinged_at, was_healthy, request_id, answered_at, error)
    values (p_channel.name, p_now, p_is_healthy, v_request_id, case when v_request_id is null then p_now end, v_fault)
    on conflict (channel) do update set pinged_at = excluded.pinged_at, was_healthy = excluded.was_healthy,
      request_id = excluded.request_id, answered_at = excluded.answered_at, error = excluded.error,
      response_status = null;
end;
$$;
comment on function scheduler.ping(public.scheduler_alert_channels, boolean, timestamptz) is
  'Pings a dead man''s switch. Never raises for a wrong address: alert_pings says it.';

create function scheduler.ping_watchers(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_is_healthy constant boolean := (
    select errors = '{}' and not scheduler.queue_rule_holds(
      (select threshold from public.scheduler_alert_rules where rule = 'queue_still'), queue_still_since, p_now)
    from scheduler.pulse_state);
begin
  perform scheduler.read_ping_answers(p_now);
  perform scheduler.ping(channels, v_is_healthy, p_now)
    from public.scheduler_alert_channels as channels left join scheduler.alert_pings as pings on channel = name
    where kind = 'dead_man' and enabled
      and scheduler.is_ping_due(pinged_at, request_id is not null and answered_at is null
        and exists (select from net.http_request_queue as waiting where waiting.id = request_id), p_now);
end;
$$;
comment on function scheduler.ping_watchers(timestamptz) is
  'Pings the dead man''s switches that are due: success while the last pulse had no error and pg_net''s queue moves, '
    'else /fail.';

create function scheduler.status_line(p_now timestamptz) returns text
language sql stable set search_path = '' as $$
  select format('%s: %s active, %s paused, %s failing; %s under way, %s waiting; %s', scheduler.count_text(count(*),
      'job'), count(*) filter (where stop is null), count(*) filter (where stop is not null),
      count(*) filter (where failed_in_row > 0 or missed_in_row > 0),
      (select count(*) from public.scheduler_runs where status in ('dispatched', 'running')),
      (select count(*) from public.scheduler_runs where status = 'queued'),
      (select scheduler.count_text(count(*), 'open alert') from public.scheduler_alerts
        where opened_at is not null and ended_at is null))
  from public.scheduler_jobs as jobs join scheduler.run_counters on job_name = name,
    lateral (select scheduler.stop_now(jobs, p_now) as stop) as stopped
  where enabled;
$$;
comment on function scheduler.status_line(timestamptz) is 'One line over all enabled jobs.';

create function scheduler.write_status_lines(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_every constant interval := make_interval(mins => scheduler.setting('alerts.status_minutes'));
begin
  if v_every is null then
    return;
  end if;
  insert into public.scheduler_alert_deliveries (channel, event, severity, message, written_at, send_after)
    select name, 'status', 'info', jsonb_build_object('event', 'status', 'severity', 'info', 'at', p_now,
      'title', scheduler.status_line(p_now)), p_now, p_now
    from public.scheduler_alert_channels as channels
    where enabled and least_severity = 'info' and kind not in ('dead_man', 'pagerduty')
      and not scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)
      and not exists (
        select from public.scheduler_alert_deliveries
        where channel = channels.name and event = 'status' and written_at > p_now - v_every);
end;
$$;
comment on function scheduler.write_status_lines(timestamptz) is
  'Has the status line said to channels that take info, where it is due.';

create function scheduler.attend_alerts(p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_looked_at timestamptz;
  v_sent integer;
begin
  if not exists (select from public.scheduler_alert_channels where enabled)
    and not exists (select from public.scheduler_alerts where not settled)
    and not exists (select from public.scheduler_alert_deliveries where status in ('waiting', 'sent')) then
    return jsonb_build_object();
  end if;
  select last_looked_at into v_looked_at from scheduler.pulse_state;
  if v_looked_at is null or p_now < v_looked_at or p_now >= v_looked_at + interval '30 seconds' then
    perform scheduler.look_for_causes(p_now);
    if exists (select from public.scheduler_alerts where not settled) then
      perform scheduler.write_deliveries(p_now);
      perform scheduler.settle_alerts();
    end if;
    perform scheduler.write_status_lines(p_now);
  end if;
  if exists (select from public.scheduler_alert_deliveries where status in ('waiting', 'sent')) then
    perform scheduler.read_delivery_answers(p_now);
    v_sent := scheduler.send_deliveries(p_now);
  end if;
  if exists (select from public.scheduler_alert_channels where kind = 'dead_man' and enabled) then
    perform scheduler.ping_watchers(p_now);
  end if;
  return jsonb_build_object('messages', coalesce(v_sent, 0));
end;
$$;
comment on function scheduler.attend_alerts(timestamptz) is
  'The pulse''s step for alerts: looks at the rules every 30 seconds, sends what is to be said, reads the answers, '
    'pings dead man''s switches. Nothing while no channel is enabled and nothing is left to be said.';

create function scheduler.undelivered_alerts(p_now timestamptz) returns bigint
language sql stable set search_path = '' as $$
  select (
    select count(*) from public.scheduler_alert_deliveries
    where status in ('waiting', 'sent') and written_at < p_now - interval '5 minutes')
    + (
      select count(*) from public.scheduler_alert_deliveries as failed
      where status = 'failed' and finished_at > p_now - interval '1 day' and not exists (
        select from public.scheduler_alert_deliveries as later
        where later.channel = failed.channel and later.status = 'delivered'
          and later.finished_at > failed.finished_at))
    + (
      select count(*) from scheduler.alert_pings join public.scheduler_alert_channels on name = channel and enabled
      where coalesce(succeeded_at, created_at) < p_now - interval '5 minutes');
$$;
comment on function scheduler.undelivered_alerts(timestamptz) is
  'Messages that have waited for more than five minutes, or failed within a day and nothing arrived there since, and '
    'dead man''s switches that could not be pinged for five minutes.';
