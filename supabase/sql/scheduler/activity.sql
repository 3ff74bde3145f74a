-- The activity log, for people: one line for each run that matters, and lines that jobs and people add.

create table public.scheduler_activity (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  source text not null check (length(source) between 1 and 100),
  severity text not null default 'info' check (severity in ('info', 'warning', 'error')),
  message text not null check (length(message) between 1 and 1000),
  -- No foreign key: the line outlives its run.
  run_id uuid,
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object')
);

create index scheduler_activity_occurred_at_idx on public.scheduler_activity (occurred_at);
create unique index scheduler_activity_run_id_key
  on public.scheduler_activity (run_id) where run_id is not null;

comment on table public.scheduler_activity is
  'What happened, for people: one readable line for each run that mattered, and for what jobs and people add.';
comment on column public.scheduler_activity.source is
  'Who says it: a job''s name, or what else log_activity was given.';
comment on column public.scheduler_activity.run_id is
  'The run whose line this is, at most one each; null for all other lines.';

alter table public.scheduler_activity enable row level security;
revoke all on public.scheduler_activity from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_activity_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_activity to service_role;

create function scheduler.one_line(p_text text, p_length integer) returns text
language sql immutable set search_path = '' as $$
  select case when length(line) > p_length then left(line, p_length - 3) || '...' else line end
  from (select btrim(regexp_replace(p_text, '\s+', ' ', 'g')) as line) as lines;
$$;
comment on function scheduler.one_line(text, integer) is 'A text in one line of at most that many characters.';

create function scheduler.log_activity(
  p_source text, p_message text, p_severity text default 'info', p_details jsonb default '{}',
    p_now timestamptz default now()
) returns bigint
language plpgsql set search_path = '' as $$
declare
  v_source text := scheduler.one_line(p_source, 100);
  v_message text := scheduler.one_line(p_message, 1000);
  v_id bigint;
begin
  if coalesce(v_source, '') = '' or coalesce(v_message, '') = '' then
    raise exception using errcode = '22023', message = 'cannot log an activity: source and message must be given';
  end if;
  if p_severity is null or p_severity not in ('info', 'warning', 'error') then
    raise exception using errcode = '22023',
      message = format('cannot log an activity: severity must be info, warning or error, got %s',
        coalesce(quote_literal(p_severity), 'null'));
  end if;
  insert into public.scheduler_activity (occurred_at, source, severity, message, details)
    values (p_now, v_source, p_severity, v_message, coalesce(p_details, '{}'))
    returning id into v_id;
  return v_id;
end;
$$;
comment on function scheduler.log_activity(text, text, text, jsonb, timestamptz) is
  'Adds a line to scheduler_activity that is no run''s own, cut at 1,000 characters; returns its id. Raises 22023 for '
    'a missing source or message or an unknown severity.';

-- Security definer because service_role may add lines, but may not change or forge those of runs.
create function public.scheduler_log_activity(
  p_source text, p_message text, p_severity text default 'info', p_details jsonb default '{}'
) returns bigint
language sql security definer set search_path = '' as $$
  select scheduler.log_activity(p_source, p_message, p_severity, p_details);
$$;
comment on function public.scheduler_log_activity(text, text, text, jsonb) is
  'scheduler.log_activity by the clock of the database.';

create function scheduler.run_line(p_run public.scheduler_runs) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return scheduler.one_line(case
    when p_run.status = 'completed' then coalesce(nullif(scheduler.one_line(p_run.result ->> 'summary', 1000), ''),
      'completed')
    when p_run.error_message like p_run.status || ' by %' then p_run.error_message
    else concat_ws(': ', p_run.status, nullif(p_run.verdict, p_run.status),
      case when p_run.occurrences > 1 then format('%s occurrences', p_run.occurrences) end,
      coalesce(nullif(p_run.error_message, ''), p_run.skip_reason)) end, 1000);
end;
$$;
comment on function scheduler.run_line(public.scheduler_runs) is
  'What came of a run that is over, in one line: what it found, or why it did not.';

-- The line of a run that is over, if it matters to a person.
create function scheduler.log_run(p_run public.scheduler_runs, p_retried boolean) returns void
language plpgsql set search_path = '' as $$
declare
  v_severity constant text := case
    when p_run.status = 'completed' and p_run.result ->> 'notable' in ('info', 'warning', 'error')
      then p_run.result ->> 'notable'
    when p_run.status = 'failed' and not p_retried then 'error'
    when p_run.status = 'cancelled' then 'warning' end;
begin
  if v_severity is null then
    return;
  end if;
  insert into public.scheduler_activity (occurred_at, source, severity, message, run_id, details)
    values (p_run.completed_at, p_run.job_name, v_severity, scheduler.run_line(p_run), p_run.id,
    jsonb_build_object('scheduled_for', p_run.scheduled_for, 'attempt', p_run.attempt, 'verdict', p_run.verdict))
    on conflict do nothing;
end;
$$;
comment on function scheduler.log_run(public.scheduler_runs, boolean) is
  'Writes the line of a run that is over into scheduler_activity, if it matters: a completed one whose result says so '
    '(notable: info, warning, error), a failed one that is not tried again, a cancelled one.';

-- An outage can leave hundreds of missed occurrences: one line tells of all.
create function scheduler.log_missed(
  p_job public.scheduler_jobs, p_count bigint, p_first timestamptz, p_last timestamptz, p_now timestamptz
) returns void
language sql set search_path = '' as $$
  insert into public.scheduler_activity (occurred_at, source, severity, message, details)
  select p_now, p_job.name, 'warning',
    case p_count when 1 then format('missed its occurrence of %s', scheduler.local_text(p_first, p_job.time_zone))
      else format('missed %s occurrences from %s to %s', p_count, scheduler.local_text(p_first, p_job.time_zone),
        scheduler.local_text(p_last, p_job.time_zone)) end
    || case p_job.misfire_policy when 'skip' then '' else '; made up for by misfire '
      'policy ' || p_job.misfire_policy end,
    jsonb_build_object('missed', p_count, 'first', p_first, 'last', p_last, 'misfire_policy', p_job.misfire_policy)
  where p_count > 0;
$$;
comment on function scheduler.log_missed(public.scheduler_jobs, bigint, timestamptz, timestamptz, timestamptz) is
  'One line in scheduler_activity for the occurrences of a job that were missed.';

revoke all on function public.scheduler_log_activity(text, text, text, jsonb) from public, anon, authenticated,
  service_role;
grant execute on function public.scheduler_log_activity(text, text, text, jsonb) to service_role;
