-- What is said of an alert, and the body that each kind of channel takes. Nothing secret is in it, and no payload.

insert into public.scheduler_settings (pack, key, default_value, type, unit, optional, description) values
  ('scheduler', 'alerts.console_url', 'null', 'text', null, true, 'where the console is, for the link in an alert; '
    '''null'': no link'),
  ('scheduler', 'alerts.pagerduty_url', '"https://events.pagerduty.com/v2/enqueue"', 'text', null, false, 'where '
    'PagerDuty takes events; in the EU https://events.eu.pagerduty.com/v2/enqueue'),
  ('scheduler', 'alerts.email_url', '"https://api.resend.com/emails"', 'text', null, false, 'where Resend takes '
    'e-mails');

-- A message of a job can hold anything: what is in Vault is taken out, and of a URL only the host stays.
create function scheduler.without_secrets(p_text text) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_text text := scheduler.hosts_only(p_text);
  v_secret text;
begin
  for v_secret in
    select decrypted_secret from vault.decrypted_secrets where length(decrypted_secret) >= 8
      and name is distinct from 'project_url'
    order by length(decrypted_secret) desc
  loop
    v_text := replace(v_text, v_secret, '***');
  end loop;
  return v_text;
exception when others then
  return null;
end;
$$;
comment on function scheduler.without_secrets(text) is
  'The text without anything that Vault holds; null when Vault cannot be read.';

create function scheduler.alert_title(p_cause text, p_rule text, p_jobs text[]) returns text
language sql immutable set search_path = '' as $$
  select case kind
    when 'job' then name || case p_rule
      when 'failed' then ' failed' when 'failing' then ' fails again and again' when 'missed' then ' was missed'
      when 'late' then ' is late' when 'overdue' then ' is overdue' when 'continuous_down' then ' is down'
      when 'breaker_open' then ' is held back by its breaker' when 'dependency_timeout' then ' waited in vain'
      when 'long_running' then ' runs for too long' when 'outgrows' then ' outgrows its time' else ' cannot be looked '
        'at by the pulse' end
    when 'host' then case name when 'functions' then 'the functions do not answer' else name || ' does not answer' end
    when 'secret' then format('the secret %s is refused', name)
    when 'setup' then name
    when 'budget' then format('the budget %s is used up', name)
    when 'clock' then 'occurrences were missed'
    when 'queue' then 'pg_net sends nothing'
    else 'the pulse fails in part' end
    || case when cardinality(p_jobs) > 1 then format(' (%s)', scheduler.count_text(cardinality(p_jobs), 'job'))
      when kind <> 'job' and cardinality(p_jobs) = 1 then format(' (%s)', p_jobs[1]) else '' end
  from (select split_part(p_cause, ' ', 1) as kind, substring(p_cause from position(' ' in p_cause) + 1) as name)
    as parts;
$$;
comment on function scheduler.alert_title(text, text, text[]) is 'A cause in a few words, with the jobs that it stops.';

create function scheduler.alert_remedy(p_cause text) returns text
language sql immutable set search_path = '' as $$
  select case split_part(p_cause, ' ', 1)
    when 'clock' then 'Was the database down, or does pg_cron stand still?'
    when 'queue' then 'What to do: select net.worker_restart().'
    when 'pulse' then 'What failed is in scheduler.pulse_state.'
    when 'budget' then 'Jobs that take of it wait until there are tokens again.' end;
$$;
comment on function scheduler.alert_remedy(text) is 'What to do about a cause of no job; null for all others.';

create function scheduler.alert_sentence(p_alert public.scheduler_alerts, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
begin
  return scheduler.without_secrets(coalesce(scheduler.alert_remedy(p_alert.cause), (
    select forecasts.sentence from scheduler.forecast(p_alert.jobs[1]) as forecasts
    where p_alert.rule = 'outgrows' and forecasts.kind = 'outgrows' limit 1), scheduler.explain(
    p_alert.jobs[1], (select unsuccessful_for from scheduler.run_counters
      where job_name = p_alert.jobs[1] and p_alert.rule in ('failed', 'failing')), p_now)));
exception when others then
  -- An alert without its sentence is better than none.
  return null;
end;
$$;
comment on function scheduler.alert_sentence(public.scheduler_alerts, timestamptz) is
  'What explain says of the alert''s first job, the forecast of one that outgrows its time, or what to do about a '
    'cause of no job; without secrets.';

create function scheduler.alert_message(p_alert public.scheduler_alerts, p_event text, p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'event', p_event, 'alert', p_alert.id, 'severity', p_alert.severity, 'cause', left(p_alert.cause, 200),
    'rule', p_alert.rule, 'at', p_now, 'opened_at', p_alert.opened_at, 'ended_at', p_alert.ended_at,
    'lasted_seconds', floor(extract(epoch from coalesce(p_alert.ended_at, p_now) - p_alert.opened_at)),
    'jobs', p_alert.jobs[1:20], 'job_count', cardinality(p_alert.jobs),
    'title', left(scheduler.without_secrets(scheduler.alert_title(p_alert.cause, p_alert.rule, p_alert.jobs)), 200),
    'note', case p_event
      when 'ended' then case p_alert.end_kind when 'over' then 'It is over after ' || lasted || '.'
        else format('Nobody watches it any more, after %s: its jobs are paused, disabled or gone.', lasted) end
      when 'again' then format('It has lasted for %s%s.', lasted, case when p_alert.jobs <> '{}'
        then ', now of ' || scheduler.count_text(p_alert.jobs_now, 'job') else '' end)
      when 'worse' then 'It has become worse.' end,
    'sentence', case when p_event <> 'ended' then scheduler.one_line(scheduler.alert_sentence(p_alert, p_now), 700) end,
    'link', (scheduler.setting_value('alerts.console_url') #>> '{}')
      || case when split_part(p_alert.cause, ' ', 1) = 'job' then '?job=' || p_alert.jobs[1] else '' end))
  from (select scheduler.duration_text(extract(epoch from coalesce(p_alert.ended_at, p_now) - p_alert.opened_at))
    as lasted) as times;
$$;
comment on function scheduler.alert_message(public.scheduler_alerts, text, timestamptz) is
  'What is said of an alert, for all kinds of channels: {"event", "alert", "severity", "cause", "title", "jobs", '
    '"job_count", "note", "sentence", "link" …}.';

create function scheduler.alert_headline(p_message jsonb) returns text
language sql immutable set search_path = '' as $$
  select case p_message ->> 'event' when 'ended' then '[over] ' when 'status' then '' when 'test' then '[test] '
    else format('[%s] ', p_message ->> 'severity') end || (p_message ->> 'title');
$$;
comment on function scheduler.alert_headline(jsonb) is 'The first line of a message.';

create function scheduler.alert_text(p_message jsonb) returns text
language sql immutable set search_path = '' as $$
  select concat_ws(e'\n', scheduler.alert_headline(p_message), p_message ->> 'note', p_message ->> 'sentence',
    case when (p_message ->> 'job_count')::integer > 1 then 'Jobs: ' || (
      select string_agg(job, ', ') from jsonb_array_elements_text(p_message -> 'jobs') as job)
      || case when (p_message ->> 'job_count')::integer > jsonb_array_length(p_message -> 'jobs')
        then format(' and %s more', (p_message ->> 'job_count')::integer - jsonb_array_length(p_message -> 'jobs'))
        else '' end end,
    p_message ->> 'link');
$$;
comment on function scheduler.alert_text(jsonb) is 'A message as plain text, in a few lines.';

-- The formats: Slack's incoming webhooks, Discord's Execute Webhook, an adaptive card for a workflow of Teams, Resend's
-- POST /emails, PagerDuty's Events API v2, Standard Webhooks.
create function scheduler.alert_body(p_kind text, p_message jsonb, p_key uuid, p_secrets jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select case p_kind
    when 'slack' then jsonb_build_object('text',
      left(replace(replace(replace(text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), 3900))
    -- Nobody is mentioned, whatever a job's name or message says.
    when 'discord' then jsonb_build_object('content', left(text, 1900), 'allowed_mentions', '{"parse": []}'::jsonb)
    when 'teams' then jsonb_build_object('type', 'message', 'attachments', jsonb_build_array(jsonb_build_object(
      'contentType', 'application/vnd.microsoft.card.adaptive', 'contentUrl', null,
      'content', jsonb_build_object('$schema', 'http://adaptivecards.io/schemas/adaptive-card.json',
        'type', 'AdaptiveCard', 'version', '1.2', 'body', jsonb_build_array(
          jsonb_build_object('type', 'TextBlock', 'text', scheduler.alert_headline(p_message), 'weight', 'Bolder',
            'wrap', true),
          jsonb_build_object('type', 'TextBlock', 'wrap', true, 'text', coalesce(
            replace(substring(text from position(e'\n' in text) + 1 for 4000), e'\n', e'\n\n'), ''))))
        || case when p_message ? 'link' then jsonb_build_object('actions', jsonb_build_array(jsonb_build_object(
          'type', 'Action.OpenUrl', 'title', 'Open', 'url', p_message ->> 'link'))) else '{}' end)))
    when 'email' then jsonb_build_object('from', p_secrets ->> 'sender',
      'to', to_jsonb(regexp_split_to_array(p_secrets ->> 'address', '\s*,\s*')),
      'subject', left(scheduler.alert_headline(p_message), 200), 'text', text)
    when 'pagerduty' then jsonb_build_object('routing_key', p_secrets ->> 'token',
      'dedup_key', 'daybook-' || coalesce(p_message ->> 'alert', p_key::text),
      'event_action', case p_message ->> 'event' when 'ended' then 'resolve' else 'trigger' end)
      || case p_message ->> 'event' when 'ended' then '{}' else jsonb_strip_nulls(jsonb_build_object(
        'client', 'Daybook', 'client_url', p_message ->> 'link',
        'payload', jsonb_build_object('summary', left(p_message ->> 'title', 1024), 'source', 'daybook',
          'severity', p_message ->> 'severity', 'timestamp', p_message ->> 'at',
          'custom_details', p_message - 'link'))) end
    else jsonb_build_object('type', 'alert.' || (p_message ->> 'event'), 'timestamp', p_message ->> 'at',
      'data', p_message) end
  from (select scheduler.alert_text(p_message) as text) as texts;
$$;
comment on function scheduler.alert_body(text, jsonb, uuid, jsonb) is
  'The JSON that a channel of that kind takes. The same for each try: p_key is the delivery''s.';

-- The signature is over the text that pg_net sends, which is body::text.
create function scheduler.webhook_signature(p_secret text, p_key uuid, p_seconds bigint, p_body jsonb) returns text
language plpgsql immutable set search_path = '' as $$
begin
  -- Where pgcrypto was in another schema before, only webhooks fail, and not the migration.
  return 'v1,' || encode(extensions.hmac(convert_to(format('%s.%s.%s', p_key, p_seconds, p_body), 'UTF8'),
    decode(substring(p_secret from 7), 'base64'), 'sha256'), 'base64');
end;
$$;
comment on function scheduler.webhook_signature(text, uuid, bigint, jsonb) is
  'webhook-signature as Standard Webhooks has it, by a secret of the form whsec_<base64>.';

create function scheduler.alert_headers(p_kind text, p_body jsonb, p_key uuid, p_secrets jsonb, p_now timestamptz)
returns jsonb
language sql immutable set search_path = '' as $$
  select '{"Content-Type": "application/json"}'::jsonb || case p_kind
    when 'email' then jsonb_build_object('Authorization', 'Bearer ' || (p_secrets ->> 'token'),
      'Idempotency-Key', p_key)
    when 'webhook' then jsonb_build_object('webhook-id', p_key, 'webhook-timestamp', seconds::text,
      'webhook-signature', scheduler.webhook_signature(p_secrets ->> 'token', p_key, seconds, p_body))
    else '{}' end
  from (select floor(extract(epoch from p_now))::bigint as seconds) as clock;
$$;
comment on function scheduler.alert_headers(text, jsonb, uuid, jsonb, timestamptz) is
  'The headers of a delivery: the receiver''s key against repeats where it has one, and what proves who sends it.';
