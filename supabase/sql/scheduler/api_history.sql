-- The API's history: the ledger page by page, and one run with all that is known of it.

create function scheduler.history_job(p_job text) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_name constant text := coalesce((select name from public.scheduler_jobs where p_job in (name, alias) limit 1), (
    -- The runs of a job that was taken out stay in the ledger.
    select job_name from public.scheduler_runs where job_name = p_job limit 1));
begin
  if p_job is not null and v_name is null then
    perform scheduler.refuse_unknown_job(p_job);
  end if;
  return v_name;
end;
$$;
comment on function scheduler.history_job(text) is
  'The name of the job of that name or alias, or of one that only the ledger has; null for null. Raises SD001 for any '
    'other name.';

create function scheduler.history_page(
  p_job text, p_status text, p_from timestamptz, p_to timestamptz, p_at timestamptz, p_id uuid, p_order text
) returns setof public.scheduler_runs
language plpgsql stable set search_path = '' as $$
begin
  -- Written for what is asked, so that the index of that order is read and no more than a page of it.
  return query execute format('select * from public.scheduler_runs where true %s %s %s %s %s order by %6$I desc, id desc
      limit 101',
    case when p_job is not null then 'and job_name = $1' end,
    case when p_status is not null then 'and status = $2' end,
    case when p_from is not null then format('and %I >= $3', p_order) end,
    case when p_to is not null then format('and %I < $4', p_order) end,
    case when p_at is not null then format('and (%I, id) < ($5, $6)', p_order) end, p_order)
    using p_job, p_status, p_from, p_to, p_at, p_id;
end;
$$;
comment on function scheduler.history_page(text, text, timestamptz, timestamptz, timestamptz, uuid, text) is
  'The first 101 runs of that job, status and time before the place (p_at, p_id), newest first by the column p_order.';

create function scheduler.api_history(
  p_job text default null, p_status text default null, p_from timestamptz default null, p_to timestamptz default null,
  p_cursor text default null
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_ended constant text[] := array['completed', 'failed', 'deferred', 'skipped', 'missed', 'cancelled'];
  v_job constant text := scheduler.history_job(p_job);
  -- The ledger has an index for each: (job, created), (status, completed), created.
  v_order constant text := case when p_job is null and p_status = any (v_ended) then 'completed_at'
    else 'created_at' end;
  v_place record;
  v_answer jsonb;
begin
  if p_status <> all (v_ended || array['queued', 'dispatched', 'running']) then
    raise exception using errcode = '22023', message = format('cannot show the history: status must be one of %s, got '
      '%L', array_to_string(v_ended || array['queued', 'dispatched', 'running'], ', '), p_status);
  end if;
  v_place := scheduler.read_cursor(p_cursor, '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}');
  select jsonb_build_object('ordered_by', v_order,
      'runs', coalesce(jsonb_agg(scheduler.run_brief(page) order by place) filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(case v_order when 'completed_at' then (page).completed_at
        else (page).created_at end, (page).id::text)) filter (where place = 100 and pages.rows > 100))
    into v_answer
    from (
      select runs as page, row_number() over () as place, count(*) over () as rows
      from scheduler.history_page(v_job, p_status, p_from, p_to, v_place.at, v_place.id::uuid, v_order) as runs
    ) as pages;
  return v_answer;
end;
$$;
comment on function scheduler.api_history(text, text, timestamptz, timestamptz, text) is
  'The ledger, newest first, 100 runs a page: of a job (by its name or alias), a status, and from p_from up to p_to. '
    'ordered_by says by which time: created_at; completed_at where a status of ended runs of all jobs is asked for. '
    'Raises SD001 for an unknown job; 22023 for an unknown status or a cursor that is none.';

create function scheduler.cron_witness(p_run public.scheduler_runs) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_build_object('fired_at', details.start_time, 'status', details.status,
      'message', left(details.return_message, 500))
    from (select * from cron.job_run_details order by runid desc limit 20000) as details
      join cron.job as entries on entries.jobid = details.jobid
    where entries.jobname = p_run.job_name and p_run.trigger in ('cron', 'catch_up')
      and details.start_time >= date_trunc('minute', p_run.scheduled_for)
      and details.start_time < date_trunc('minute', p_run.scheduled_for) + interval '1 minute'
    order by details.start_time limit 1);
exception when query_canceled then
  raise;
when others then
  return jsonb_build_object('error', sqlerrm);
end;
$$;
comment on function scheduler.cron_witness(public.scheduler_runs) is
  'What pg_cron''s log has of the minute of the run''s occurrence; null where its newest 20,000 rows have nothing, '
    'another job''s entry took it along, or the run is of no occurrence; {"error"} where the log cannot be read.';

create function scheduler.api_run(p_run_id uuid, p_now timestamptz default clock_timestamp()) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_job public.scheduler_jobs;
  v_facts jsonb;
begin
  select * into v_run from public.scheduler_runs where id = p_run_id;
  if v_run.id is null then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null')),
      hint = 'GET history lists the runs there are';
  end if;
  select * into v_job from public.scheduler_jobs where name = v_run.job_name;
  v_facts := jsonb_build_object('job', v_run.job_name, 'at', v_run.scheduled_for, 'now', p_now,
    'when', scheduler.local_text(v_run.scheduled_for, v_job.time_zone)) || case
      when v_run.occurrences > 1 then scheduler.gap_facts(v_job, v_run)
      else scheduler.run_facts(v_job, v_run, p_now) end;
  return jsonb_build_object(
    'run', scheduler.run_brief(v_run), 'sentence', scheduler.explain_sentence(v_facts),
    'meaning', v_facts ->> 'meaning', 'remedy', v_facts ->> 'remedy',
    'payload', v_run.payload, 'progress', v_run.progress, 'result', v_run.result,
    'error_message', v_run.error_message, 'error_detail', v_run.error_detail,
    'interval', jsonb_build_object('from', v_run.interval_from, 'to', v_run.scheduled_for),
    'run_after', v_run.run_after, 'waiting', v_run.waiting, 'waits', v_facts ->> 'waits',
    'witnesses', jsonb_build_object(
      'pg_cron', scheduler.cron_witness(v_run),
      'pg_net', case when v_run.request_id is not null then jsonb_build_object('request_id', v_run.request_id,
        'dispatched_at', v_run.dispatched_at, 'answered_at', v_run.answered_at,
        'response_status', v_run.response_status, 'response_error', v_run.response_error) end,
      'receipt', case when v_run.started_at is not null then jsonb_build_object('started_at', v_run.started_at,
        'heartbeat_at', v_run.heartbeat_at, 'completed_at', v_run.completed_at) end),
    'attempts', (
      select jsonb_agg(scheduler.run_brief(attempts) order by attempt, created_at) from (
        select * from public.scheduler_runs
        where job_name = v_run.job_name and scheduled_for = v_run.scheduled_for
        order by attempt desc, created_at desc limit 100) as attempts));
end;
$$;
comment on function scheduler.api_run(uuid, timestamptz) is
  'One run: the sentence of it, its payload, result and error, what it waits for, what the three witnesses say, and '
    'the newest 100 attempts at its occurrence. Raises SD002 for an unknown run.';

create function public.scheduler_api_history(
  p_job text default null, p_status text default null, p_from timestamptz default null, p_to timestamptz default null,
  p_cursor text default null
) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_history(p_job, p_status, p_from, p_to, p_cursor);
$$;
comment on function public.scheduler_api_history(text, text, timestamptz, timestamptz, text) is
  'scheduler.api_history for the API.';

create function public.scheduler_api_run(p_run_id uuid) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_run(p_run_id);
$$;
comment on function public.scheduler_api_run(uuid) is 'scheduler.api_run by the clock of the database.';

revoke all on function public.scheduler_api_history(text, text, timestamptz, timestamptz, text),
  public.scheduler_api_run(uuid) from public, anon, authenticated;
grant execute on function public.scheduler_api_history(text, text, timestamptz, timestamptz, text),
  public.scheduler_api_run(uuid) to service_role;
