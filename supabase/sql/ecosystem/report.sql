-- The figures of a day, and its report.

create function ecosystem.activity(p_day date) returns jsonb
language sql stable set search_path = '' as $$
  with watched as (
    select repository.full_name, repository.last_outcome, repository.last_problem,
      repository.gone_since is not null and activity.day is null as gone, activity.*
    from public.ecosystem_repositories as repository
    left join public.repository_activity as activity on activity.repository_id = repository.id and activity.day = p_day
    where repository.enabled
  ), sums as (
    select figure.name, sum(figure.value) as total, count(figure.value) as known,
      coalesce(bool_or(figure.list = any (watched.truncated)), false) as at_least
    from watched
    cross join lateral (values
      ('commits', commits, 'commits'),
      ('issues_opened', issues_opened, 'issues'),
      ('issues_closed', issues_closed, 'issues'),
      ('pull_requests_opened', pull_requests_opened, 'issues'),
      ('pull_requests_merged', pull_requests_merged, 'issues'),
      ('releases', releases, 'releases'),
      ('stars_gained', stars_gained, null)
    ) as figure (name, value, list)
    where not gone
    group by figure.name
  ), busiest as (
    select * from watched
    where day is not null
    order by coalesce(commits, 0) + coalesce(issues_opened, 0) + coalesce(issues_closed,
      0) + coalesce(pull_requests_opened, 0)
      + coalesce(pull_requests_merged, 0) + coalesce(releases, 0) + abs(coalesce(stars_gained, 0)) desc,
        lower(full_name)
    limit 40
  )
  select jsonb_build_object(
    'repositories', (select count(*) from watched where not gone),
    'with_figures', (select count(*) from watched where day is not null),
    'gone', coalesce((
      select jsonb_agg(full_name order by lower(full_name))
      from (select full_name from watched where gone order by lower(full_name) limit 40) as gone), jsonb_build_array()),
    'figures', coalesce((
      select jsonb_object_agg(name, jsonb_build_object('total', total, 'known', known, 'at_least', at_least))
        from sums), jsonb_build_object()),
    'busiest', coalesce((
      select jsonb_agg(jsonb_build_object('full_name', full_name, 'commits', commits, 'issues_opened', issues_opened,
        'issues_closed', issues_closed, 'pull_requests_opened', pull_requests_opened,
        'pull_requests_merged', pull_requests_merged, 'releases', releases, 'stars_total', stars_total,
        'stars_gained', stars_gained))
      from busiest), jsonb_build_array()));
$$;
comment on function ecosystem.activity(date) is
  'The activity in the enabled repositories on a day: sums with in how many of them each is known ("total" null: in '
    'none), and the 40 busiest.';

create function ecosystem.infrastructure(p_day date, p_now timestamptz default now()) returns jsonb
language sql stable set search_path = '' as $$
  with bounds as (
    select p_day::timestamp at time zone 'UTC' as starts_at, (p_day + 1)::timestamp at time zone 'UTC' as ends_at
  ), day as (
    select summary.* from bounds
    join public.device_metrics_summary as summary on summary.period_start = bounds.starts_at
      and summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'day'
  ), hours as (
    select count(*) as computed, count(*) filter (where summary.active_devices > 0) as active
    from bounds
    join public.device_metrics_summary as summary on summary.period_start >= bounds.starts_at
      and summary.period_start < bounds.ends_at
      and summary.device_key = '00000000-0000-0000-0000-000000000000' and summary.granularity = 'hour'
  ), fleet as (
    select count(*) filter (where status in ('online', 'offline')) as in_service,
      count(*) filter (where status = 'online') as online
    from bounds
    join public.devices on devices.registered_at < bounds.ends_at
  )
  select jsonb_build_object(
    'computed', exists (select from day),
    'active_devices', (select active_devices from day),
    'charging_efficiency_percent', (select charging_efficiency_percent from day),
    'energy_wh', (select energy_wh from day),
    'pop_validated', (select pop_events_validated from day),
    'pop_rejected', (select pop_events_rejected from day),
    'commands_completed', (select commands_completed from day),
    'commands_failed', (select commands_failed from day),
    'commands_expired', (select commands_expired from day),
    'hours_computed', (select computed from hours),
    'hours_active', (select active from hours),
    -- Only the state of now is known of devices. So it counts for the latest day alone, as its first report saw it.
    'devices', coalesce(
      (select nullif(report.figures #> '{infrastructure,devices}', 'null') from public.ecosystem_reports as report
        where report.day = p_day),
      (select jsonb_build_object('in_service', in_service, 'online', online, 'at', p_now)
       from fleet where ecosystem.is_latest_day(p_day, p_now))));
$$;
comment on function ecosystem.infrastructure(date, timestamptz) is
  'The fleet''s day from device_metrics_summary, and the devices in service (online or offline) and online. A figure '
    'that is not known is null.';

create function ecosystem.figures(p_day date, p_now timestamptz default now()) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'activity', ecosystem.activity(p_day),
    'infrastructure', ecosystem.infrastructure(p_day, p_now),
    'warning_below_score', scheduler.setting_value('ecosystem.warning_below_score'));
$$;
comment on function ecosystem.figures(date, timestamptz) is
  'The figures of a day''s report: {"activity", "infrastructure", "warning_below_score"}.';

create function public.ecosystem_figures(p_day date) returns jsonb
language sql stable security definer set search_path = '' as $$
  select ecosystem.figures(p_day);
$$;
comment on function public.ecosystem_figures(date) is
  'ecosystem.figures by the clock of the database.';

create function ecosystem.record_report(p_day date, p_report jsonb, p_now timestamptz default now()) returns void
language sql set search_path = '' as $$
  select ecosystem.assert_day(p_day, p_now);
  select scheduler.require_whole_numbers('report', p_report, array['overall_score', 'activity_score',
    'infrastructure_score']);
  insert into public.ecosystem_reports as kept
    (day, overall_score, activity_score, infrastructure_score, scores, figures, headline, report, created_at,
      updated_at)
  select p_day, given.overall_score, given.activity_score, given.infrastructure_score, given.scores, given.figures,
    given.headline, given.report, p_now, p_now
  from jsonb_to_record(p_report) as given (overall_score smallint, activity_score smallint,
    infrastructure_score smallint,
    scores jsonb, figures jsonb, headline text, report text)
  on conflict (day) do update set
    overall_score = excluded.overall_score, activity_score = excluded.activity_score,
    infrastructure_score = excluded.infrastructure_score, scores = excluded.scores, figures = excluded.figures,
    headline = excluded.headline, report = excluded.report, updated_at = excluded.updated_at;
$$;
comment on function ecosystem.record_report(date, jsonb, timestamptz) is
  'Keeps the report of a day, {"overall_score", "activity_score", "infrastructure_score", "scores", "figures", '
    '"headline", "report"}; again for the same day overwrites it.';

create function public.ecosystem_record_report(p_day date, p_report jsonb) returns void
language sql security definer set search_path = '' as $$
  select ecosystem.record_report(p_day, p_report);
$$;
comment on function public.ecosystem_record_report(date, jsonb) is
  'ecosystem.record_report by the clock of the database.';

revoke all on function public.ecosystem_figures(date) from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_record_report(date, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.ecosystem_figures(date) to service_role;
grant execute on function public.ecosystem_record_report(date, jsonb) to service_role;
