-- Runs that other work asks for. They have no schedule, but the same ledger, retries and limits.

create function scheduler.run_requests_fault(p_runs jsonb) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (
    select case when jsonb_typeof(p_runs) is distinct from 'array'
      then format('runs must be a JSON array of objects, got %s', coalesce(left(p_runs::text, 100), 'null'))
      else (
        select format('runs[%s]%s, got %s', place - 1, fault, left(run::text, 100))
        from jsonb_array_elements(p_runs) with ordinality as runs (run, place), lateral (select case
            when jsonb_typeof(run) <> 'object' then ' must be an object'
            when run - array['payload', 'key', 'priority'] <> '{}'
              then ' must have no field but payload, key and priority'
            when jsonb_typeof(nullif(run -> 'payload', 'null')) <> 'object' then '.payload must be an object'
            when jsonb_typeof(nullif(run -> 'key', 'null')) <> 'string' or length(run ->> 'key') > 200
              or run ->> 'key' !~ '\S' then '.key must be a text of 1 to 200 characters that is not blank'
            when jsonb_typeof(nullif(run -> 'priority', 'null')) <> 'number' or run ->> 'priority' !~ '^-?\d{1,2}$'
              or (run ->> 'priority')::integer not between -10 and 10 then '.priority must be a whole number from -10 '
                'to 10'
          end as fault) as checked
        where fault is not null
        order by place limit 1)
    end);
end;
$$;
comment on function scheduler.run_requests_fault(jsonb) is
  'What is wrong with the list of runs that enqueue_runs was given, by place and field; null when nothing is.';

-- Turns are taken by start-time fair queuing: a key that comes new goes next to those that are being served, and each
-- further run of a key comes a turn later (Goyal, Vin, Cheng, "Start-time Fair Queuing", 1996).
create function scheduler.next_turns(p_job_name text, p_runs jsonb) returns table (key text, next_turn bigint)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  select wanted.key, greatest(served.turn, (
    select max(runs.turn) + 1 from public.scheduler_runs as runs
    where job_name = p_job_name and runs.key = wanted.key and completed_at is null))
  from (select distinct run ->> 'key' as key from jsonb_array_elements(p_runs) as run) as wanted,
    (select coalesce(max(turn), 0) + 1 as turn from public.scheduler_runs
      where job_name = p_job_name and status in ('dispatched', 'running')) as served;
end;
$$;
comment on function scheduler.next_turns(text, jsonb) is
  'For each key among the runs that are asked for: the turn of its next run.';

create function scheduler.enqueue_runs(
  p_job_name text, p_runs jsonb, p_run_after timestamptz default null, p_now timestamptz default clock_timestamp()
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_fault text := scheduler.run_requests_fault(p_runs);
  v_first timestamptz;
  v_waiting jsonb;
begin
  if not isfinite(p_run_after) then
    v_fault := format('run_after must be a moment or null, got %s', p_run_after);
  elsif v_job.continuous then
    v_fault := 'it is continuous, and exactly one run of it is under way at any time';
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot enqueue runs of %s: %s', p_job_name, v_fault);
  end if;
  -- The time of an occurrence is unique in a job, so runs enqueued at one moment differ by microseconds. The unique
  -- index leaves calls by hand out, and so does this query.
  select greatest(p_now, max(scheduled_for) + interval '1 microsecond') into v_first
    from public.scheduler_runs
    where job_name = p_job_name and scheduled_for >= p_now and scheduled_for < p_now + interval '1 minute'
      and trigger <> 'manual';
  -- What holds back those that wait already holds back these.
  v_waiting := scheduler.own_wait(v_job, scheduler.line_waits_for(v_job, p_now), coalesce(v_first, p_now));
  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, receipt, payload, key,
    run_after, priority, turn, waiting
  )
  select v_job.name, v_job.function_name, 'queued', 'enqueued',
    coalesce(v_first, p_now) + (place - 1) * interval '1 microsecond', v_job.max_attempts, v_job.timeout_seconds,
    v_job.receipt, coalesce(nullif(payload, 'null'), v_job.payload), runs.key, p_run_after,
    coalesce(priority, v_job.priority),
    -- Runs without a key all come next to what is being served, so that a stream of them holds up no key.
    turns.next_turn + case when runs.key is null then 0
      else row_number() over (partition by runs.key order by place) - 1 end,
    case when p_run_after is not null then scheduler.wait_facts('retry', null, p_now, p_run_after) else v_waiting end
  from rows from (jsonb_to_recordset(p_runs) as (payload jsonb, key text, priority integer))
    with ordinality as runs (payload, key, priority, place)
    join scheduler.next_turns(v_job.name, p_runs) as turns
      on coalesce(turns.key, '') = coalesce(runs.key, '');
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  return jsonb_array_length(p_runs);
end;
$$;
comment on function scheduler.enqueue_runs(text, jsonb, timestamptz, timestamptz) is
  'Enqueues runs of the job, not before p_run_after; sends those that may go at once, the others follow as runs end. '
    'p_runs: a JSON array with an object for each run: "payload" (the job''s own when absent), "key", which names '
    'what the run is about (at most 200 characters) and is kept by its retries, and "priority", from -10 to 10 (the '
    'job''s own when absent; the highest goes first, and waiting raises it). Of one priority the keys take turns. '
    'Returns how many. Raises SD001 for an unknown job; 22023 for a continuous one, another list, or a p_run_after '
    'that is infinite.';

create function scheduler.runs_with_key(p_job_name text, p_key text) returns setof public.scheduler_runs
language sql stable set search_path = '' as $$
  -- Offset 0: while the table has no statistics yet, the planner would else read all runs of the job that wait, by an
  -- index that begins with the name.
  select * from (select * from public.scheduler_runs where key = p_key and completed_at is null offset 0) as runs
  where job_name = p_job_name;
$$;
comment on function scheduler.runs_with_key(text, text) is
  'What open_runs returns, for packs: of a job that is not registered the runs that are left.';

create function scheduler.open_runs(p_job_name text, p_key text) returns setof public.scheduler_runs
language plpgsql stable set search_path = '' as $$
begin
  return query select * from scheduler.runs_with_key(p_job_name, p_key);
  if not found and not exists (select from public.scheduler_jobs where name = p_job_name) then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
end;
$$;
comment on function scheduler.open_runs(text, text) is
  'The runs of the job with that key that wait or are under way, in no order. Raises SD001 for an unknown job of '
    'which no such run is left.';
