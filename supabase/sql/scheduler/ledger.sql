-- The way of a row into the ledger. Only enqueue_runs, which may write thousands, has an insert of its own.

-- What each overlap policy does: allow takes no lock; skip and queue take one, and differ in overlap_kind.
create function scheduler.takes_lock(p_job public.scheduler_jobs) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(p_job.overlap_policy <> 'allow', false);
end;
$$;
comment on function scheduler.takes_lock(public.scheduler_jobs) is
  'Whether a run of the job holds the lock named like the job from its dispatch to its end; false of no job.';

create function scheduler.new_run(p_job public.scheduler_jobs, p_trigger text, p_scheduled_for timestamptz)
returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := p_job.name;
  v_run.function_name := p_job.function_name;
  v_run.status := 'queued';
  v_run.trigger := p_trigger;
  v_run.scheduled_for := p_scheduled_for;
  v_run.occurrences := 1;
  v_run.attempt := 1;
  v_run.max_attempts := p_job.max_attempts;
  v_run.timeout_seconds := p_job.timeout_seconds;
  v_run.payload := p_job.payload;
  v_run.receipt := p_job.receipt;
  v_run.priority := coalesce(p_job.priority, 0);
  v_run.turn := 0;
  v_run.failures := 0;
  v_run.created_at := now();
  return v_run;
end;
$$;
comment on function scheduler.new_run(public.scheduler_jobs, text, timestamptz) is
  'A queued run of the job for that moment, first attempt, with the job''s payload. Writes nothing: see add_runs.';

create function scheduler.next_attempt(p_run public.scheduler_runs, p_trigger text, p_failures integer)
returns public.scheduler_runs
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := p_run.job_name;
  v_run.function_name := p_run.function_name;
  v_run.status := 'queued';
  v_run.trigger := p_trigger;
  v_run.scheduled_for := p_run.scheduled_for;
  v_run.occurrences := 1;
  v_run.attempt := coalesce((
    select max(attempt) from public.scheduler_runs
    where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for), p_run.attempt) + 1;
  v_run.failures := p_failures;
  v_run.max_attempts := greatest(p_run.max_attempts, p_failures + 1);
  v_run.timeout_seconds := p_run.timeout_seconds;
  v_run.payload := p_run.payload;
  v_run.key := p_run.key;
  v_run.priority := p_run.priority;
  v_run.turn := p_run.turn;
  v_run.interval_from := p_run.interval_from;
  v_run.receipt := p_run.receipt;
  v_run.created_at := now();
  return v_run;
end;
$$;
comment on function scheduler.next_attempt(public.scheduler_runs, text, integer) is
  'The next attempt at what the run is an attempt at, after so many that failed; queued, with the run''s own payload, '
    'key and interval. Writes nothing: see add_runs.';

create function scheduler.add_runs(p_runs public.scheduler_runs[]) returns setof public.scheduler_runs
language plpgsql set search_path = '' as $$
begin
  return query
    insert into public.scheduler_runs select runs.* from unnest(p_runs) as runs on conflict do nothing returning *;
end;
$$;
comment on function scheduler.add_runs(public.scheduler_runs[]) is
  'Writes runs into the ledger, and returns those that it wrote: an attempt at an occurrence that has its row already '
    'is left as it is.';

-- A retry has the origin of its first attempt.
create function scheduler.origin(p_run public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select coalesce(
    (select trigger from public.scheduler_runs
      where p_run.trigger in ('retry', 'deferred') and job_name = p_run.job_name and scheduled_for = p_run.scheduled_for
      order by attempt limit 1),
    p_run.trigger);
$$;
comment on function scheduler.origin(public.scheduler_runs) is
  'What brought the run about: its trigger; of a retry that of the first attempt.';

create function scheduler.is_of_occurrence(p_run public.scheduler_runs) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return case
    when p_run.trigger in ('manual', 'enqueued') then false
    when p_run.trigger in ('retry', 'deferred') then scheduler.origin(p_run) not in ('manual', 'enqueued')
    else true end;
end;
$$;
comment on function scheduler.is_of_occurrence(public.scheduler_runs) is
  'Whether the run is an attempt at an occurrence of its job, and not at what a person called or somebody enqueued.';

create function scheduler.sample_durations(
  p_job_name text, p_newest integer, p_statuses text[] default null, out runs bigint, out average_ms numeric,
  out p50_ms numeric, out p95_ms numeric, out p99_ms numeric, out longest_ms integer
)
language sql stable set search_path = '' as $$
  select count(duration_ms), round(avg(duration_ms)),
    round(percentile_cont(0.5) within group (order by duration_ms)),
    round(percentile_cont(0.95) within group (order by duration_ms)),
    round(percentile_cont(0.99) within group (order by duration_ms)), max(duration_ms)
  from (
    select duration_ms from public.scheduler_runs
    where job_name = p_job_name and (p_statuses is null or status = any (p_statuses) and duration_ms is not null)
    order by created_at desc limit p_newest) as newest;
$$;
comment on function scheduler.sample_durations(text, integer, text[]) is
  'How long those of the job''s newest runs took that began: of that many rows, or of that many that began and have '
    'one of the statuses.';
