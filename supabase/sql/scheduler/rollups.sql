-- Roll-ups: copies of every job's counters, made by the pulse. What happened in a window of time is the counters now,
-- less the copy at its beginning. So nothing is counted twice, and pruning the ledger takes nothing away.

create function scheduler.metric_windows() returns table (name text, length interval, step interval)
language sql immutable set search_path = '' as $$
  -- In hours: a day of the session's time zone may have 23.
  values ('1h', interval '1 hour', interval '5 minutes'), ('24h', interval '24 hours', interval '1 hour'),
    ('7d', interval '168 hours', interval '6 hours'), ('30d', interval '720 hours', interval '24 hours');
$$;
comment on function scheduler.metric_windows() is
  'The windows of which metrics tell, and how often a copy is made that serves for the beginning of one.';

create function scheduler.rollup_step(p_last timestamptz, p_now timestamptz) returns interval
language sql immutable set search_path = '' as $$
  -- A mark in the future was written by a clock that was ahead and went back.
  select max(step) from scheduler.metric_windows()
  where p_last is null or p_last > p_now or p_last < date_bin(step, p_now, '2000-01-01 00:00+00');
$$;
comment on function scheduler.rollup_step(timestamptz, timestamptz) is
  'For which of the steps a copy is due at p_now, the last one having been made at p_last (null: never): the longest '
    'in which a new one of 5 minutes, an hour, 6 hours or a day (UTC) has begun; null when none has.';

create table scheduler.rollups (
  job_name text not null references scheduler.run_counters (job_name) on delete cascade,
  taken_at timestamptz not null check (isfinite(taken_at)),
  step interval not null,
  completed bigint not null,
  failed bigint not null,
  deferred bigint not null,
  cancelled bigint not null,
  skipped bigint not null,
  missed bigint not null,
  lost bigint not null,
  retries bigint not null,
  durations integer[] not null,
  duration_sum_ms bigint not null,
  fire_lags integer[] not null,
  fire_lag_sum_ms bigint not null,
  primary key (job_name, taken_at)
);
create index rollups_step_idx on scheduler.rollups (step, taken_at);
alter table scheduler.rollups enable row level security;
revoke all on scheduler.rollups from public, anon, authenticated, service_role;

comment on table scheduler.rollups is
  'Copies of scheduler.run_counters, one row a job and time. They grow as the counters do: the difference of two is '
    'what happened between them.';
comment on column scheduler.rollups.step is
  'The longest of the steps for which it was made: 5 minutes, kept for over an hour; an hour, for over a day; 6 hours, '
    'for over a week; a day, until it is pruned.';

create function scheduler.roll_up(p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_step constant interval := coalesce(scheduler.rollup_step((select last_rolled_up_at from scheduler.pulse_state),
    p_now), interval '5 minutes');
  v_window record;
  v_copied integer;
begin
  -- Made by a clock that was ahead.
  delete from scheduler.rollups where taken_at > p_now;
  insert into scheduler.rollups (job_name, taken_at, step, completed, failed, deferred, cancelled, skipped, missed,
      lost, retries, durations, duration_sum_ms, fire_lags, fire_lag_sum_ms)
    select job_name, p_now, v_step, completed, failed, deferred, cancelled, skipped, missed, lost, retries, durations,
      duration_sum_ms, fire_lags, fire_lag_sum_ms
    from scheduler.run_counters
    -- A job that is being taken out is left out. Counting goes on meanwhile.
    for key share skip locked
    on conflict do nothing;
  get diagnostics v_copied = row_count;
  for v_window in select * from scheduler.metric_windows() where step < interval '24 hours' loop
    delete from scheduler.rollups where step = v_window.step and taken_at < p_now - v_window.length - 2 * v_window.step;
  end loop;
  return v_copied;
end;
$$;
comment on function scheduler.roll_up(timestamptz) is
  'Copies the counters of all jobs, and deletes copies that no window needs any more. Returns how many jobs. Safe to '
    'call at any time, and twice.';

create function scheduler.count_from_zero() returns trigger
language plpgsql set search_path = '' as $$
begin
  delete from scheduler.rollups where job_name = new.job_name;
  if tg_op = 'INSERT' then
    insert into scheduler.rollups (job_name, taken_at, step, completed, failed, deferred, cancelled, skipped, missed,
      lost, retries, durations, duration_sum_ms, fire_lags, fire_lag_sum_ms)
    values (new.job_name, now(), interval '24 hours', new.completed, new.failed, new.deferred, new.cancelled,
      new.skipped, new.missed, new.lost, new.retries, new.durations, new.duration_sum_ms, new.fire_lags,
      new.fire_lag_sum_ms);
  end if;
  return null;
end;
$$;
comment on function scheduler.count_from_zero() is
  'Trigger: a job''s first copy is that of its registration. Counters that somebody has lowered have nothing to do '
    'with the copies from before.';

create trigger first_rollup after insert on scheduler.run_counters
  for each row execute function scheduler.count_from_zero();
create trigger counters_lowered after update on scheduler.run_counters
  for each row when (new.completed < old.completed or new.failed < old.failed or new.deferred < old.deferred
    or new.cancelled < old.cancelled or new.skipped < old.skipped or new.missed < old.missed or new.lost < old.lost
    or new.retries < old.retries or new.duration_sum_ms < old.duration_sum_ms
    or new.fire_lag_sum_ms < old.fire_lag_sum_ms)
  execute function scheduler.count_from_zero();

create function scheduler.prune_rollups(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$
  with pruned as (
    delete from scheduler.rollups where ctid = any (array(
      select ctid from scheduler.rollups
      where step = any (array(select step from scheduler.metric_windows())) and taken_at < p_before limit p_limit))
    returning 1
  )
  select count(*)::integer from pruned;
$$;
comment on function scheduler.prune_rollups(timestamptz, integer) is
  'Deletes copies from before p_before, at most p_limit. Returns how many.';

select scheduler.add_retention_rule('scheduler', 'rollups', 92, what => 'how long the daily roll-ups of jobs stay',
  prune_function => 'scheduler.prune_rollups');
