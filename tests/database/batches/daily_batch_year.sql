-- A year of daily batches in minutes: ticks, moves, and the batch jobs that came of them.
create schema year_test;

-- platform: whether it is an occurrence of the platform's job, too.
create table year_test.ticks (at timestamptz primary key, doubled boolean not null, platform boolean not null);
create table year_test.moves (
  nth integer primary key, at timestamptz not null, organization_id uuid not null, time_zone text, daily_run_at time
);
create index on year_test.moves (at, nth);
create unlogged table year_test.made (organization_id uuid not null, batch_date date not null, at timestamptz not null);

-- For speed, since nothing crashes, is pruned, read or processed here: no write-ahead log, no foreign keys, only the
-- indexes that find due organizations, keep batch jobs apart and send runs. Tasks and runs are counted. Without one of
-- those that find a waiting run, the year takes more than ten minutes.
do $$
declare
  v_dropped record;
begin
  for v_dropped in
    select format('alter table %s drop constraint %I', conrelid::regclass, conname) as statement from pg_constraint
    where contype = 'f' and connamespace::regnamespace::text in ('public', 'scheduler', 'batches')
    union all
    select format('alter table %s drop constraint %I', conrelid::regclass, conname) from pg_constraint
    where contype in ('p', 'u') and conrelid = 'public.batch_tasks'::regclass or conname = 'batch_jobs_pkey'
    union all
    select format('drop index %s', indexrelid::regclass) from pg_index
    where not indisunique and (
      indrelid = any (array['public.batch_jobs', 'public.batch_tasks']::regclass[])
      or indexrelid = any (array['public.scheduler_runs_job_name_created_at_idx',
        'public.scheduler_runs_status_completed_at_idx', 'public.scheduler_runs_gap_idx']::regclass[]))
  loop
    execute v_dropped.statement;
  end loop;
end;
$$;
alter table public.organizations set unlogged;
alter table public.scheduler_state set unlogged;
alter table public.batch_jobs set unlogged;
alter table public.batch_tasks set unlogged;
alter table public.scheduler_runs set unlogged;

-- What the two jobs do at a tick: first run_if, then the call of the job's function.
create procedure year_test.tick(p_at timestamptz, p_platform boolean) language plpgsql as $$
begin
  if p_platform and batches.daily_is_due(p_at) then
    perform batches.trigger_daily(p_now => p_at);
  end if;
  if batches.zoned_is_due(p_at) then
    perform batches.trigger_daily(p_zones => true, p_now => p_at);
  end if;
end;
$$;

create procedure year_test.run(p_from timestamptz, p_to timestamptz) language plpgsql as $$
declare
  v_tick year_test.ticks;
  v_move year_test.moves;
begin
  for v_tick in select * from year_test.ticks where at >= p_from and at < p_to order by at loop
    for v_move in select * from year_test.moves where at < v_tick.at order by at, nth loop
      update public.organizations
        set time_zone = v_move.time_zone, daily_run_at = v_move.daily_run_at, updated_at = v_move.at
        where id = v_move.organization_id;
    end loop;
    delete from year_test.moves where at < v_tick.at;
    for i in 1 .. 1 + v_tick.doubled::integer loop
      call year_test.tick(v_tick.at, v_tick.platform);
    end loop;
    commit;
  end loop;
end;
$$;

-- Notes the batch jobs and clears the tables. Each batch job must have one task and one run. The marks stay.
create procedure year_test.collect() language plpgsql set enable_seqscan = on as $$
declare
  v_made bigint;
begin
  insert into year_test.made
    select organization_id, batch_date, batch_jobs.created_at
    from public.batch_jobs
      join public.batch_tasks on batch_tasks.job_id = batch_jobs.id
      join public.scheduler_runs on (payload ->> 'batchJobId')::uuid = batch_jobs.id
    where rerun = 0 and tasks_total = 1;
  get diagnostics v_made = row_count;
  if v_made <> (select count(*) from public.batch_jobs) or v_made <> (select count(*) from public.batch_tasks)
    or v_made <> (select count(*) from public.scheduler_runs) then
    raise exception 'each batch job has one task and one run, and there are no others: % have', v_made;
  elsif (select count(*) from public.scheduler_runs where status <> 'queued') > 20 then
    raise exception 'more than 20 runs of the processor were sent at once';
  end if;
  truncate public.batch_jobs, public.batch_tasks, batches.leases, public.scheduler_runs, public.scheduler_locks,
    net.http_request_queue;
end;
$$;
