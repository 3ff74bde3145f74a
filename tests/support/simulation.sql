-- The functions, pg_cron and pg_net of a simulation, in the database: a step of it is one call.

create schema simulation;

-- A run that was sent, and the function that works on it while its heart beats.
create table simulation.stubs (run_id uuid primary key, beats boolean not null default false);

-- Runs that were found to wait for longer than they said.
create table simulation.overdue (run_id uuid, job_name text, waiting jsonb, seen_at timestamptz);

-- What a function does at a moment, as simulation.step() is told.
create type simulation.act as (kind text, run_id uuid, outcome text, is_idle boolean, budget text);

create function simulation.take(p_act simulation.act, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_told constant jsonb := scheduler.take_tokens_for_run((p_act).run_id, (p_act).budget, 1, p_now);
begin
  if (v_told ->> 'granted')::boolean then
    return scheduler.finish_run((p_act).run_id, 'completed',
      jsonb_build_object('budget', (p_act).budget, 'taken_at', p_now), p_now => p_now);
  end if;
  return scheduler.finish_run((p_act).run_id, 'deferred', p_resume_at => (v_told ->> 'from')::timestamptz,
    p_now => p_now);
end;
$$;
comment on function simulation.take(simulation.act, timestamptz) is
  'The function takes a token and completes, or is deferred until there may be one.';

create function simulation.answer(p_run public.scheduler_runs, p_status integer, p_now timestamptz) returns void
language sql set search_path = '' as $$
  insert into net._http_response (id, status_code, headers, created)
    values (p_run.request_id, p_status, jsonb_build_object('x-run-id', p_run.id), p_now);
$$;
comment on function simulation.answer(public.scheduler_runs, integer, timestamptz) is 'pg_net keeps an answer.';

create function simulation.act(p_act simulation.act, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_told jsonb;
begin
  select * into v_run from public.scheduler_runs where id = (p_act).run_id;
  case (p_act).kind
    when 'begin' then
      v_told := scheduler.begin_run(v_run.id, v_run.function_name, 'simulation', p_now);
      update simulation.stubs set beats = true where run_id = v_run.id and (v_told ->> 'begun')::boolean;
      perform simulation.answer(v_run, 202, p_now);
    when 'refuse' then
      perform simulation.answer(v_run, 503, p_now);
    when 'die' then
      perform scheduler.heartbeat_run(v_run.id, null, p_now);
      update simulation.stubs set beats = false where run_id = v_run.id;
    when 'take' then
      perform simulation.take(p_act, p_now);
    else
      perform scheduler.finish_run(v_run.id, (p_act).outcome,
        case when (p_act).is_idle then jsonb_build_object('idle', true) end, p_now => p_now);
  end case;
end;
$$;
comment on function simulation.act(simulation.act, timestamptz) is 'What a function does with its run.';

create function simulation.beat(p_now timestamptz) returns void
language sql set search_path = '' as $$
  delete from simulation.stubs using public.scheduler_runs where id = run_id and completed_at is not null;
  select count(scheduler.heartbeat_run(run_id, null, p_now))
  from simulation.stubs join public.scheduler_runs on id = run_id
  where beats and status = 'running' and heartbeat_at < p_now - interval '45 seconds';
$$;
comment on function simulation.beat(timestamptz) is
  'Functions that are alive have sent heartbeats until now; those whose run is over have stopped.';

create function simulation.fire(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text;
begin
  for v_name in select name from public.scheduler_jobs where enabled and next_run_at <= p_now
    order by md5(name || p_now)
  loop
    perform scheduler.dispatch(v_name, p_now);
  end loop;
end;
$$;
comment on function simulation.fire(timestamptz) is 'pg_cron fires the entries of the jobs that are due, in any order.';

create function simulation.pulse(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_told constant jsonb := scheduler.pulse(p_now, 600000);
begin
  if v_told -> 'errors' <> '{}' then
    raise exception 'the pulse failed: %', v_told;
  end if;
  insert into simulation.overdue
    select id, job_name, waiting, p_now from public.scheduler_runs
    where status = 'queued' and (waiting ->> 'until')::timestamptz < p_now;
end;
$$;
comment on function simulation.pulse(timestamptz) is
  'A pulse, after which nothing may wait any more that said that it would not.';

create function simulation.next_pulse() returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  -- A timeout must have passed, not just been reached.
  return least(
    (select min(run_after) from public.scheduler_runs where status = 'queued' and run_after is not null),
    (select min(wake_at) from scheduler.wakes),
    (select min(expires_at) from public.scheduler_locks),
    (select min(case
        when status = 'dispatched' then dispatched_at + interval '60.001 seconds'
        when not beats then heartbeat_at + interval '60.001 seconds'
        else started_at + make_interval(secs => timeout_seconds + 15.001) end)
      from public.scheduler_runs join simulation.stubs on run_id = id where status in ('dispatched', 'running')),
    -- A pulse that needs to look at what waits for an event is one that nobody was woken for.
    (select last_mended_at + interval '5 minutes' from scheduler.pulse_state
      where exists (select from public.scheduler_runs where status = 'queued' and run_after is null)));
end;
$$;
comment on function simulation.next_pulse() is
  'When a pulse may next have something to do besides occurrences that come due.';

create function simulation.step(p_now timestamptz, p_acts jsonb, p_fires boolean, p_pulses boolean) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_sent jsonb;
begin
  perform simulation.act(acts, p_now) from jsonb_populate_recordset(null::simulation.act, p_acts) as acts;
  if p_fires or p_pulses then
    perform simulation.beat(p_now);
  end if;
  if p_fires then
    perform simulation.fire(p_now);
  end if;
  if p_pulses then
    perform simulation.pulse(p_now);
  end if;
  delete from net.http_request_queue;
  delete from net._http_response where created < p_now - interval '10 minutes';
  with sent as (
    insert into simulation.stubs (run_id)
    select id from public.scheduler_runs where status = 'dispatched'
    on conflict do nothing returning run_id
  )
  select jsonb_agg(jsonb_build_object('id', id, 'job', job_name, 'timeout', timeout_seconds) order by job_name)
    into v_sent from sent join public.scheduler_runs on id = run_id;
  return jsonb_build_object('sent', coalesce(v_sent, '[]'),
    'due', (select extract(epoch from min(next_run_at)) * 1000 from public.scheduler_jobs where enabled),
    'pulse', extract(epoch from simulation.next_pulse()) * 1000);
end;
$$;
comment on function simulation.step(timestamptz, jsonb, boolean, boolean) is
  'One moment: functions act, entries fire, a pulse beats, and pg_net sends. {"sent": the runs that were sent, "due": '
  'when an occurrence comes next, "pulse": when a pulse may have something to do}.';

create function simulation.stop_functions() returns void
language sql set search_path = '' as $$ update simulation.stubs set beats = false; $$;
comment on function simulation.stop_functions() is 'All functions die.';
