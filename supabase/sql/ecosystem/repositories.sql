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
