-- How many runs of a job may be under way at once, where that is a least and a most: by what waits and how the target
-- copes. Additive increase, multiplicative decrease, as TCP has it (RFC 5681).

create table scheduler.parallel_states (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  in_force integer not null check (in_force >= 1),
  stale integer not null default 0 check (stale >= 0),
  ended integer not null default 0 check (ended >= 0),
  failed integer not null default 0 check (failed between 0 and ended),
  duration_ms bigint not null default 0 check (duration_ms >= 0),
  usual_ms numeric check (usual_ms >= 0 and usual_ms < 'Infinity')
) with (fillfactor = 50);
alter table scheduler.parallel_states enable row level security;
revoke all on scheduler.parallel_states from public, anon, authenticated, service_role;
comment on table scheduler.parallel_states is
  'One row a job with parallel_least of which a run has ended. Written as a run ends, under the job''s row lock.';
comment on column scheduler.parallel_states.in_force is 'How many runs may be under way at once.';
comment on column scheduler.parallel_states.stale is
  'How many ends say nothing yet: the runs were sent before the number in force was lowered.';
comment on column scheduler.parallel_states.ended is
  'Runs that have ended in this round. As many as are in force make a round.';
comment on column scheduler.parallel_states.failed is 'Those of them that failed.';
comment on column scheduler.parallel_states.duration_ms is 'How long they took together.';
comment on column scheduler.parallel_states.usual_ms is
  'How long a run usually takes: the average of rounds, the newest with an eighth.';

create function scheduler.limit_in_force(p_job public.scheduler_jobs) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return case when p_job.parallel_least is null then p_job.parallel_limit
    else least(p_job.parallel_limit, greatest(p_job.parallel_least, (
      select in_force from scheduler.parallel_states where job_name = p_job.name))) end;
end;
$$;
comment on function scheduler.limit_in_force(public.scheduler_jobs) is
  'How many runs of the job may be under way at once now; null: any number.';

create function scheduler.parallel_sign(p_run public.scheduler_runs) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_run.status = 'completed' then 'done'
    when p_run.status = 'deferred' or p_run.verdict in ('rate_limited', 'boot_error', 'worker_limit', 'gateway_timeout',
      'unreachable', 'lost', 'stalled', 'timed_out') then 'strained'
    -- These say nothing of how much the target bears.
    when p_run.verdict in ('bad_input', 'misconfigured', 'not_sent') then null
    when p_run.status = 'failed' then 'failed' end;
end;
$$;
comment on function scheduler.parallel_sign(public.scheduler_runs) is
  'What a run that has ended says of its target: done, failed, strained (it was too much for the target, or for its '
    'budget); null: nothing.';

create function scheduler.parallel_lowered(p_state scheduler.parallel_states, p_least integer, p_under_way integer)
returns scheduler.parallel_states
language plpgsql immutable set search_path = '' as $$
declare
  v_state scheduler.parallel_states := p_state;
begin
  v_state.in_force := greatest(p_least, v_state.in_force / 2);
  v_state.stale := p_under_way;
  v_state.ended := 0;
  v_state.failed := 0;
  v_state.duration_ms := 0;
  return v_state;
end;
$$;
comment on function scheduler.parallel_lowered(scheduler.parallel_states, integer, integer) is
  'The state with half as many in force, at least p_least. What is under way was sent before that, and says nothing.';

create function scheduler.parallel_after(
  p_state scheduler.parallel_states, p_least integer, p_most integer, p_sign text, p_duration_ms bigint,
  p_demand integer, p_under_way integer
) returns scheduler.parallel_states
language plpgsql immutable set search_path = '' as $$
declare
  v_state scheduler.parallel_states := p_state;
  v_mean_ms numeric;
begin
  -- The job may have been registered with others since.
  v_state.in_force := least(p_most, greatest(p_least, v_state.in_force));
  if v_state.stale > 0 then
    v_state.stale := v_state.stale - 1;
    return v_state;
  elsif p_sign is null then
    return v_state;
  elsif p_sign = 'strained' then
    return scheduler.parallel_lowered(v_state, p_least, p_under_way);
  end if;
  v_state.ended := v_state.ended + 1;
  v_state.failed := v_state.failed + (p_sign = 'failed')::integer;
  v_state.duration_ms := v_state.duration_ms + coalesce(p_duration_ms, 0);
  if v_state.ended < v_state.in_force then
    return v_state;
  end if;
  v_mean_ms := v_state.duration_ms::numeric / v_state.ended;
  v_state.usual_ms := round(coalesce(p_state.usual_ms + (v_mean_ms - p_state.usual_ms) / 8, v_mean_ms), 3);
  -- Half of a round: one run whose payload is bad does not slow down all others. Of very short runs twice is little.
  if v_state.failed * 2 > v_state.ended or v_mean_ms > greatest(p_state.usual_ms * 2, p_state.usual_ms + 100) then
    return scheduler.parallel_lowered(v_state, p_least, p_under_way);
  end if;
  v_state.in_force := least(p_most, greatest(p_least, v_state.in_force + p_demand));
  v_state.ended := 0;
  v_state.failed := 0;
  v_state.duration_ms := 0;
  return v_state;
end;
$$;
comment on function scheduler.parallel_after(
  scheduler.parallel_states, integer, integer, text, bigint, integer, integer
) is
  'What is in force after a run has ended with that sign (see parallel_sign) and duration. Half as many after one that '
    'strained its target, and after a round in which more than half failed or which took twice as long as usual; else '
    'after a round p_demand more (see parallel_demand). Always from p_least to p_most. p_under_way: how many are under '
    'way still.';

create function scheduler.parallel_demand(p_next public.scheduler_runs) returns integer
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_next.id is null then -1
    -- More places are of no use while a budget, say, holds back what waits; back-filled runs go one at a time.
    when p_next.waiting ->> 'for' = 'parallel_limit' and not scheduler.is_backfill(p_next) then 1
    else 0 end;
end;
$$;
comment on function scheduler.parallel_demand(public.scheduler_runs) is
  'What a round that went well changes, by the run that goes next: 1 when it waits for one of those under way to end, '
    '-1 when there is none, 0 when it waits for something else.';

create function scheduler.note_parallel(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
declare
  v_before scheduler.parallel_states;
  v_after scheduler.parallel_states;
begin
  -- It was never under way.
  if p_run.dispatched_at is null then
    return;
  end if;
  select * into v_before from scheduler.parallel_states where job_name = p_job.name;
  if not found then
    v_before := row(p_job.name, p_job.parallel_least, 0, 0, 0, 0, null);
  end if;
  v_after := scheduler.parallel_after(v_before, p_job.parallel_least, p_job.parallel_limit,
    scheduler.parallel_sign(p_run),
    -- A URL sends no receipt of its beginning. The clock may have been set back since it was sent.
    coalesce(p_run.duration_ms, least(2147483647, greatest(0,
      extract(epoch from p_run.completed_at - p_run.dispatched_at) * 1000)))::bigint,
    scheduler.parallel_demand(scheduler.next_waiting(p_job, p_run.completed_at)),
    (select count(*)::integer from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running')));
  insert into scheduler.parallel_states as states
    select (v_after).*
    on conflict (job_name) do update set in_force = excluded.in_force, stale = excluded.stale, ended = excluded.ended,
      failed = excluded.failed, duration_ms = excluded.duration_ms, usual_ms = excluded.usual_ms;
end;
$$;
comment on function scheduler.note_parallel(public.scheduler_jobs, public.scheduler_runs) is
  'Keeps how many of the job''s runs may be under way at once, after one has ended. The caller holds the job''s row '
    'lock.';
