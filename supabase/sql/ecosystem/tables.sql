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
