-- What stops a job from outside: an incident, its own pause, its group's pause.

create table public.scheduler_incidents (
  id bigint generated always as identity primary key,
  started_at timestamptz not null check (isfinite(started_at)),
  started_by text not null check (started_by ~ '\S' and length(started_by) <= 200),
  reason text not null check (reason ~ '\S' and length(reason) <= 1000),
  ended_at timestamptz check (isfinite(ended_at)),
  ended_by text check (ended_by ~ '\S' and length(ended_by) <= 200),
  ramp_seconds integer check (ramp_seconds between 0 and 86400),
  ends_runs boolean not null default false,
  check ((ended_at is null) = (ended_by is null) and (ended_at is null) = (ramp_seconds is null))
);
create unique index scheduler_incidents_open_key on public.scheduler_incidents ((true)) where ended_at is null;
comment on table public.scheduler_incidents is
  'Incidents: from started_at on nothing runs, until ended_at and the ramp after it. At most one lasts.';
comment on column public.scheduler_incidents.ends_runs is 'Whether what was under way was told to end.';
alter table public.scheduler_incidents enable row level security;
revoke all on public.scheduler_incidents from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_incidents_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_incidents to service_role;

create function scheduler.incident_lasts() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return exists (select from public.scheduler_incidents where ended_at is null);
end;
$$;
comment on function scheduler.incident_lasts() is 'Whether an incident lasts, as far as this transaction sees.';

-- What a person has stopped is stopped, whatever the clock says: a transaction that began before it may come to the job
-- after it, and the clock may be set back. In plpgsql, as other functions that are asked for each run with a whole row:
-- a SQL function that is not inlined is planned at each call, which takes longer than the rest.
create function scheduler.is_paused(p_job public.scheduler_jobs, p_at timestamptz) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_job.paused_at is not null and (p_job.paused_until is null or p_at < p_job.paused_until);
end;
$$;
comment on function scheduler.is_paused(public.scheduler_jobs, timestamptz) is 'Whether the job is paused now.';

create function scheduler.stop_kind(p_job public.scheduler_jobs, p_at timestamptz) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_job.stopped_at <= p_at and (p_job.stopped_until is null or p_at < p_job.stopped_until) then 'incident'
    when p_job.paused_at <= p_at and scheduler.is_paused(p_job, p_at) then 'paused'
    when p_job.group_paused_at <= p_at and (p_job.group_paused_until is null or p_at < p_job.group_paused_until)
      then 'group_paused' end;
end;
$$;
comment on function scheduler.stop_kind(public.scheduler_jobs, timestamptz) is
  'What stops the job''s occurrence at that moment, the first of incident, paused, group_paused; null when nothing '
    'does.';

create function scheduler.stop_now(p_job public.scheduler_jobs, p_now timestamptz) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_job.stopped_at is not null and (p_job.stopped_until is null or p_now < p_job.stopped_until) then 'incident'
    when scheduler.is_paused(p_job, p_now) then 'paused'
    when p_job.group_paused_at is not null
      and (p_job.group_paused_until is null or p_now < p_job.group_paused_until) then 'group_paused' end;
end;
$$;
comment on function scheduler.stop_now(public.scheduler_jobs, timestamptz) is
  'What stops the job now, the first of incident, paused, group_paused; null when nothing does.';

create function scheduler.stop_kinds() returns text[]
language sql immutable set search_path = '' as $$ select '{incident,paused,group_paused}'::text[] $$;
comment on function scheduler.stop_kinds() is 'What stop_now says, in its order.';

create function scheduler.is_stop(p_kind text) returns boolean
language sql immutable set search_path = '' as $$ select p_kind = any (scheduler.stop_kinds()) $$;
comment on function scheduler.is_stop(text) is 'Whether a hold of that kind is a person''s.';

create function scheduler.stop_until(p_job public.scheduler_jobs, p_kind text) returns timestamptz
language sql immutable set search_path = '' as $$
  select case p_kind when 'incident' then p_job.stopped_until when 'paused' then p_job.paused_until
    when 'group_paused' then p_job.group_paused_until end;
$$;
comment on function scheduler.stop_until(public.scheduler_jobs, text) is
  'Until when that stops the job; null: until somebody ends it.';

create function scheduler.stop_text(p_job public.scheduler_jobs, p_kind text) returns text
language sql stable set search_path = '' as $$
  select case p_kind
    when 'paused' then format('paused by %s: %s', p_job.paused_by, p_job.pause_reason)
    when 'group_paused' then (
      select format('the group %s is paused by %s: %s', name, paused_by, pause_reason) from public.scheduler_groups
      where name = p_job.group_name)
    when 'incident' then (
      select format('an incident was called by %s: %s', started_by, reason) from public.scheduler_incidents
      order by id desc limit 1) end;
$$;
comment on function scheduler.stop_text(public.scheduler_jobs, text) is
  'Who stops the job and why, as the end of a sentence.';

create function scheduler.stop_note(p_job public.scheduler_jobs, p_kind text) returns text
language sql stable set search_path = '' as $$
  select scheduler.stop_text(p_job, p_kind)
    || coalesce(' (until ' || scheduler.local_second_text(scheduler.stop_until(p_job, p_kind), p_job.time_zone)
      || ')', '');
$$;
comment on function scheduler.stop_note(public.scheduler_jobs, text) is
  'stop_text, and until when, where that is known.';

create function scheduler.stopped_because(p_job public.scheduler_jobs, p_at timestamptz) returns text
language sql stable set search_path = '' as $$
  select 'because ' || case stop when 'paused' then 'the job is ' else '' end || scheduler.stop_note(p_job, stop)
  from scheduler.stop_now(p_job, p_at) as stop where stop is not null;
$$;
comment on function scheduler.stopped_because(public.scheduler_jobs, timestamptz) is
  'Why a person keeps the job from running at that moment, and until when, as the end of a sentence; null when nobody '
    'does.';

create function scheduler.stop_segments(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, stop text)
language sql immutable set search_path = '' as $$
  select at, ends, scheduler.stop_kind(p_job, at)
  from (
    select at, lead(at) over (order by at) as ends
    from (
      select distinct at from unnest(array[p_from, p_to, p_job.paused_at, p_job.paused_until, p_job.group_paused_at,
        p_job.group_paused_until, p_job.stopped_at, p_job.stopped_until]) as at
      where at >= p_from and at <= p_to) as cuts
  ) as pieces
  where ends is not null;
$$;
comment on function scheduler.stop_segments(public.scheduler_jobs, timestamptz, timestamptz) is
  '[p_from, p_to) cut where something begins or ceases to stop the job.';
