-- Daybook 0.10.0, pack ecosystem. Made of supabase/sql/ecosystem: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'ecosystem';
  v_schemas constant text[] := array['ecosystem'];
  v_relations constant text[] := array[
    'ecosystem_comments', 'ecosystem_reports', 'ecosystem_repositories',
    'repository_activity', 'app_settings', 'eliza_activity_log'];
  v_functions constant text[] := array[
    'ecosystem_claim_comment', 'ecosystem_doubt_comment', 'ecosystem_figures',
    'ecosystem_record_activity', 'ecosystem_record_comment',
    'ecosystem_record_report', 'ecosystem_release_comment',
    'ecosystem_repositories_to_read', 'ecosystem_responses_of',
    'ecosystem_take_over_comment'];
  v_jobs constant text[] := array['ecosystem-monitor'];
  v_there text[] := array(
    select format('schema %I', nspname) from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union
    select format('%s public.%I',
      case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
        when 'c' then 'type' else 'table' end, relname)
    from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union
    select format('type public.%I', typname) from pg_catalog.pg_type
    where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r') and typname = any (v_relations)
    union
    select format('function public.%I', proname) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions));
begin
  if to_regclass('cron.job') is not null then
    v_there := v_there || array(select format('pg_cron entry %s', jobname) from cron.job where jobname = any (v_jobs));
  end if;
  if v_pack <> 'scheduler' then
    v_there := v_there || array(select format('job %s', name) from public.scheduler_jobs where name = any (v_jobs));
  end if;
  if v_there <> '{}' then
    -- The CLI shows no hints.
    raise exception using errcode = '42710',
      message = format(
        'cannot install the pack %1$s: the database has these already, and they are not Daybook''s: %2$s; '
        'rename or drop them, or run: deno task install <project> --pack %1$s --move-aside',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing));
  end if;
end;
$guard$;

create schema ecosystem;
revoke all on schema ecosystem from public, anon, authenticated, service_role;
comment on schema ecosystem is 'Private functions and types of the pack ecosystem. Not exposed through REST.';

-- The names that the ecosystem's programs use for tables of the scheduler.

create view public.eliza_activity_log with (security_invoker = true) as
  select id, occurred_at, source, severity, message, run_id, details from public.scheduler_activity;
comment on view public.eliza_activity_log is
  'The table scheduler_activity; a line that is inserted here is added there, as log_activity does it.';

-- Security definer: a role that may add a line may not write lines of runs.
create function ecosystem.add_activity() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.occurred_at := coalesce(new.occurred_at, now());
  new.severity := coalesce(new.severity, 'info');
  new.details := coalesce(new.details, '{}');
  new.run_id := null;
  new.id := scheduler.log_activity(new.source, new.message, new.severity, new.details, new.occurred_at);
  return new;
end;
$$;
comment on function ecosystem.add_activity() is 'Trigger: adds the line that is inserted into eliza_activity_log to '
  'scheduler_activity.';

create trigger add_activity instead of insert on public.eliza_activity_log
  for each row execute function ecosystem.add_activity();

create view public.app_settings with (security_invoker = true) as
  select key, value, description, updated_at from public.scheduler_settings;
comment on view public.app_settings is 'The table scheduler_settings by the name that the ecosystem''s programs read.';

revoke all on public.eliza_activity_log, public.app_settings from public, anon, authenticated, service_role;
grant select, insert on public.eliza_activity_log to service_role;
grant select on public.app_settings to service_role;

-- The data of ecosystem-monitor: the repositories, their activity of each day, the report of each day, and the comment
-- that at most one request a day may leave on GitHub.

create table public.ecosystem_repositories (
  id bigint generated always as identity primary key,
  full_name text not null
    constraint ecosystem_repositories_full_name check (
      full_name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]{1,100}$' and full_name !~ '/\.{1,2}$'),
  enabled boolean not null default true,
  added_at timestamptz not null default now() check (isfinite(added_at)),
  last_asked_at timestamptz check (isfinite(last_asked_at)),
  last_outcome text check (last_outcome in ('read', 'partial', 'gone', 'unreadable')),
  last_problem text,
  gone_since timestamptz check (isfinite(gone_since)),
  github_name text
);
-- GitHub's names are not case sensitive.
create unique index ecosystem_repositories_full_name_key on public.ecosystem_repositories (lower(full_name));

comment on table public.ecosystem_repositories is 'The GitHub repositories that ecosystem-monitor looks at; a person '
  'fills it, the job notes how it fared.';
comment on column public.ecosystem_repositories.full_name is 'owner/name, as in the address of the repository.';
comment on column public.ecosystem_repositories.last_asked_at is 'When GitHub was last asked about it; those asked '
  'longest ago come first in a run.';
comment on column public.ecosystem_repositories.last_outcome is
  'read: every figure; partial: some; gone: GitHub does not know it, or not for this token; unreadable: no figure.';
comment on column public.ecosystem_repositories.gone_since is 'Since when GitHub says that it is not there; null '
  'while it is.';
comment on column public.ecosystem_repositories.github_name is 'What GitHub calls it now, where that is not '
  'full_name: it was renamed or moved.';

create table public.repository_activity (
  repository_id bigint not null references public.ecosystem_repositories (id) on delete cascade,
  day date not null check (isfinite(day)),
  commits integer check (commits >= 0),
  issues_opened integer check (issues_opened >= 0),
  issues_closed integer check (issues_closed >= 0),
  pull_requests_opened integer check (pull_requests_opened >= 0),
  pull_requests_merged integer check (pull_requests_merged >= 0),
  releases integer check (releases >= 0),
  stars_total integer check (stars_total >= 0),
  stars_gained integer,
  stars_since date check (isfinite(stars_since)),
  truncated text[] not null default '{}',
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  primary key (repository_id, day)
);

comment on table public.repository_activity is 'The activity in a repository on a UTC day, one row a repository and '
  'day, kept for 730 days. A figure that is not known is null, never 0.';
comment on column public.repository_activity.commits is 'Commits of the default branch whose committer date lies in '
  'the day.';
comment on column public.repository_activity.stars_total is 'Stars when the day was first read, within a day after '
  'its end; null when it was read later than that.';
comment on column public.repository_activity.stars_gained is 'stars_total less that of stars_since, the latest '
  'earlier day whose stars are known; may be negative.';
comment on column public.repository_activity.truncated is 'The lists of which some pages were not read: counts '
  'from them are lower bounds.';

create table ecosystem.github_responses (
  repository_id bigint not null references public.ecosystem_repositories (id) on delete cascade,
  url text not null check (length(url) between 1 and 2000),
  etag text not null check (length(etag) between 1 and 500),
  found jsonb not null,
  next_url text,
  used_at timestamptz not null default now() check (isfinite(used_at)),
  primary key (repository_id, url)
) with (fillfactor = 80);

comment on table ecosystem.github_responses is
  'The counts of GitHub''s answers, by address, with their ETags: an answer that has not changed costs nothing '
    'of the rate limit. Rows unused for 8 days go.';
comment on column ecosystem.github_responses.found is 'The counts of that answer, not the answer.';
comment on column ecosystem.github_responses.next_url is 'The next page, as the answer''s Link header named it.';

create table public.ecosystem_reports (
  day date primary key check (isfinite(day)),
  overall_score smallint check (overall_score between 0 and 100),
  activity_score smallint check (activity_score between 0 and 100),
  infrastructure_score smallint check (infrastructure_score between 0 and 100),
  scores jsonb not null check (jsonb_typeof(scores) = 'object'),
  figures jsonb not null check (jsonb_typeof(figures) = 'object'),
  headline text not null,
  report text not null,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);

comment on table public.ecosystem_reports is 'The report of each UTC day, one row a day; running the day again '
  'overwrites it.';
comment on column public.ecosystem_reports.overall_score is '0 to 100; null, as the other scores, when none of its '
  'parts is known.';
comment on column public.ecosystem_reports.scores is 'The scores with their parts: {"activity": {"score", "parts": '
  '{"<part>": {"value", "points", "of", "why"}}}, …}.';
comment on column public.ecosystem_reports.figures is 'The figures of the scores, as ecosystem_figures() gave them.';

create table public.ecosystem_comments (
  day date primary key check (isfinite(day)),
  state text not null check (state in ('posting', 'posted')),
  issue text not null check (issue ~ '^[^/\s#]+/[^/\s#]+#[0-9]+$'),
  run_id uuid not null,
  claimed_at timestamptz not null check (isfinite(claimed_at)),
  may_arrive_until timestamptz not null check (isfinite(may_arrive_until)),
  comment_id bigint,
  comment_url text,
  posted_at timestamptz check (isfinite(posted_at)),
  problem text,
  constraint ecosystem_comments_posted check ((state = 'posted') = (posted_at is not null))
);

comment on table public.ecosystem_comments is
  'The engagement comment of a day, claimed here before it is sent: only the run that holds the row may send one.';
comment on column public.ecosystem_comments.state is
  'posting: a request was, or may have been, sent and its outcome is not known; posted: the comment is on GitHub.';
comment on column public.ecosystem_comments.run_id is 'The run that claimed the day.';
comment on column public.ecosystem_comments.may_arrive_until is
  'From then on the request of that run cannot arrive any more: only then may another run send one, if the comment is '
    'not there.';
comment on column public.ecosystem_comments.problem is 'Why the outcome of the request is not known.';

alter table public.ecosystem_repositories enable row level security;
alter table public.repository_activity enable row level security;
alter table ecosystem.github_responses enable row level security;
alter table public.ecosystem_reports enable row level security;
alter table public.ecosystem_comments enable row level security;
revoke all on table public.ecosystem_repositories, public.repository_activity,
  public.ecosystem_reports, public.ecosystem_comments from public, anon, authenticated, service_role;
revoke all on sequence public.ecosystem_repositories_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.ecosystem_repositories, public.repository_activity,
  public.ecosystem_reports, public.ecosystem_comments to service_role;

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, description) values
  ('ecosystem', 'ecosystem.warning_below_score', '40', 'number', 'points', 0, 100, 'ecosystem-monitor warns when the '
    'overall score of a day is below this');

select scheduler.add_retention_rule('ecosystem', 'ecosystem_reports', 730, 'day < ($1 at time zone ''UTC'')::date');
select scheduler.add_retention_rule('ecosystem', 'ecosystem_comments', 730, 'day < ($1 at time zone ''UTC'')::date '
  'and state = ''posted''');

-- The readings of repositories: which are due, their kept answers, and storing the figures.

create function public.ecosystem_repositories_to_read(p_limit integer default 500) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'enabled', (select count(*) from public.ecosystem_repositories where enabled),
    'repositories', coalesce((
      select jsonb_agg(jsonb_build_object('id', id, 'full_name', full_name) order by last_asked_at nulls first, id)
      from (
        select id, full_name, last_asked_at from public.ecosystem_repositories
        where enabled
        order by last_asked_at nulls first, id
        limit p_limit
      ) as chosen
    ), jsonb_build_array()));
$$;
comment on function public.ecosystem_repositories_to_read(integer) is
  'The enabled repositories, those that were asked about longest ago first: {"enabled": 2, "repositories": [{"id", '
    '"full_name"}]}.';

-- Security definer: service_role has no right in the schema ecosystem.
create function public.ecosystem_responses_of(p_repository_id bigint) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(
    jsonb_object_agg(url, jsonb_build_object('etag', etag, 'found', found, 'next_url', next_url)), jsonb_build_object())
  from (
    select url, etag, found, next_url from ecosystem.github_responses
    where repository_id = p_repository_id
    order by used_at desc
    limit 200
  ) as newest;
$$;
comment on function public.ecosystem_responses_of(bigint) is
  'The kept answers of a repository, by address: {"<url>": {"etag", "found", "next_url"}}; the 200 used last.';

create function ecosystem.assert_day(p_day date, p_now timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if coalesce(p_day not between date '2000-01-01' and (p_now at time zone 'UTC')::date, true) then
    raise exception using errcode = '22023',
      message = format('the day must be one from 2000 until today (UTC), got %s', coalesce(p_day::text, 'null'));
  end if;
end;
$$;
comment on function ecosystem.assert_day(date, timestamptz) is
  'Raises 22023 for a day that cannot have figures: before 2000, in the future, or null.';

create function ecosystem.is_latest_day(p_day date, p_now timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select p_now < ((p_day + 2)::timestamp at time zone 'UTC');
$$;
comment on function ecosystem.is_latest_day(date, timestamptz) is
  'Whether figures of now count for that UTC day: until a day after its end.';

create function ecosystem.note_reading(p_repository_id bigint, p_reading jsonb, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.ecosystem_repositories set
    last_asked_at = p_now,
    last_outcome = p_reading ->> 'outcome',
    last_problem = p_reading ->> 'problem',
    gone_since = case when p_reading ->> 'outcome' = 'gone' then coalesce(gone_since, p_now) end,
    github_name = case when p_reading ->> 'outcome' in ('read', 'partial')
      then nullif(p_reading ->> 'github_name', full_name) else github_name end
  where id = p_repository_id;
  return found;
end;
$$;
comment on function ecosystem.note_reading(bigint, jsonb, timestamptz) is
  'Notes in a repository''s row how its reading went; false when the repository was deleted meanwhile.';

create function ecosystem.stars_of(p_repository_id bigint, p_day date, p_stars integer, p_now timestamptz,
  out total integer, out gained integer, out since date)
language plpgsql stable set search_path = '' as $$
begin
  -- GitHub says how many stars there are now. That counts for a day only while it is the latest.
  if not ecosystem.is_latest_day(p_day, p_now) or p_stars is null then
    return;
  end if;
  total := p_stars;
  select day, p_stars - stars_total into since, gained
  from public.repository_activity
  where repository_id = p_repository_id and day < p_day and stars_total is not null
  order by day desc
  limit 1;
end;
$$;
comment on function ecosystem.stars_of(bigint, date, integer, timestamptz) is
  'The stars of a repository on a day, from those it has now: how many, and how many more than on the latest earlier '
    'day whose stars are known. Null for a day that is not the latest.';

create function ecosystem.record_figures(p_repository_id bigint, p_day date, p_reading jsonb, p_now timestamptz)
returns void
language sql set search_path = '' as $$
  -- A known figure stays when a later reading of the day does not have it. Stars are those of the first reading.
  insert into public.repository_activity as activity (repository_id, day, commits, issues_opened, issues_closed,
    pull_requests_opened, pull_requests_merged, releases, stars_total, stars_gained, stars_since, truncated,
    created_at, updated_at)
  select p_repository_id, p_day, figures.commits, figures.issues_opened, figures.issues_closed,
    figures.pull_requests_opened, figures.pull_requests_merged, figures.releases, stars.total, stars.gained,
    stars.since, array(select jsonb_array_elements_text(p_reading -> 'truncated')), p_now, p_now
  from jsonb_populate_record(null::public.repository_activity, p_reading -> 'figures') as figures,
    ecosystem.stars_of(p_repository_id, p_day, figures.stars_total, p_now) as stars
  on conflict (repository_id, day) do update set
    commits = coalesce(excluded.commits, activity.commits),
    issues_opened = coalesce(excluded.issues_opened, activity.issues_opened),
    issues_closed = coalesce(excluded.issues_closed, activity.issues_closed),
    pull_requests_opened = coalesce(excluded.pull_requests_opened, activity.pull_requests_opened),
    pull_requests_merged = coalesce(excluded.pull_requests_merged, activity.pull_requests_merged),
    releases = coalesce(excluded.releases, activity.releases),
    stars_total = coalesce(activity.stars_total, excluded.stars_total),
    stars_gained = case when activity.stars_total is null then excluded.stars_gained else activity.stars_gained end,
    stars_since = case when activity.stars_total is null then excluded.stars_since else activity.stars_since end,
    truncated = excluded.truncated,
    updated_at = excluded.updated_at;
$$;
comment on function ecosystem.record_figures(bigint, date, jsonb, timestamptz) is
  'Keeps the figures of a reading as those of the repository''s day.';

create function ecosystem.keep_responses(p_repository_id bigint, p_responses jsonb, p_now timestamptz) returns void
language sql set search_path = '' as $$
  insert into ecosystem.github_responses as kept (repository_id, url, etag, found, next_url, used_at)
  -- An address may come twice: pages of two lists can lead to the same next page.
  select distinct on (response.url) p_repository_id, response.url, response.etag, response.found, response.next_url,
    p_now
  from jsonb_to_recordset(p_responses) as response (url text, etag text, found jsonb, next_url text)
  on conflict (repository_id, url) do update set
    etag = excluded.etag, found = excluded.found, next_url = excluded.next_url, used_at = excluded.used_at;
  delete from ecosystem.github_responses
  where repository_id = p_repository_id and used_at < p_now - interval '8 days';
$$;
comment on function ecosystem.keep_responses(bigint, jsonb, timestamptz) is
  'Keeps the counts of a repository''s answers, and deletes those unused for 8 days.';

create function ecosystem.record_activity(
  p_repository_id bigint, p_day date, p_reading jsonb, p_responses jsonb default '[]', p_now timestamptz default now()
) returns void
language plpgsql set search_path = '' as $$
begin
  perform ecosystem.assert_day(p_day, p_now);
  perform scheduler.require_whole_numbers('figures', p_reading -> 'figures',
    array['commits', 'issues_opened', 'issues_closed', 'pull_requests_opened', 'pull_requests_merged', 'releases',
      'stars_total']);
  if not ecosystem.note_reading(p_repository_id, p_reading, p_now) then
    return;
  end if;
  if p_reading ->> 'outcome' in ('read', 'partial') then
    perform ecosystem.record_figures(p_repository_id, p_day, p_reading, p_now);
  end if;
  perform ecosystem.keep_responses(p_repository_id, p_responses, p_now);
  delete from public.repository_activity
  where repository_id = p_repository_id and day < (p_now at time zone 'UTC')::date - 730 and day <> p_day;
end;
$$;
comment on function ecosystem.record_activity(bigint, date, jsonb, jsonb, timestamptz) is
  'Keeps a reading of a repository''s day, {"outcome", "problem", "github_name", "figures", "truncated"}, and its '
    'answers, [{"url", "etag", "found", "next_url"}]. A second reading of a day overwrites the figures that it knows.';

create function public.ecosystem_record_activity(
  p_repository_id bigint, p_day date, p_reading jsonb, p_responses jsonb default '[]'
) returns void
language sql security definer set search_path = '' as $$
  select ecosystem.record_activity(p_repository_id, p_day, p_reading, p_responses);
$$;
comment on function public.ecosystem_record_activity(bigint, date, jsonb, jsonb) is
  'ecosystem.record_activity by the clock of the database.';

revoke all on function public.ecosystem_repositories_to_read(integer) from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_responses_of(bigint) from public, anon, authenticated, service_role;
revoke all on function
  public.ecosystem_record_activity(bigint, date, jsonb, jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.ecosystem_repositories_to_read(integer) to service_role;
grant execute on function public.ecosystem_responses_of(bigint) to service_role;
grant execute on function public.ecosystem_record_activity(bigint, date, jsonb, jsonb) to service_role;

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

-- The engagement comment, at most one a day. A run claims the row of the day before it sends the comment, and the day
-- is unique. A request with an unknown outcome may arrive late. So another run may send a comment only 30 minutes after
-- the claim. That is longer than these together: the run that claimed (its worker's wall clock ends after 400 s at
-- most), the retransmissions of TCP (about 16 minutes), and GitHub's work on a request (it ends that after 10 s).

create function ecosystem.claim_comment(
  p_day date, p_issue text, p_run_id uuid, p_only_look boolean default false, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_comment public.ecosystem_comments;
begin
  if not p_only_look then
    perform ecosystem.assert_day(p_day, p_now);
    insert into public.ecosystem_comments (day, state, issue, run_id, claimed_at, may_arrive_until)
    values (p_day, 'posting', p_issue, p_run_id, p_now, p_now + interval '30 minutes')
    on conflict do nothing;
    if found then
      return jsonb_build_object('claimed', true);
    end if;
  end if;
  select * into v_comment from public.ecosystem_comments where day = p_day;
  return jsonb_build_object('claimed', false, 'state', v_comment.state, 'issue', v_comment.issue, 'run_id',
    v_comment.run_id,
    'claimed_at', v_comment.claimed_at, 'may_arrive_until', v_comment.may_arrive_until,
    'may_arrive', v_comment.may_arrive_until > p_now, 'comment_url', v_comment.comment_url);
end;
$$;
comment on function ecosystem.claim_comment(date, text, uuid, boolean, timestamptz) is
  'Claims the comment of a day for a run, unless p_only_look: {"claimed": true}, or {"claimed": false} with the '
    'row of the day ("state" null: there is none).';

create function public.ecosystem_claim_comment(
  p_day date, p_issue text, p_run_id uuid, p_only_look boolean default false
) returns jsonb
language sql security definer set search_path = '' as $$
  select ecosystem.claim_comment(p_day, p_issue, p_run_id, p_only_look);
$$;
comment on function public.ecosystem_claim_comment(date, text, uuid, boolean) is
  'ecosystem.claim_comment by the clock of the database.';

create function ecosystem.take_over_comment(
  p_day date, p_issue text, p_from_run_id uuid, p_run_id uuid, p_now timestamptz default now()
) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.ecosystem_comments set
    issue = p_issue, run_id = p_run_id, claimed_at = p_now, may_arrive_until = p_now + interval '30 minutes',
      problem = null
  where day = p_day and state = 'posting' and run_id = p_from_run_id and may_arrive_until <= p_now;
  return found;
end;
$$;
comment on function ecosystem.take_over_comment(date, text, uuid, uuid, timestamptz) is
  'Claims a day whose comment is not on GitHub and whose request cannot arrive any more; false when another run '
    'was faster or it still can.';

create function public.ecosystem_take_over_comment(
  p_day date, p_issue text, p_from_run_id uuid, p_run_id uuid
) returns boolean
language sql security definer set search_path = '' as $$
  select ecosystem.take_over_comment(p_day, p_issue, p_from_run_id, p_run_id);
$$;
comment on function public.ecosystem_take_over_comment(date, text, uuid, uuid) is
  'ecosystem.take_over_comment by the clock of the database.';

create function ecosystem.record_comment(
  p_day date, p_comment_id bigint, p_comment_url text, p_now timestamptz default now()
) returns void
language sql set search_path = '' as $$
  update public.ecosystem_comments set
    state = 'posted', posted_at = p_now, comment_id = p_comment_id, comment_url = p_comment_url, problem = null
  where day = p_day and state = 'posting';
$$;
comment on function ecosystem.record_comment(date, bigint, text, timestamptz) is
  'The comment of the day is on GitHub: its request was answered, or it was found there.';

create function public.ecosystem_record_comment(p_day date, p_comment_id bigint, p_comment_url text) returns void
language sql security definer set search_path = '' as $$
  select ecosystem.record_comment(p_day, p_comment_id, p_comment_url);
$$;
comment on function public.ecosystem_record_comment(date, bigint, text) is
  'ecosystem.record_comment by the clock of the database.';

create function public.ecosystem_release_comment(p_day date, p_run_id uuid) returns void
language sql set search_path = '' as $$
  delete from public.ecosystem_comments where day = p_day and state = 'posting' and run_id = p_run_id;
$$;
comment on function public.ecosystem_release_comment(date, uuid) is
  'GitHub refused the request of that run, so there is no comment: the day may be claimed again.';

create function public.ecosystem_doubt_comment(p_day date, p_run_id uuid, p_problem text) returns jsonb
language sql set search_path = '' as $$
  update public.ecosystem_comments set problem = p_problem
  where day = p_day and state = 'posting' and run_id = p_run_id
  returning to_jsonb(may_arrive_until);
$$;
comment on function public.ecosystem_doubt_comment(date, uuid, text) is
  'Notes why the outcome of a run''s request is not known; until when it may still arrive.';

revoke all on function
  public.ecosystem_claim_comment(date, text, uuid, boolean)
from public, anon, authenticated, service_role;
revoke all on function
  public.ecosystem_take_over_comment(date, text, uuid, uuid)
from public, anon, authenticated, service_role;
revoke all on function
  public.ecosystem_record_comment(date, bigint, text)
from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_release_comment(date, uuid) from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_doubt_comment(date, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.ecosystem_claim_comment(date, text, uuid, boolean) to service_role;
grant execute on function public.ecosystem_take_over_comment(date, text, uuid, uuid) to service_role;
grant execute on function public.ecosystem_record_comment(date, bigint, text) to service_role;
grant execute on function public.ecosystem_release_comment(date, uuid) to service_role;
grant execute on function public.ecosystem_doubt_comment(date, uuid, text) to service_role;

-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema ecosystem from public, anon, authenticated, service_role;
revoke all on all tables in schema ecosystem from public, anon, authenticated, service_role;
revoke all on all sequences in schema ecosystem from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'ecosystem-monitor',
  schedule => '35 11 * * *',
  description => 'Activity of the repositories, infrastructure, scores and a report of the past day'
);
