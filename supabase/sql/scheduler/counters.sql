-- Counters of each job's runs, raised as runs end. A scrape reads one small row a job instead of the ledger, and
-- pruning the ledger lowers no counter.

-- Upper bounds of the histograms' buckets, in milliseconds; above the last one there is one bucket more. The counts are
-- arrays of that length: a migration that changes bounds has to set the counts to zero.
create function scheduler.duration_bounds_ms() returns bigint[]
language sql immutable set search_path = '' as $$
  select array[100, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000]::bigint[];
$$;
comment on function scheduler.duration_bounds_ms() is
  'Upper bounds of the buckets in which durations of runs are counted, in milliseconds.';

create function scheduler.fire_lag_bounds_ms() returns bigint[]
language sql immutable set search_path = '' as $$
  select array[100, 500, 1000, 5000, 30000, 60000, 300000, 3600000]::bigint[];
$$;
comment on function scheduler.fire_lag_bounds_ms() is
  'Upper bounds of the buckets in which fire lags are counted, in milliseconds.';

-- The scrape's buckets are few, because each is a line of it. These are ten a decade, for percentiles.
create function scheduler.timing_bounds_ms() returns integer[]
language sql immutable set search_path = '' as $$
  select array_agg(step * power(10, decade)::integer order by decade, step)
  from unnest(array[10, 13, 16, 20, 25, 32, 40, 50, 63, 80]) as step, generate_series(0, 6) as decade;
$$;
comment on function scheduler.timing_bounds_ms() is
  'Upper bounds of the buckets from which percentiles are told, in milliseconds, up to 22 hours: each at most 30 % '
    'above the one before. 70 of them, and one bucket above.';

-- One row a job. A transaction locks it only while it holds the row of the job (the order is: job, run, lock,
-- counters), so none waits here. The row is deleted with its job; a job that is registered again begins at zero, which
-- Prometheus takes for a reset.
-- No index but the key, and half of each page free: every update is a HOT update.
create table scheduler.run_counters (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  completed bigint not null default 0,
  failed bigint not null default 0,
  skipped bigint not null default 0,
  missed bigint not null default 0,
  cancelled bigint not null default 0,
  lost bigint not null default 0,
  retries bigint not null default 0,
  left_out jsonb not null default '{}',
  duration_counts bigint[] not null default array_fill(0::bigint,
    array[cardinality(scheduler.duration_bounds_ms()) + 1]),
  duration_sum_ms bigint not null default 0,
  fire_lag_counts bigint[] not null default array_fill(0::bigint,
    array[cardinality(scheduler.fire_lag_bounds_ms()) + 1]),
  fire_lag_sum_ms bigint not null default 0,
  last_success_at timestamptz,
  failed_in_row integer not null default 0,
  missed_in_row integer not null default 0,
  unsuccessful_for timestamptz,
  deferred bigint not null default 0,
  durations integer[] not null default array_fill(0, array[71]),
  fire_lags integer[] not null default array_fill(0, array[71])
) with (fillfactor = 50);

comment on table scheduler.run_counters is
  'How the runs of each registered job ended, counted since it was registered: one row a job.';
comment on column scheduler.run_counters.lost is 'Failed runs with the verdict lost; they are among the failed ones.';
comment on column scheduler.run_counters.retries is 'Retries that were sent and have ended.';
comment on column scheduler.run_counters.left_out is 'Occurrences skipped on purpose, by their skip_kind.';
comment on column scheduler.run_counters.duration_counts is
  'Runs that began and ended, by duration: a count for each bound of duration_bounds_ms and one above. Not cumulative.';
comment on column scheduler.run_counters.fire_lag_counts is
  'First attempts of occurrences, by the time from the occurrence to its dispatch: a count for each bound of '
    'fire_lag_bounds_ms and one above. Not cumulative.';
comment on column scheduler.run_counters.durations is
  'What duration_counts has, by the finer bounds of timing_bounds_ms. Not cumulative.';
comment on column scheduler.run_counters.fire_lags is
  'What fire_lag_counts has, by the finer bounds of timing_bounds_ms. Not cumulative.';
comment on column scheduler.run_counters.failed_in_row is
  'Occurrences since the last completed run whose attempts have failed so far; an occurrence counts once.';
comment on column scheduler.run_counters.missed_in_row is 'Occurrences missed since the last completed run.';
comment on column scheduler.run_counters.unsuccessful_for is
  'The latest occurrence that failed_in_row or missed_in_row counts.';

alter table scheduler.run_counters enable row level security;

create function scheduler.count_registered_job() returns trigger
language plpgsql set search_path = '' as $$
begin
  insert into scheduler.run_counters (job_name) values (new.name) on conflict do nothing;
  return null;
end;
$$;
comment on function scheduler.count_registered_job() is 'Trigger: a new job has counters from the start, all at zero.';

-- Runs of functions that no job names have no counters: the update finds no row.
create function scheduler.count_ended_run() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_began constant integer := (new.duration_ms is not null)::integer;
  v_fired constant integer :=
    (new.dispatched_at is not null and new.attempt = 1 and new.trigger in ('cron', 'catch_up'))::integer;
  v_lag_ms constant bigint := case when v_fired = 1
    then ceil(extract(epoch from greatest(new.dispatched_at, new.scheduled_for) - new.scheduled_for) * 1000) else 0 end;
  -- A bound belongs to the bucket below it (Prometheus: le), hence the whole millisecond less.
  v_duration_bucket constant integer := 1 + width_bucket(coalesce(new.duration_ms, 0) - 1::bigint,
    scheduler.duration_bounds_ms());
  v_lag_bucket constant integer := 1 + width_bucket(v_lag_ms - 1, scheduler.fire_lag_bounds_ms());
  v_duration_place constant integer := 1 + width_bucket(coalesce(new.duration_ms, 0) - 1,
    scheduler.timing_bounds_ms());
  v_lag_place constant integer := 1 + width_bucket(least(v_lag_ms, 1000000000)::integer - 1,
    scheduler.timing_bounds_ms());
begin
  update scheduler.run_counters as counters set
    completed = counters.completed + (new.status = 'completed')::integer,
    failed = counters.failed + (new.status = 'failed')::integer,
    cancelled = counters.cancelled + (new.status = 'cancelled')::integer,
    deferred = counters.deferred + (new.status = 'deferred')::integer,
    skipped = counters.skipped + (new.status = 'skipped')::integer,
    left_out = case when new.status = 'skipped' then counters.left_out || jsonb_build_object(new.skip_kind,
      coalesce((counters.left_out ->> new.skip_kind)::bigint, 0) + 1) else counters.left_out end,
    lost = counters.lost + (new.verdict = 'lost')::integer,
    retries = counters.retries + (new.trigger = 'retry' and new.dispatched_at is not null)::integer,
    duration_counts[v_duration_bucket] = counters.duration_counts[v_duration_bucket] + v_began,
    durations[v_duration_place] = counters.durations[v_duration_place] + v_began,
    duration_sum_ms = counters.duration_sum_ms + coalesce(new.duration_ms, 0),
    fire_lag_counts[v_lag_bucket] = counters.fire_lag_counts[v_lag_bucket] + v_fired,
    fire_lags[v_lag_place] = counters.fire_lags[v_lag_place] + v_fired,
    fire_lag_sum_ms = counters.fire_lag_sum_ms + v_lag_ms,
    last_success_at = case when new.status = 'completed'
      then greatest(counters.last_success_at, new.completed_at) else counters.last_success_at end,
    failed_in_row = case
      when new.status = 'completed' then 0
      when new.status = 'failed' and new.trigger <> 'manual'
        and new.scheduled_for > coalesce(counters.unsuccessful_for, '-infinity') then counters.failed_in_row + 1
      else counters.failed_in_row end,
    missed_in_row = case when new.status = 'completed' then 0 else counters.missed_in_row end,
    unsuccessful_for = case when new.status = 'failed' and new.trigger <> 'manual'
      then greatest(counters.unsuccessful_for, new.scheduled_for) else counters.unsuccessful_for end
    where counters.job_name = new.job_name;
  if found then
    perform scheduler.count_in_day(new);
  end if;
  return null;
end;
$$;
comment on function scheduler.count_ended_run() is
  'Trigger: counts a run when it comes to its end, however it ended. count_left_out counts occurrences that are '
    'recorded as skipped or missed.';

-- A statement at a time: an outage leaves a thousand such rows in one statement, and each update of the one row of
-- counters would walk over all versions before it.
create function scheduler.count_left_out() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- Back-fill writes occurrences anew that were counted when their gap was.
  if current_setting('daybook.opens_gap', true) = 'on'
    or not exists (select from written where status in ('skipped', 'missed')) then
    return null;
  end if;
  update scheduler.run_counters as counters set
    skipped = counters.skipped + sums.skipped,
    missed = counters.missed + sums.missed,
    left_out = counters.left_out || coalesce((
      select jsonb_object_agg(skip_kind, coalesce((counters.left_out ->> skip_kind)::bigint, 0) + occurrences)
      from (
        select skip_kind, sum(occurrences) as occurrences from written
        where job_name = counters.job_name and status in ('skipped', 'missed') and skip_kind
          is not null group by skip_kind
      ) as kinds), '{}'),
    missed_in_row = counters.missed_in_row + (
      select coalesce(sum(occurrences), 0) from written
      where job_name = counters.job_name and status = 'missed'
        and scheduled_for > coalesce(counters.unsuccessful_for, '-infinity')),
    unsuccessful_for = greatest(counters.unsuccessful_for, sums.last_missed)
  from (
    select job_name, coalesce(sum(occurrences) filter (where status = 'skipped'), 0) as skipped,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed,
      max(coalesce(scheduled_until, scheduled_for)) filter (where status = 'missed') as last_missed
    from written where status in ('skipped', 'missed') group by job_name
  ) as sums
  where counters.job_name = sums.job_name;
  insert into scheduler.job_days as days (job_name, day, skipped, missed, verdicts, success_rows, failure_rows)
    select job_name, day, coalesce(sum(amount) filter (where status = 'skipped'), 0),
      coalesce(sum(amount) filter (where status = 'missed'), 0), jsonb_object_agg(verdict, amount),
      coalesce(sum(rows) filter (where status = 'skipped'), 0), coalesce(sum(rows) filter (where status = 'missed'), 0)
    from (
      select job_name, scheduler.utc_day(completed_at) as day, status, verdict, sum(occurrences) as amount,
        count(*) as rows
      from written where status in ('skipped', 'missed') group by 1, 2, 3, 4
    ) as sums
    where exists (select from scheduler.run_counters as counters where counters.job_name = sums.job_name)
    group by job_name, day order by job_name, day
    on conflict (job_name, day) do update set skipped = days.skipped + excluded.skipped,
      missed = days.missed + excluded.missed, verdicts = scheduler.merged_counts(days.verdicts, excluded.verdicts),
      success_rows = days.success_rows + excluded.success_rows,
      failure_rows = days.failure_rows + excluded.failure_rows;
  return null;
end;
$$;
comment on function scheduler.count_left_out() is
  'Trigger: counts the occurrences that an insert records as skipped or missed, as many as each row stands for.';

create trigger count_registered_job after insert on public.scheduler_jobs
  for each row execute function scheduler.count_registered_job();
-- Heartbeats, progress, receipts of a begin and answers never call it.
create trigger count_ended_run after update of status on public.scheduler_runs
  for each row when (old.completed_at is null and new.completed_at is not null)
  execute function scheduler.count_ended_run();
create trigger count_run_born_ended after insert on public.scheduler_runs
  for each row when (new.completed_at is not null and new.status not in ('skipped', 'missed'))
  execute function scheduler.count_ended_run();
create trigger count_left_out after insert on public.scheduler_runs
  referencing new table as written for each statement execute function scheduler.count_left_out();


revoke all on scheduler.run_counters from public, anon, authenticated, service_role;
