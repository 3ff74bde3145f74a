-- Calendars: spans in which jobs do not run, such as holidays and freezes.

create table public.scheduler_calendars (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  description text not null default '',
  created_at timestamptz not null default now() check (isfinite(created_at))
);
comment on table public.scheduler_calendars is 'Calendars that jobs are registered with, one row a calendar.';

-- Local times: a holiday begins at midnight wherever the job lives.
create table public.scheduler_calendar_spans (
  calendar text not null references public.scheduler_calendars (name) on delete cascade,
  starts_at timestamp not null check (isfinite(starts_at)),
  ends_at timestamp not null check (isfinite(ends_at)),
  label text not null check (label ~ '\S' and length(label) <= 200),
  primary key (calendar, starts_at),
  check (starts_at < ends_at)
);
comment on table public.scheduler_calendar_spans is
  'The spans of each calendar, from starts_at up to ends_at, in the local time of the job that asks.';

alter table public.scheduler_calendars enable row level security;
alter table public.scheduler_calendar_spans enable row level security;
revoke all on public.scheduler_calendars, public.scheduler_calendar_spans
  from public, anon, authenticated, service_role;
grant select on public.scheduler_calendars, public.scheduler_calendar_spans to service_role;

create function scheduler.register_calendar(name text, description text default '') returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  v_before jsonb;
begin
  if register_calendar.name is null or register_calendar.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a calendar: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(register_calendar.name), 'null'));
  end if;
  select jsonb_build_object('description', description) into v_before from public.scheduler_calendars
    where name = register_calendar.name;
  insert into public.scheduler_calendars as calendars (name, description)
    values (register_calendar.name, coalesce(register_calendar.description, ''))
    on conflict (name) do update set description = excluded.description;
  perform scheduler.audit_registration('register_calendar', 'calendar', register_calendar.name, v_before,
    jsonb_build_object('description', coalesce(register_calendar.description, '')));
end;
$$;
comment on function scheduler.register_calendar(text, text) is
  'Registers a calendar, or changes its description. Its spans are added by add_calendar_span. Raises 22023 for a '
    'wrong name.';

create function scheduler.refuse_unknown_calendar(p_calendar text) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'SD013', message = format('there is no calendar named %L', p_calendar),
    hint = format('the calendars are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_calendars));
end;
$$;
comment on function scheduler.refuse_unknown_calendar(text) is 'Raises SD013 and names the calendars there are.';

create function scheduler.unregister_calendar(p_calendar text) returns void
language plpgsql set search_path = '' as $$
declare
  v_jobs constant text := (
    select string_agg(name, ', ' order by name) from public.scheduler_jobs where p_calendar = any (calendars));
  v_description text;
begin
  if v_jobs is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the calendar %s out: it has jobs: %s', p_calendar, v_jobs),
      hint = 'register them without it in calendars';
  end if;
  delete from public.scheduler_calendars where name = p_calendar returning description into v_description;
  if not found then
    perform scheduler.refuse_unknown_calendar(p_calendar);
  end if;
  perform scheduler.audit_registration('unregister_calendar', 'calendar', p_calendar,
    jsonb_build_object('description', v_description), null);
end;
$$;
comment on function scheduler.unregister_calendar(text) is
  'Takes a calendar and its spans out of the registry. Raises SD205 while it has jobs; SD013 for an unknown calendar.';

create function scheduler.add_calendar_span(
  p_calendar text, p_label text, p_author text, p_from timestamp, p_to timestamp default null,
  p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_to constant timestamp := coalesce(p_to, p_from + interval '1 day');
begin
  perform scheduler.assert_given(format('close a span of %s', p_calendar), 'label and author',
    format('select scheduler.add_calendar_span(%L, ''New Year'', ''who'', ''2027-01-01'')', p_calendar), p_label,
      p_author);
  if p_from is null or not isfinite(p_from) or not isfinite(v_to) or v_to <= p_from then
    raise exception using errcode = '22023',
      message = format('cannot close a span of %s: from must be a local time before to, got %s and %s', p_calendar,
        coalesce(p_from::text, 'null'), coalesce(v_to::text, 'null'));
  end if;
  if not exists (select from public.scheduler_calendars where name = p_calendar) then
    perform scheduler.refuse_unknown_calendar(p_calendar);
  end if;
  insert into public.scheduler_calendar_spans as spans (calendar, starts_at, ends_at, label)
    values (p_calendar, p_from, v_to, btrim(p_label))
    on conflict (calendar, starts_at) do update set ends_at = excluded.ends_at, label = excluded.label;
  perform scheduler.audit('add_calendar_span', 'calendar', p_calendar, p_label, p_author, null,
    jsonb_build_object('from', p_from, 'to', v_to), p_now);
  return format('the jobs of %s do not run from %s to %s, local time: %s', p_calendar, p_from, v_to, btrim(p_label));
end;
$$;
comment on function scheduler.add_calendar_span(text, text, text, timestamp, timestamp, timestamptz) is
  'Closes a span of a calendar, in the local time of each job, with the label that explain gives; without an end the '
    'day from p_from on. A span that begins then is changed. Raises SD013 for an unknown calendar; 22023 for a '
    'missing label or author, or an end that is not after the beginning.';

create function scheduler.remove_calendar_span(
  p_calendar text, p_from timestamp, p_author text, p_now timestamptz default clock_timestamp()
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_span public.scheduler_calendar_spans;
begin
  perform scheduler.assert_given(format('open a span of %s', p_calendar), 'author',
    format('select scheduler.remove_calendar_span(%L, ''2027-01-01'', ''who'')', p_calendar), p_author);
  delete from public.scheduler_calendar_spans where calendar = p_calendar and starts_at = p_from returning *
    into v_span;
  if not found then
    if not exists (select from public.scheduler_calendars where name = p_calendar) then
      perform scheduler.refuse_unknown_calendar(p_calendar);
    end if;
    return false;
  end if;
  perform scheduler.wake_jobs(array[name], 'epoch') from public.scheduler_jobs where p_calendar = any (calendars);
  -- What a transaction that holds a job's row writes meanwhile, the next pulse corrects.
  perform scheduler.forget_waiting(name, '{calendar}') from public.scheduler_jobs
    where p_calendar = any (calendars) and scheduler.try_lock_job(name);
  perform scheduler.audit('remove_calendar_span', 'calendar', p_calendar, v_span.label, p_author,
    jsonb_build_object('from', v_span.starts_at, 'to', v_span.ends_at), null, p_now);
  return true;
end;
$$;
comment on function scheduler.remove_calendar_span(text, timestamp, text, timestamptz) is
  'Takes the span that begins then out of a calendar; what was skipped in it stays skipped. False when there is none. '
    'Raises SD013 for an unknown calendar; 22023 for a missing author.';

create function scheduler.calendar_span(p_job public.scheduler_jobs, p_at timestamptz)
returns public.scheduler_calendar_spans
language sql stable set search_path = '' as $$
  select spans from public.scheduler_calendar_spans as spans
  where calendar = any (p_job.calendars) and p_at at time zone p_job.time_zone >= starts_at
    and p_at at time zone p_job.time_zone < ends_at
  order by ends_at desc, calendar limit 1;
$$;
comment on function scheduler.calendar_span(public.scheduler_jobs, timestamptz) is
  'The span of the job''s calendars that holds that moment, the one that ends last; null when none does.';

create function scheduler.calendar_label(p_job public.scheduler_jobs, p_at timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_span public.scheduler_calendar_spans;
begin
  if p_job.calendars = '{}' then
    return null;
  end if;
  v_span := scheduler.calendar_span(p_job, p_at);
  return case when v_span.calendar is not null then format('%s (%s)', v_span.label, v_span.calendar) end;
end;
$$;
comment on function scheduler.calendar_label(public.scheduler_jobs, timestamptz) is
  'Why the job does not run at that moment, by its calendars: the label and the calendar; null when it does.';
