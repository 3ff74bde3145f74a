-- What can let a run of another job go takes that job's row lock and sends it, or, where somebody else holds the row,
-- leaves a wake: the next pulse looks at the job. So no transaction that holds one job waits for another.

create table scheduler.wakes (
  job_name text not null,
  wake_at timestamptz not null check (isfinite(wake_at)),
  scheduled_for timestamptz check (isfinite(scheduled_for))
);
-- No unique index: two transactions that wake one job must not wait for each other.
create index wakes_wake_at_idx on scheduler.wakes (wake_at);
alter table scheduler.wakes enable row level security;
revoke all on scheduler.wakes from public, anon, authenticated, service_role;
comment on table scheduler.wakes is
  'Jobs to look at from a moment on, though none of their runs says so. A row is taken out when its job is looked at.';
comment on column scheduler.wakes.scheduled_for is
  'An occurrence of a job without a schedule, by one of its dependencies, that is to be recorded then.';

create function scheduler.wake_jobs(p_job_names text[], p_at timestamptz) returns void
language sql set search_path = '' as $$
  insert into scheduler.wakes (job_name, wake_at) select name, p_at from unnest(p_job_names) as name;
$$;
comment on function scheduler.wake_jobs(text[], timestamptz) is
  'Has the first pulse from p_at on look at these jobs: send what waits, start what is continuous. Epoch is the next '
    'pulse, also where the clock is set back before it.';

create function scheduler.wake_if_waiting(p_job_name text) returns void
language sql set search_path = '' as $$
  select scheduler.wake_jobs(array[p_job_name], 'epoch')
  where exists (select from public.scheduler_runs where job_name = p_job_name and status = 'queued');
$$;
comment on function scheduler.wake_if_waiting(text) is
  'Has the next pulse look at the job when any run of it waits, also one that waits for a time.';

create function scheduler.take_wakes(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_woken bigint;
  v_occurrences timestamptz[];
begin
  with taken as (
    delete from scheduler.wakes where ctid in (
      select ctid from scheduler.wakes where job_name = p_job.name and wake_at <= p_now for update skip locked)
    returning scheduled_for
  )
  select count(*), array_agg(distinct scheduled_for) filter (where scheduled_for is not null)
    into v_woken, v_occurrences from taken;
  if v_woken = 0 then
    return;
  end if;
  perform scheduler.record_dependent(p_job, v_occurrences, p_now);
  perform scheduler.look_again(p_job.name, 'dependency');
  perform scheduler.release_keys(p_job);
  -- Its pause may be over, or it was enabled: then what waited for that decides.
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
    perform scheduler.follow_beyond(p_job, p_now) where v_occurrences is not null;
  end if;
end;
$$;
comment on function scheduler.take_wakes(public.scheduler_jobs, timestamptz) is
  'Takes out the wakes of a job that is looked at now, and records the occurrences that they name. The caller holds '
    'the job''s row lock.';

create function scheduler.look_again(p_job_name text, p_waits_for text) returns void
language plpgsql set search_path = '' as $$
begin
  update public.scheduler_runs set run_after = null
  where job_name = p_job_name and status = 'queued' and run_after is not null and waiting ->> 'for' = p_waits_for;
end;
$$;
comment on function scheduler.look_again(text, text) is
  'Has the job''s runs that wait for that looked at when it next sends. The caller holds the job''s row lock.';
