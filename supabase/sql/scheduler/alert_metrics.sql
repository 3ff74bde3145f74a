-- What a scrape shows of alerts and of what could not be said.

create function scheduler.alert_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(
    (select scheduler.metric_group('{"severity": ["critical", "info", "warning"]}',
      scheduler.metric('scheduler_alerts_open', json_build_array(count(*) filter (where severity = 'critical'),
        count(*) filter (where severity = 'info'), count(*) filter (where severity = 'warning'))))
      from public.scheduler_alerts where not settled and opened_at is not null and ended_at is null),
    scheduler.metric_group('{}', scheduler.metric('scheduler_alerts_undelivered',
      scheduler.undelivered_alerts(p_now))));
$$;
comment on function scheduler.alert_metrics(timestamptz) is
  'What a scrape shows of alerts: a value a severity, and what could not be delivered.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.alert_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_alerts_open', 'scheduler', 'gauge', 'Alerts that last, by severity.'),
  ('scheduler_alerts_undelivered', 'scheduler', 'gauge', 'Alerts that could not be delivered for five minutes, or '
    'failed within a day with nothing delivered there since, and dead man''s switches that could not be pinged for '
    'five minutes.');
