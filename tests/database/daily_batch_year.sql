-- A year of daily batches in minutes: ticks, moves and what was taken at each tick.
create schema year_test;

-- platform: an occurrence of its job too, not of the other job alone.
create table year_test.ticks (at timestamptz primary key, doubled boolean not null, platform boolean not null);
create table year_test.moves (
  nth integer primary key, at timestamptz not null, organization_id uuid not null, time_zone text, daily_run_at time
);
create index on year_test.moves (at, nth);
create unlogged table year_test.taken (
  organization_id uuid not null, batch_date date not null, time_zone text not null, at timestamptz not null
);

-- What the jobs do at a tick, without the batch jobs and tasks: which organizations are due for which date, and the marks.
create procedure year_test.decide(p_at timestamptz, p_platform boolean) language plpgsql as $$
declare
  v_date date;
begin
  if p_platform and scheduler.daily_batch_is_due(p_at) then
    select scheduler.batch_date_at(time_zone, run_at, p_at) into v_date from scheduler.daily_batch_settings();
    if (public.try_mark_daily_run(to_char(v_date, 'YYYY-MM-DD'), 'daily-batch') ->> 'updated')::boolean then
      insert into year_test.taken select *, p_at from scheduler.take_due_organizations(v_date, false, false, p_at);
    end if;
  end if;
  if scheduler.zoned_batch_is_due(p_at) then
    insert into year_test.taken select *, p_at from scheduler.take_due_organizations(null, true, false, p_at);
  end if;
end;
$$;

-- All of it, as the function of the job calls it; then its rows go.
create procedure year_test.trigger(p_at timestamptz, p_platform boolean) language plpgsql as $$
declare
  v_batches integer := 0;
begin
  if p_platform and scheduler.daily_batch_is_due(p_at) then
    v_batches := (public.trigger_daily_batch(p_now => p_at) ->> 'batches')::integer;
  end if;
  if scheduler.zoned_batch_is_due(p_at) then
    v_batches := v_batches + (public.trigger_daily_batch(p_zones => true, p_now => p_at) ->> 'batches')::integer;
  end if;
  if v_batches > 0 then
    insert into year_test.taken
      select organization_id, batch_date, time_zone, p_at from public.batch_jobs
      where (select count(*) from public.batch_tasks where job_id = batch_jobs.id) = tasks_total and tasks_total > 0
        and exists (select from public.scheduler_runs where payload = jsonb_build_object('batchJobId', batch_jobs.id));
    delete from public.batch_jobs;
    delete from public.scheduler_runs;
    delete from net.http_request_queue;
  end if;
end;
$$;

create procedure year_test.run(p_whole boolean, p_from timestamptz, p_to timestamptz) language plpgsql as $$
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
      if p_whole then
        call year_test.trigger(v_tick.at, v_tick.platform);
      else
        call year_test.decide(v_tick.at, v_tick.platform);
      end if;
    end loop;
    commit;
  end loop;
end;
$$;
