-- Putting runs off: while a job's defer_if says true, what is due of it waits, at most so long.

create function scheduler.note_defer_fault(p_job public.scheduler_jobs, p_fault text, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_said constant text := 'nothing of it is put off: ';
begin
  raise warning '%: %', p_job.name, v_said || p_fault;
  -- It is asked each minute.
  if not exists (
    select from public.scheduler_activity
    where occurred_at > p_now - interval '1 hour' and occurred_at <= p_now and source = p_job.name
      and starts_with(message, v_said)) then
    perform scheduler.log_activity(p_job.name, v_said || p_fault, 'warning', p_now => p_now);
  end if;
end;
$$;
comment on function scheduler.note_defer_fault(public.scheduler_jobs, text, timestamptz) is
  'Says that the job''s defer_if cannot be asked: in the server''s log, and in scheduler_activity once an hour.';

create function scheduler.is_to_wait(p_job public.scheduler_jobs, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  return scheduler.ask_function(format('whether %s is to wait', p_job.name), 'defer_if', p_job.defer_if, p_now);
exception when query_canceled or others then
  -- Work that is due is not lost because nobody can say whether it might wait.
  perform scheduler.note_defer_fault(p_job, sqlerrm, p_now);
  return false;
end;
$$;
comment on function scheduler.is_to_wait(public.scheduler_jobs, timestamptz) is
  'What the job''s defer_if says now; false where it cannot be asked, and that is said.';

create function scheduler.put_off_from(p_run public.scheduler_runs, p_now timestamptz) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  -- A back-filled run was due long ago: its time begins when its turn has come.
  return case when scheduler.is_backfill(p_run) then scheduler.waiting_since(p_run, 'defer_if', p_now)
    else p_run.scheduled_for end;
end;
$$;
comment on function scheduler.put_off_from(public.scheduler_runs, timestamptz) is
  'When the time begins for which a run may be put off.';

create function scheduler.own_wait(p_job public.scheduler_jobs, p_waiting jsonb, p_from timestamptz) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return case when p_waiting ->> 'for' = 'defer_if' then p_waiting
      || jsonb_build_object('until', p_from + make_interval(secs => p_job.defer_at_most_seconds))
    else p_waiting end;
end;
$$;
comment on function scheduler.own_wait(public.scheduler_jobs, jsonb, timestamptz) is
  'What another run of the job waits for, as a run says it that may be put off from p_from on: until its own time for '
    'that is over.';

-- Without sorting: see next_waiting.
create function scheduler.first_due(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns timestamptz
language plpgsql stable set search_path = '' set enable_sort = off as $$
begin
  return least(p_run.scheduled_for, (
    select scheduled_for from public.scheduler_runs
    where job_name = p_job.name and status = 'queued' and run_after is null and trigger <> 'manual'
      and priority <> scheduler.backfill_priority()
    order by scheduled_for, attempt limit 1));
end;
$$;
comment on function scheduler.first_due(public.scheduler_jobs, public.scheduler_runs) is
  'When the oldest of the job''s runs was due that may go, of those that are neither back-filled nor a person''s, or '
    'the run itself if it is older.';

create function scheduler.end_putting_off(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_hold constant scheduler.hold := case
    when scheduler.takes_lock(p_job) then ('lock', p_job.name, null, null)::scheduler.hold
    when p_job.parallel_limit is not null then ('parallel_limit', null, null, null)::scheduler.hold end;
begin
  update public.scheduler_runs as runs
    set waiting = case when v_hold.kind is null then waiting -> 'dependency' else scheduler.wait_for(runs, v_hold,
      p_now) end
    where job_name = p_job.name and status = 'queued' and run_after is null and id <> p_run.id
      and waiting ->> 'for' = 'defer_if';
end;
$$;
comment on function scheduler.end_putting_off(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'As the job''s defer_if lets a run go that was put off: those behind it wait for their turn. The caller holds the '
    'job''s row lock.';

create function scheduler.defer_hold(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns scheduler.hold
language plpgsql set search_path = '' as $$
declare
  v_at_most constant interval := make_interval(secs => p_job.defer_at_most_seconds);
  v_from constant timestamptz := scheduler.put_off_from(p_run, p_now);
  -- The one that goes next may be younger than others, and would hold them up.
  v_first_due constant timestamptz := case when scheduler.is_backfill(p_run) then v_from
    else scheduler.first_due(p_job, p_run) end;
begin
  -- Before it was due the clock was set back.
  if p_now < v_first_due or p_now >= v_first_due + v_at_most then
    return null;
  elsif scheduler.is_to_wait(p_job, p_now) then
    return ('defer_if', p_job.defer_if, v_from + v_at_most, null)::scheduler.hold;
  elsif p_run.waiting ->> 'for' = 'defer_if' then
    perform scheduler.end_putting_off(p_job, p_run, p_now);
  end if;
  return null;
end;
$$;
comment on function scheduler.defer_hold(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'A hold while the job''s defer_if says true and the oldest run that waits has not been due for '
    'defer_at_most_seconds; else null. The caller holds the job''s row lock.';

create function scheduler.is_put_off(p_waiting jsonb, p_now timestamptz) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(p_waiting ->> 'for' = 'defer_if' and (p_waiting ->> 'until')::timestamptz > p_now, false);
end;
$$;
comment on function scheduler.is_put_off(jsonb, timestamptz) is
  'Whether a run that waits so is put off by defer_if and its time for that is not over: it is not late.';

create function scheduler.put_off_because(p_defer_if text, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case when p_defer_if = 'scheduler.is_busy' then scheduler.busy_because(p_now) end;
exception when undefined_table or invalid_schema_name then
  return null;  -- pg_net is gone: is_busy cannot be asked either
end;
$$;
comment on function scheduler.put_off_because(text, timestamptz) is
  'Why that function puts runs off now, where it says so: scheduler.is_busy does; null of all others.';
