-- What the pages of the API have in common: a list has 100 entries a page, and says how to ask for the next one.

create function scheduler.page_cursor(p_at timestamptz, p_id text) returns text
language sql immutable set search_path = '' as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '~' || p_id;
$$;
comment on function scheduler.page_cursor(timestamptz, text) is
  'The place of an entry in a list that is ordered by a time and then by an id.';

create function scheduler.read_cursor(p_cursor text, p_id_pattern text, out at timestamptz, out id text)
language plpgsql immutable set search_path = '' as $$
declare
  v_parts constant text[] := regexp_match(p_cursor,
    '^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)~(' || p_id_pattern || ')$');
begin
  if p_cursor is null then
    return;
  end if;
  begin
    at := v_parts[1]::timestamptz;
  exception when datetime_field_overflow then
    at := null;
  end;
  id := v_parts[2];
  if at is null or id is null then
    raise exception using errcode = '22023',
      message = format('cannot read the page: cursor must be next_cursor of the page before it, got %s',
        quote_literal(left(p_cursor, 100)));
  end if;
end;
$$;
comment on function scheduler.read_cursor(text, text) is
  'The time and the id of a cursor that page_cursor made, nulls for null. Raises 22023 for any other text.';

create function scheduler.job_named(p_name text) returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where p_name in (name, alias) limit 1;
  if v_job.name is null then
    perform scheduler.refuse_unknown_job(p_name);
  end if;
  return v_job;
end;
$$;
comment on function scheduler.job_named(text) is
  'The job of that name or alias. Raises SD001 and names the jobs there are when there is none.';

create function scheduler.run_brief(p_run public.scheduler_runs) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return case when p_run.id is not null then jsonb_build_object(
    'run_id', p_run.id, 'job', p_run.job_name, 'status', p_run.status, 'trigger', p_run.trigger,
    'time_zone', (select time_zone from public.scheduler_jobs where name = p_run.job_name),
    'scheduled_for', p_run.scheduled_for, 'scheduled_until', p_run.scheduled_until, 'occurrences', p_run.occurrences,
    'attempt', p_run.attempt, 'max_attempts', p_run.max_attempts, 'key', p_run.key, 'created_at', p_run.created_at,
    'dispatched_at', p_run.dispatched_at, 'started_at', p_run.started_at, 'heartbeat_at', p_run.heartbeat_at,
    'completed_at', p_run.completed_at, 'duration_ms', p_run.duration_ms, 'verdict', p_run.verdict,
    'skip_kind', p_run.skip_kind, 'skip_reason', p_run.skip_reason, 'error_message', left(p_run.error_message, 500),
    'summary', left(p_run.result ->> 'summary', 500), 'waits_for', p_run.waiting ->> 'for') end;
end;
$$;
comment on function scheduler.run_brief(public.scheduler_runs) is
  'What a list shows of a run, with the zone of its job, where that is registered; null for none.';
